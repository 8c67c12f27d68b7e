"""The Reformer language model; needs torch only, and Numba where it composes on a CPU. Read `reformer.py` first."""
