"""`manifest.jsonl`: one line for each written file and for each prompt that failed.

Lines are only appended; of several about one file or prompt, the last one counts. A line is written after its file, so
every file that is listed is complete.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from music_reformer.files import naming, take_lock


class Manifest:
    """The manifest of an output folder, read and then open for appending. Locked against other runs until `close`.

    Args:
        path: the file; created if absent.
        defaults: default values of settings that requests in an older manifest may lack.

    Raises:
        UserError: another run is writing to it.
    """

    def __init__(self, path: Path, *, defaults: dict[str, Any]) -> None:
        self._path, self._root = path, path.parent
        self._defaults = defaults
        self._files: dict[str, dict[str, Any]] = {}
        self._failures: dict[str, dict[str, Any]] = {}
        self._stream = open(path, "ab+")  # noqa: SIM115 - open for the whole run
        take_lock(self._stream, f"another run is writing to {self._root}; wait for it or stop it")
        self._stream.seek(0)
        content = self._stream.read()
        if content and not content.endswith(b"\n"):  # a run was killed in the middle of a line
            self._stream.write(b"\n")
        for line in content.splitlines():
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError):
                continue

    def has(self, file: Path, request: dict[str, Any], variation: int) -> bool:
        """Whether the file exists and was written for this request."""
        entry = self._files.get(self._name(file))
        return entry is not None and file.exists() and entry["request"] == request and entry["variation"] == variation

    def failure(self, prompt: str, request: dict[str, Any]) -> str | None:
        """Why this request failed before, if it would fail again; the seed makes no difference."""
        entry = self._failures.get(prompt)
        if entry is None or entry.get("again") or _without_seed(entry["request"]) != _without_seed(request):
            return None
        return str(entry["error"])

    def add(self, file: Path, request: dict[str, Any], variation: int, about: dict[str, Any]) -> None:
        """Note a file that has just been written."""
        self._write({"file": self._name(file), "variation": variation, "request": request, **about})

    def add_failure(self, prompt: str, request: dict[str, Any], error: str, *, again: bool) -> None:
        """Note a prompt that could not be used; `again`: a later run should try it again."""
        entry = {"prompt": prompt, "error": error, "request": _without_seed(request)}
        self._write({**entry, "again": True} if again else entry)

    def close(self) -> None:
        """Close the file and release the lock."""
        with naming(self._path):
            self._stream.close()

    def _write(self, entry: dict[str, Any]) -> None:
        self._take(entry)
        with naming(self._path):
            self._stream.write(json.dumps(entry).encode() + b"\n")
            self._stream.flush()

    def _take(self, entry: dict[str, Any]) -> None:
        entry = {**entry, "request": _completed(entry["request"], self._defaults)}
        if "error" in entry:
            self._failures[entry["prompt"]] = entry
        else:
            self._files[entry["file"]] = entry

    def _name(self, file: Path) -> str:
        return file.relative_to(self._root).as_posix()


def _completed(request: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """A request with the defaults of settings that it lacks, nested ones included."""
    nested = {
        name: _completed(request[name], value)
        for name, value in defaults.items()
        if isinstance(value, dict) and isinstance(request.get(name), dict)
    }
    return {**defaults, **request, **nested}


def _without_seed(request: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in request.items() if key != "seed"}
