"""`music-reformer prepare`: MIDI files or integers to a token store. Start reading at `command.py`."""
