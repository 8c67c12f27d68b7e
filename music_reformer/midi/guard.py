"""Reading the MIDI file of a stranger in a process of its own, with limits on time and memory.

Run as `python -m music_reformer.midi.guard NAME MAX_BYTES MAX_NOTES MEGABYTES < file`: exit code 0 where the file can
be read, else 1 and one sentence on standard output. A process of its own, not a fork: the server that calls this has
threads.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import symusic

from music_reformer.errors import UserError
from music_reformer.midi.score import UPLOAD_BYTES, UPLOAD_NOTES, read_bytes, read_score


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
    limits = [str(max_bytes), str(max_notes), str(megabytes)]
    command = [sys.executable, "-m", "music_reformer.midi.guard", name.replace("\0", ""), *limits]
    # The package as this process found it, installed or in a checkout, wherever both were started.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=seconds, check=False, env=environment)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{name} took more than {seconds:g} seconds to read; it is damaged or too large") from error
    if done.returncode == 1 and done.stdout:
        raise UserError(done.stdout.decode(errors="replace").strip())
    if done.returncode != 0:
        raise UserError(f"{name} could not be read within {megabytes} MB; it is damaged or too large")
    return symusic.Score.from_midi(data)


def _main(name: str, max_bytes: int, max_notes: int, megabytes: int) -> int:
    with contextlib.suppress(ImportError):  # not on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (megabytes * 2**20, resource.RLIM_INFINITY))
    try:
        read_score(sys.stdin.buffer.read(), max_bytes=max_bytes, max_notes=max_notes, name=name)
    except UserError as error:
        sys.stdout.buffer.write(str(error).encode(errors="replace"))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1], *map(int, sys.argv[2:])))
