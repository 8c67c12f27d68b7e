"""Folders of the page: a lasting one for visitors' pieces, and a temporary one of the process, for uploads."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from music_reformer.errors import UserError
from music_reformer.files import take_lock

PREFIX = "music-reformer-page-"
MARK = ".made-by-music-reformer"
MARK_TEXT = b"Made by a page of Music Reformer, which locks this file while it runs; the next one removes the folder.\n"


def lasting_folder() -> Path:
    """The default folder for visitors' pieces, in the user's folder for application data."""
    return platformdirs.user_data_path("music-reformer", appauthor=False) / "page"


class TemporaryFolder:
    """A folder of this process, removed when it ends. Creating one also removes those of processes that were killed."""

    def __init__(self) -> None:
        for stale in _stale():
            shutil.rmtree(stale, ignore_errors=True)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        # Renamed to the mark's name only once it is locked, so that no process finds a mark without its lock.
        draft = self.path / f"{MARK}.draft"
        self._mark = draft.open("wb")
        take_lock(self._mark, f"{draft} is locked by another process")
        self._mark.write(MARK_TEXT)
        self._mark.flush()
        draft.rename(self.path / MARK)
        atexit.register(self.remove)

    def remove(self) -> None:
        """Remove the folder and its content."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._mark.close()
        atexit.unregister(self.remove)


def _stale() -> Iterator[Path]:
    """Folders of pages that certainly no longer run: owned by this user, marked, and their mark not locked."""
    if not hasattr(os, "getuid"):  # Windows has no locks to check
        return
    with os.scandir(tempfile.gettempdir()) as entries:
        names = [entry.path for entry in entries if entry.name.startswith(PREFIX)]
    for name in names:
        with contextlib.suppress(OSError, UserError):
            if _is_own_folder(name) and _is_unlocked(Path(name) / MARK):
                yield Path(name)


def _is_own_folder(name: str) -> bool:
    status = os.lstat(name)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()


def _is_unlocked(mark: Path) -> bool:
    with open(os.open(mark, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        if file.read(len(MARK_TEXT) + 1) != MARK_TEXT:
            return False
        take_lock(file, "its process runs")
        return True
