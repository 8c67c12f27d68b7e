"""`music-reformer generate`: a folder of prompts to a folder of MIDI files; start at `generate.py`."""
