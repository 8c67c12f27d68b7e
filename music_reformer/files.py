"""Writes files completely or not at all, names the right file in errors, and locks folders against a second run."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from music_reformer.errors import UserError

try:
    import fcntl
except ImportError:  # On Windows, concurrent runs are not detected.
    fcntl = None  # type: ignore[assignment]

# Longest JSON file that is read as settings: tokenizers have 20 kB, and an untrusted file must not fill the memory.
MAX_JSON_BYTES = 16 * 2**20


@contextlib.contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Make disk errors name `path`, the file that the user knows, instead of a temporary file or no file.

    Errors about a file elsewhere keep its name.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or (error.filename is not None and not _belongs(Path(str(error.filename)), Path(path))):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def _belongs(file: Path, path: Path) -> bool:
    """Whether a file is `path`, or a temporary one in its place, or in one of them."""
    places = (file, *file.parents)
    return path in places or any(
        place.parent == path.parent and place.name.startswith(f".{path.name}.") for place in places
    )


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A temporary file to write to: it is renamed to `path` at the end, or removed if the block fails.

    Args:
        path: the file; its folder is made if absent.
        durable: wait until the bytes are on the disk: otherwise, a file just renamed can be empty after a power cut.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(descriptor)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)  # mkstemp makes it readable for its owner only
            if durable:
                with open(temporary, "rb") as file:
                    os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A temporary folder to fill: it is renamed to `path` at the end, or removed if the block fails.

    `path` may be an empty folder.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        try:
            yield temporary
            temporary.chmod(0o755)
            temporary.replace(path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def write_atomically(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Write a file completely or not at all; `durable` as in `replacing`."""
    with replacing(path, durable=durable) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, content: Any, *, durable: bool = False) -> None:
    """Write indented JSON, completely or not at all; `durable` as in `replacing`."""
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode(), durable=durable)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from an untrusted file.

    Raises:
        UserError: it cannot be read, is too long, or holds something else.
    """
    try:
        size = path.stat().st_size
        if size > MAX_JSON_BYTES:
            raise UserError(f"{path} has {size:,} bytes; at most {MAX_JSON_BYTES:,} are read")
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    except UserError:
        raise
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}); it is damaged") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged: it does not hold a JSON object")
    return content


def take_lock(file: IO[Any], message: str) -> None:
    """Lock an open file against other processes until it is closed; the lock of a killed process is released.

    Raises:
        UserError: with `message`, if another process holds the lock; the file is closed then.
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
    """Lock a folder against other runs.

    Raises:
        UserError: with `message`, if another run has it.
    """
    with open(folder / ".lock", "ab") as file:
        take_lock(file, message)
        yield
