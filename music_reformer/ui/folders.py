"""Folders of the page: one that lasts, for visitors' pieces, and one that ends with the process, for uploads."""

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
    """Where visitors' pieces are kept if nothing else is said: in the user's folder for data of programs."""
    return platformdirs.user_data_path("music-reformer", appauthor=False) / "page"


class TemporaryFolder:
    """A folder of this process's own, removed when it ends; those of processes that were killed go when one is made."""

    def __init__(self) -> None:
        for stale in _stale():
            shutil.rmtree(stale, ignore_errors=True)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        # Named as a mark once it is locked, so that nobody finds a mark without its lock.
        draft = self.path / f"{MARK}.draft"
        self._mark = draft.open("wb")
        take_lock(self._mark, f"{draft} is locked by another process")
        self._mark.write(MARK_TEXT)
        self._mark.flush()
        draft.rename(self.path / MARK)
        atexit.register(self.remove)

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._mark.close()
        atexit.unregister(self.remove)


def _stale() -> Iterator[Path]:
    """Folders that were certainly made by a page that no longer runs: ours, marked, and their mark not locked."""
    if not hasattr(os, "getuid"):  # Windows: no locks that would tell
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
