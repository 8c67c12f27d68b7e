"""Where a visitor's files are kept while they are of use.

There are no accounts, so the name under which a file is kept is its own key: 128 random bits that only the visitor who
put it there has been told. Nothing lists the keys. Files not touched for a while are removed, and the oldest where all
together are too large, so that the folder does not grow for ever.
"""

from __future__ import annotations

import re
import secrets
import shutil
import threading
import time
from pathlib import Path

from music_reformer.errors import UserError

KEY_PATTERN = re.compile(r"[A-Za-z0-9_-]{22}")
# Characters that some file system or HTTP header cannot carry.
UNSAFE_IN_NAMES = re.compile(r"[^\w\s.,()+#'-]+")
MAX_NAME = 80


def safe_name(name: str) -> str:
    """The last part of a path someone sent us, fit to be a file name or to be shown anywhere."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return " ".join(UNSAFE_IN_NAMES.sub(" ", last).split())


def safe_stem(name: str) -> str:
    """`safe_name` without its suffix, and never empty."""
    return Path(safe_name(name)).stem[:MAX_NAME].strip(". ") or "piece"


def sweep(folder: Path, *, max_age: float, excess: int = 0) -> None:
    """Remove what is in `folder` (folders of files) and unused for `max_age` seconds, and the longest unused besides
    until `excess` bytes are gone.
    """
    oldest = time.time() - max_age
    for used, place in sorted((place.stat().st_mtime, place) for place in folder.iterdir()):
        if used < oldest or excess > 0:
            excess -= _size(place)
            shutil.rmtree(place, ignore_errors=True)


def _size(place: Path) -> int:
    return sum(file.stat().st_size for file in place.iterdir()) if place.is_dir() else 0


class Shelf:
    """Files under unguessable keys, in `folder`; one folder per key, so that each file keeps its own name.

    Args:
        folder: made if absent. Everything in it belongs to the shelf.
        max_age: seconds after its last use when a file may be removed.
        max_bytes: of all files together.
    """

    def __init__(self, folder: Path, *, max_age: float = 24 * 3600.0, max_bytes: int = 2 * 10**9) -> None:
        self.folder = Path(folder)
        self.max_age = max_age
        self.max_bytes = max_bytes
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()

    def put(self, data: bytes, *, stem: str, suffix: str = ".mid") -> str:
        """Keep `data` as `<stem><suffix>`; returns its key."""
        self.sweep(room_for=len(data))
        key = secrets.token_urlsafe(16)
        place = self.folder / key
        place.mkdir()
        (place / f"{safe_stem(stem + '.mid')}{suffix}").write_bytes(data)
        return key

    def path(self, key: str) -> Path:
        """The file under `key`. Raises `UserError` where there is none (any more)."""
        # The pattern is checked before the key touches the file system: it comes from the network.
        place = self.folder / key if KEY_PATTERN.fullmatch(key) else None
        files = list(place.iterdir()) if place is not None and place.is_dir() else []
        if place is None or not files:
            raise UserError("This piece is no longer kept on the server; open the file again.")
        place.touch()
        return files[0]

    def sweep(self, *, room_for: int = 0) -> None:
        """Remove what nobody has used for `max_age` seconds, and the longest unused until there is room."""
        with self._lock:
            size = sum(map(_size, self.folder.iterdir()))
            sweep(self.folder, max_age=self.max_age, excess=size + room_for - self.max_bytes)
