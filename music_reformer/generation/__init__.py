"""Composing: takes a piece and a request, and yields new notes as they are composed.

Read `request.py` (the settings), `generator.py` (the entry point), `loop.py` (the generate loop), `session.py` (one
request in progress), then `prompt.py`, `hole.py` and `continuation.py` (reading the piece, and writing the result),
`sampling.py` (logits to tokens) and the guards. `batch/` runs it over folders of files.
"""
