"""Keeps visitors' files for a limited time.

There are no accounts, so the name of a file is its key: 128 random bits, known only to the visitor who put it there.
Nothing lists the keys. Files unused for a while are removed, and so are the longest unused ones if all together are too
large.
"""

from __future__ import annotations

import contextlib
import math
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from music_reformer.errors import UserError

KEY_PATTERN = re.compile(r"[A-Za-z0-9_-]{22}")
# Characters that some file system or HTTP header cannot carry.
UNSAFE_IN_NAMES = re.compile(r"[^\w\s.,()+#'-]+")
MAX_NAME = 80
MAX_NAME_BYTES = 200  # file systems take 255, suffix included
MAX_AGE = 30 * 24 * 3600.0
MAX_BYTES = 2 * 10**9
SECONDS_BETWEEN_SWEEPS = 600.0
# Endings of variations' names: new variations of a kept one are named after the piece, without its ending.
ENDING = re.compile(r" - (?:(?:bars? \d+(?:-\d+)? - )?seed \d+ - \d+|joined)$")


def safe_name(name: str) -> str:
    """The last part of a path sent by a visitor, made safe for file names and display."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return " ".join(UNSAFE_IN_NAMES.sub(" ", last).split())


def safe_stem(name: str) -> str:
    """`safe_name` without its suffix, and never empty."""
    stem = Path(safe_name(name)).stem[:MAX_NAME]
    return stem.encode()[:MAX_NAME_BYTES].decode(errors="ignore").strip(". ") or "piece"


def variation_name(piece: str, *, first: int, last: int, seed: int, number: int) -> str:
    """The name of a variation: the piece, the new bars (counted from 1), the seed and a number."""
    bars = f"bars {first}-{last}" if last > first else f"bar {first}"
    ending = f" - {bars} - seed {seed} - {number}"
    return piece[: MAX_NAME - len(ending)].rstrip(". ") + ending


def piece_name(stem: str) -> str:
    """The name of the piece that a file is a variation of; for any other file, its own name."""
    return ENDING.sub("", stem)


class Shelf:
    """Files under unguessable keys, in `folder`; one folder per key, so that each file keeps its own name.

    Several processes may share a folder, and keys stay valid when a process ends. Other files in the folder are not
    touched.

    Args:
        folder: made if absent.
        max_age: seconds after a file's last use when it may be removed.
        max_bytes: limit for all files together.
    """

    def __init__(self, folder: Path, *, max_age: float = MAX_AGE, max_bytes: int = MAX_BYTES) -> None:
        self.folder = Path(folder)
        self.max_age = max_age
        self.max_bytes = max_bytes
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._size = 0
        self._swept = -math.inf

    def put(self, data: bytes, *, stem: str, suffix: str = ".mid") -> str:
        """Keep `data` as `<stem><suffix>`; returns its key."""
        with self._lock:
            self._size += len(data)
            full = self._size > self.max_bytes or time.monotonic() - self._swept > SECONDS_BETWEEN_SWEEPS
        if full:
            self.sweep(room_for=len(data))
        key = secrets.token_urlsafe(16)
        draft = self.folder / f".{key}"
        draft.mkdir()
        (draft / f"{safe_stem(stem + '.mid')}{suffix}").write_bytes(data)
        draft.rename(self.folder / key)
        return key

    def path(self, key: Any) -> Path:
        """The file under `key`. Raises `UserError` if there is none (any more)."""
        # The pattern is checked before the key touches the file system: it comes from the network.
        is_key = isinstance(key, str) and KEY_PATTERN.fullmatch(key) is not None
        place = self.folder / key if is_key else None
        try:
            files = list(place.iterdir()) if place is not None else []
            if place is not None and files:
                place.touch()
                return files[0]
        except OSError:
            pass
        raise UserError("This piece is no longer kept on the server; open the file again.")

    def sweep(self, *, room_for: int = 0) -> None:
        """Remove files unused for `max_age` seconds, and the longest unused until there is room."""
        with self._lock:
            places = sorted(self._places())
            self._size = room_for + sum(size for _, size, _ in places)
            excess = self._size - self.max_bytes
            if excess > 0:
                excess += self.max_bytes // 20  # so that not every new file triggers a sweep
            oldest = time.time() - self.max_age
            for used, size, place in places:
                if used < oldest or excess > 0:
                    shutil.rmtree(place, ignore_errors=True)
                    excess -= size
                    self._size -= size
            self._swept = time.monotonic()

    def _places(self) -> Iterator[tuple[float, int, Path]]:
        """Time of last use, size and folder of each file."""
        for place in self.folder.iterdir():
            # Another process may be removing it.
            with contextlib.suppress(OSError):
                if KEY_PATTERN.fullmatch(place.name.removeprefix(".")) and not place.is_symlink():
                    yield place.stat().st_mtime, sum(file.stat().st_size for file in place.iterdir()), place
