"""Reading the MIDI file of a stranger in a process of its own, with limits on time and memory."""

from __future__ import annotations

import sys
from pathlib import Path

import symusic

from music_reformer.midi.limited import run_limited, serve_limited
from music_reformer.midi.score import UPLOAD_BYTES, UPLOAD_NOTES, check_chunks, read_bytes, read_score


def read_score_guarded(
    source: str | Path | bytes,
    *,
    name: str | None = None,
    seconds: float = 60,
    megabytes: int = 1500,
    max_bytes: int = UPLOAD_BYTES,
    max_notes: int = UPLOAD_NOTES,
) -> symusic.Score:
    """`read_score` for files that nobody vouches for.

    Args:
        source: path or bytes.
        name: what to call it in messages; None: its file name.
        seconds: wall time that reading may take.
        megabytes: memory that it may take.
        max_bytes, max_notes: largest file.

    Raises:
        UserError: as `read_score`, or it took more than the limits.
    """
    name = name or ("the MIDI data" if isinstance(source, bytes) else Path(source).name)
    data = read_bytes(source, name, max_bytes)
    check_chunks(data, name)  # what is no MIDI at all costs no process
    arguments = [name.replace("\0", ""), str(max_bytes), str(max_notes)]
    module = "music_reformer.midi.guard"
    run_limited(module, arguments, data, name=name, doing="read", seconds=seconds, megabytes=megabytes)
    return symusic.Score.from_midi(data)


def _check(data: bytes, name: str, max_bytes: str, max_notes: str) -> bytes:
    read_score(data, max_bytes=int(max_bytes), max_notes=int(max_notes), name=name)
    return b""


if __name__ == "__main__":
    sys.exit(serve_limited(_check))
