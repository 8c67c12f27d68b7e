"""The Reformer language model; needs torch only. Read `reformer.py` first."""
