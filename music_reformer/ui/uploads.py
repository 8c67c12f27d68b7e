"""Files that visitors have uploaded and not opened yet.

A path from a request is only ever looked up among those that were handed out here: no other path is opened or deleted
because a request names it.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from music_reformer.config import require
from music_reformer.ui.shelf import safe_stem

# Limit for all uploads together; the oldest are removed first. Visitors open an upload at once, or never.
MAX_BYTES = 200_000_000
MAX_AGE = 600.0
GONE = "This upload does not exist or has been deleted; send the file again and open the path that is returned."


@dataclass
class _Upload:
    path: Path
    size: int
    kept: float = field(default_factory=time.monotonic)


class Uploads:
    """Uploads as `<folder>/<hash>/<file>`: every upload gets a folder of its own, so that nobody can take another's.

    Args:
        folder: made if absent; its name is the first part of the paths that are handed out.
        max_bytes: limit for all files together.
        max_age: seconds after which an unopened file is removed.
    """

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES, max_age: float = MAX_AGE) -> None:
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self.max_age = max_age
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        # By the path handed out, oldest first.
        self._kept: dict[str, _Upload] = {}

    def keep(self, data: bytes, *, name: str) -> str:
        """Keep a file under `name`, made safe for file systems; returns the path for opening it."""
        place = self.folder / secrets.token_hex(20)
        path = place / f"{safe_stem(name)}.mid"
        with self._lock:
            self._make_room(len(data))
            place.mkdir()
            path.write_bytes(data)
            shown = path.relative_to(self.folder.parent).as_posix()
            self._kept[shown] = _Upload(path, len(data))
        return shown

    @contextlib.contextmanager
    def taken(self, sent: Any) -> Iterator[Path]:
        """Within the block, the upload whose path a visitor sent as {"path": ...}; it is removed afterwards.

        Raises:
            UserError: the path was not handed out, or its file has been taken already.
        """
        shown = sent.get("path") if isinstance(sent, dict) else None
        require(
            isinstance(shown, str),
            'Send a file to /upload first, then open it as {"path": ...} with the path that is returned.',
        )
        with self._lock:
            upload = self._kept.pop(str(shown), None)
        require(upload is not None, GONE)
        assert upload is not None
        try:
            require(_is_plain_file(upload.path), GONE)
            yield upload.path
        finally:
            _remove(upload)

    def _make_room(self, size: int) -> None:
        oldest = time.monotonic() - self.max_age
        total = size + sum(upload.size for upload in self._kept.values())
        for shown, upload in list(self._kept.items()):
            if upload.kept >= oldest and total <= self.max_bytes:
                break
            total -= upload.size
            _remove(self._kept.pop(shown))


def _is_plain_file(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISREG(path.lstat().st_mode)
    return False


def _remove(upload: _Upload) -> None:
    shutil.rmtree(upload.path.parent, ignore_errors=True)
