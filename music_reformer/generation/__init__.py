"""Composing: a prompt in, notes out as they are made. `generator.py` is the one loop; `batch.py` runs it over files."""
