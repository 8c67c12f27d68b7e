"""Composing: a piece and a request in, new notes out as they are composed.

Read `request.py` (what can be asked for), `generator.py` (what is called), `loop.py` (the generate loop), `session.py`
(one request under way), then `prompt.py`, `hole.py` and `continuation.py` (the piece before and after), `sampling.py`
(logits to tokens) and the guards. `batch/` runs it over folders of files.
"""
