"""`music-reformer prepare`: MIDI files or integers to a token store; start at `command.py`."""
