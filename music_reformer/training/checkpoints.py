"""The checkpoints of a run: the last, the one before it and the best, with their checksums.

A disk or a copy over the network may change bytes silently. `sums.json` holds the sha256 of each checkpoint, so that a
resumed run notices a damaged one and uses the one before it. Files are renamed one after another, and the sums are
written before the names change: whenever a run is killed, at least one checkpoint exists, and each existing one has its
sum.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import torch

from music_reformer.errors import UserError
from music_reformer.files import read_json, write_json

DAMAGED = (pickle.UnpicklingError, RuntimeError, OSError, EOFError, KeyError, ValueError, TypeError)


class Checkpoints:
    """The folder of checkpoints.

    Args:
        path: the folder; need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last, self.previous, self.best = (path / f"{name}.ckpt" for name in ("last", "previous", "best"))
        self.sums = path / "sums.json"
        self._sums: dict[str, str] | None = None  # once this process has written one

    def keep(self, file: Path, *, best: bool) -> None:
        """Make a file that has just been written the last checkpoint, and the last one the previous.

        Args:
            file: in this folder; it is renamed.
            best: whether it becomes best.ckpt, too.
        """
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
        if self._sums is None:  # the first in this process
            self._sums = self._whole()
        sums, new = self._sums, _digest(file)
        write_json(self.sums, {**sums, "next": new}, durable=True)
        if "last" in sums:  # a damaged one must not replace the previous
            self.last.replace(self.previous)
            sums["previous"] = sums["last"]
        if best:
            _link(file, self.best)
            sums["best"] = new
        file.replace(self.last)
        sums["last"] = new
        write_json(self.sums, sums, durable=True)

    def find(self, say: Callable[[str], None]) -> tuple[Path, int] | None:
        """The checkpoint to resume from and its step: the last or, if that is damaged, the one before.

        Args:
            say: called with a sentence about damaged files.

        Returns:
            None if there is no checkpoint.

        Raises:
            UserError: all checkpoints are damaged.
        """
        found = [path for path in (self.last, self.previous) if path.exists()]
        if not found:
            return None
        known = set(self._read_sums().values())
        if not known:
            say(f"{self.sums} is missing or damaged, so the checkpoint cannot be verified.")
        for path in found:
            step = _step(path, known)
            if step is not None:
                if path != found[0]:
                    say(f"{found[0]} is damaged; resuming from the checkpoint before it, {path}.")
                return path, step
        raise UserError(f"{self.last} is damaged; copy best.ckpt over it, or give another output=...")

    def _whole(self) -> dict[str, str]:
        """Sums of the existing checkpoints that are not known to be damaged."""
        known = set(self._read_sums().values())
        found = {path.stem: _digest(path) for path in (self.last, self.previous, self.best) if path.exists()}
        return {name: digest for name, digest in found.items() if not known or digest in known}

    def _read_sums(self) -> dict[str, str]:
        """Sums by name of the checkpoint; empty if there are none, as in runs of earlier versions."""
        with contextlib.suppress(UserError):
            return {name: str(digest) for name, digest in read_json(self.sums).items()}
        return {}


def _step(path: Path, known: set[str]) -> int | None:
    """The step of a checkpoint; None if it is damaged. `known` are the sums, empty where nothing can be compared."""
    try:
        if known and _digest(path) not in known:
            return None
        # Without a sum, at least every byte is read.
        return int(torch.load(path, weights_only=True, map_location="cpu", mmap=bool(known))["global_step"])
    except DAMAGED:
        return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _link(file: Path, name: Path) -> None:
    """Give a file a second name, replacing the file that has it."""
    temporary = name.with_name(f"{name.name}.tmp")
    temporary.unlink(missing_ok=True)
    os.link(file, temporary)
    temporary.replace(name)
