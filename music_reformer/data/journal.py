"""Results of an unfinished preparation, kept so that a run killed at any moment can go on.

Two files only ever grow: the tokens, and a line per file that says where its tokens are. Tokens are written before
their line, so what a line tells of is there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from music_reformer.errors import UserError

try:
    import fcntl
except ImportError:  # Windows: two runs at once are not noticed there
    fcntl = None  # type: ignore[assignment]


class Journal:
    """What is in the folder of an unfinished run, and where to write more.

    Args:
        folder: must exist.

    Attributes:
        results: by source. A result has "reason" where the file was skipped, else "begin" and "length" of its tokens
            and what `store.Piece` needs.

    Raises:
        UserError: another run is writing there.
    """

    def __init__(self, folder: Path) -> None:
        self.results: dict[str, dict[str, Any]] = {}
        self._lines = open(folder / "journal.jsonl", "ab+")  # noqa: SIM115 - both stay open for the whole run
        if fcntl is not None:
            try:
                fcntl.flock(self._lines, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                self._lines.close()
                raise UserError(f"another run is writing to {folder.parent}; wait for it or stop it") from error
        self._tokens_path = folder / "tokens.bin"
        self._tokens = open(self._tokens_path, "ab")  # noqa: SIM115
        self._num_tokens = 0
        self._load()

    def _load(self) -> None:
        """Read the lines, up to the first that is cut short or tells of tokens that are not there; drop the rest."""
        available = self._tokens_path.stat().st_size // 2
        covered = 0
        self._lines.seek(0)
        for line in self._lines:
            try:
                result = json.loads(line)
            except ValueError:
                break
            end = result.get("begin", 0) + result.get("length", 0)
            if not line.endswith(b"\n") or end > available:
                break
            self.results[result.pop("source")] = result
            self._num_tokens = max(self._num_tokens, end)
            covered += len(line)
        self._lines.truncate(covered)
        self._tokens.truncate(2 * self._num_tokens)

    def add(self, source: str, result: dict[str, Any]) -> None:
        """Keep one result. One that says "again" is for this run only: the next tries that file once more."""
        result = dict(result)
        tokens = result.pop("tokens", None)
        if tokens is not None:
            result["begin"] = self._num_tokens
            self._tokens.write(tokens)
            self._tokens.flush()
            self._num_tokens += len(tokens) // 2
        if not result.pop("again", False):
            self._lines.write(json.dumps({"source": source, **result}, sort_keys=True).encode() + b"\n")
            self._lines.flush()
        self.results[source] = result

    def tokens(self, source: str) -> NDArray[np.uint16]:
        """Tokens of one file, uint16 [length]."""
        result = self.results[source]
        return np.fromfile(self._tokens_path, dtype=np.uint16, count=result["length"], offset=2 * result["begin"])

    def close(self) -> None:
        """Close the files, and let other runs write."""
        self._tokens.close()
        self._lines.close()
