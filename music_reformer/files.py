"""One run at a time in a folder, or on a file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from music_reformer.errors import UserError

try:
    import fcntl
except ImportError:  # Windows: two runs at once are not noticed there
    fcntl = None  # type: ignore[assignment]


def take_lock(file: IO[Any], message: str) -> None:
    """Keep other processes from locking an open file until it is closed; one that is killed lets go by that.

    Raises:
        UserError: with `message`, if another process has it; the file is closed then.
    """
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise UserError(message) from error


@contextlib.contextmanager
def locked(folder: Path, message: str) -> Iterator[None]:
    """Keep others out of a folder.

    Raises:
        UserError: with `message`, if another run has it.
    """
    with open(folder / ".lock", "ab") as file:
        take_lock(file, message)
        yield
