"""Composing: a prompt in, notes out as they are made.

Read `generator.py` (what is called), `session.py` (the loop), `prompt.py` and `continuation.py` (the upload before and
after), `sampling.py` (logits to tokens). `batch.py` runs it over folders of files.
"""
