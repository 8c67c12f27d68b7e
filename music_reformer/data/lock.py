"""One run at a time in a folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from music_reformer.errors import UserError

try:
    import fcntl
except ImportError:  # Windows: two runs at once are not noticed there
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def locked(folder: Path, message: str) -> Iterator[None]:
    """Keep others out of a folder; a process that is killed lets go by that.

    Raises:
        UserError: with `message`, if another run has it.
    """
    with open(folder / ".lock", "ab") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(message) from error
        yield
