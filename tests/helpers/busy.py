"""Work that never ends, for `limited.py`."""

from __future__ import annotations

import sys

from music_reformer.midi.limited import serve_limited


def _work(data: bytes) -> bytes:
    while True:
        pass


if __name__ == "__main__":
    sys.exit(serve_limited(_work))
