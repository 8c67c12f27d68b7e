"""Composing for folders of prompts: start reading in `generate.py`."""
