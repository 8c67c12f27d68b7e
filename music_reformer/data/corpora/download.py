"""Downloads of large files: resumed where they stopped, checked, and there whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import httpx

from music_reformer.errors import UserError

CHUNK = 1 << 20
ATTEMPTS = 5  # in a row that bring nothing
WAIT = 1.0  # seconds before the second attempt; twice as long before each further one
TIMEOUT = httpx.Timeout(30.0)
# Room that must be left on the disk when all is done.
SPARE = 100_000_000


class Meter(Protocol):
    """A progress bar, as far as it is needed here."""

    def start(self, what: str, total: int | None, done: int = 0) -> None:
        """Begin to count something new."""

    def advance(self, amount: int) -> None:
        """Count."""


def download(
    url: str, target: Path, *, sha256: str | None, num_bytes: int | None, unpacked: float, meter: Meter
) -> str | None:
    """Download a file, going on where an earlier try stopped.

    Args:
        url: http or https.
        target: the file; `target.part` holds what has come so far.
        sha256: that the file must have; None: not known.
        num_bytes: that it must have; None: not known.
        unpacked: room to leave beside it, in multiples of its size.
        meter: shown while it goes on.

    Returns:
        Its sha256 where none was given; it is written to `target.sha256` too, and a later download must have the same.

    Raises:
        UserError: it cannot be had, there is no room for it, or it is not the file that it should be.
    """
    part, record = target.with_name(target.name + ".part"), target.with_name(target.name + ".sha256")
    expected = sha256 or _recorded(record)
    failures = 0
    while True:
        before = _size(part)
        try:
            _continue(url, part, num_bytes=num_bytes, unpacked=unpacked, trusted=expected is not None, meter=meter)
            break
        except httpx.TransportError as error:
            failures = failures + 1 if _size(part) <= before else 1
            if failures >= ATTEMPTS:
                raise UserError(
                    f"{url} cannot be downloaded ({str(error) or type(error).__name__}); {_size(part) / 1e6:.1f} MB "
                    "are here, and the same command goes on from there"
                ) from error
            time.sleep(WAIT * 2 ** (failures - 1))
    found = digest_of(part, meter)
    if expected is not None and found != expected:
        part.unlink()
        _note_of(part).unlink(missing_ok=True)
        told = "" if sha256 else f" of the first download, in {record}"
        raise UserError(
            f"{url} is not the archive that it should be (sha256 {found}, not {expected}{told}); it was damaged on the "
            "way or has changed, and was removed"
        )
    os.replace(part, target)
    _note_of(part).unlink(missing_ok=True)
    if expected is not None:
        return None
    record.write_text(f"{found}  {target.name}\n")
    return found


def digest_of(path: Path, meter: Meter) -> str:
    """The sha256 of a file."""
    meter.start("checking", _size(path))
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            meter.advance(len(chunk))
    return digest.hexdigest()


def require_space(folder: Path, needed: float, what: str) -> None:
    """Raise UserError unless the disk of a folder has room for so many bytes."""
    free = shutil.disk_usage(folder).free
    if needed + SPARE > free:
        raise UserError(
            f"{what} needs {(needed + SPARE) / 1e9:.1f} GB on the disk of {folder}, which has {free / 1e9:.1f} GB; "
            "make room or name another folder with downloads=..."
        )


def _continue(url: str, part: Path, *, num_bytes: int | None, unpacked: float, trusted: bool, meter: Meter) -> None:
    """One try: ask for what is missing, and append it."""
    headers = {"Accept-Encoding": "identity", **_resume_headers(part, url, trusted)}
    with (
        httpx.Client(follow_redirects=True, timeout=TIMEOUT) as client,
        _request(client, url, headers) as response,
    ):
        if response.status_code == 416 and response.headers.get("Content-Range") == f"bytes */{_size(part)}":
            return  # all of it came before
        begin = _begin(response, part, url)
        length = response.headers.get("Content-Length")
        total = num_bytes if length is None else begin + int(length)
        if num_bytes is not None and total != num_bytes:
            raise UserError(f"{url} has {total:,} bytes instead of the {num_bytes:,} of the manifest; it has changed")
        if total is not None:
            require_space(part.parent, total * (1 + unpacked) - begin, f"the download of {url}")
        _write_note(part, url, response)
        meter.start("downloading", total, begin)
        with open(part, "ab" if begin else "wb") as file:
            for chunk in response.iter_raw(CHUNK):
                if total is not None and file.tell() + len(chunk) > total:
                    raise UserError(f"{url} sends more than the {total:,} bytes that it announces; not trusted")
                file.write(chunk)
                meter.advance(len(chunk))
        if total is not None and _size(part) < total:
            raise httpx.ReadError(f"{_size(part):,} of {total:,} bytes came")


@contextlib.contextmanager
def _request(client: httpx.Client, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
    try:
        with client.stream("GET", url, headers=headers) as response:
            yield response
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise UserError(f"{url} is not an http or https address; give another with corpus.url=...") from error
    except httpx.TooManyRedirects as error:
        raise UserError(f"{url} only leads round in a circle; give another with corpus.url=...") from error


def _begin(response: httpx.Response, part: Path, url: str) -> int:
    """Where in the file the answer begins.

    Raises:
        UserError: the server refuses.
        httpx.TransportError: it may answer better next time.
    """
    status = response.status_code
    if status == 206:
        begin = _size(part)
        if response.headers.get("Content-Range", "").startswith(f"bytes {begin}-"):
            return begin
        part.unlink()
        raise httpx.ReadError("the server sent another part than was asked for")
    if status == 200:
        return 0
    if status == 416:  # what is here is longer than the file: it is another file
        part.unlink(missing_ok=True)
        raise httpx.ReadError("the file has changed")
    if status in (408, 429) or status >= 500:
        raise httpx.ReadError(f"the server answers {status} {response.reason_phrase}")
    raise UserError(
        f"{url} cannot be downloaded: the server answers {status} {response.reason_phrase}; give another address with "
        "corpus.url=..., or a folder of files with corpus.path=..."
    )


def _resume_headers(part: Path, url: str, trusted: bool) -> dict[str, str]:
    """Ask for the rest, if the file is still the same; without a mark of that, only where a checksum will tell."""
    if not _size(part):
        return {}
    try:
        note = json.loads(_note_of(part).read_text())
    except (OSError, ValueError):
        note = {}
    mark = note.get("mark") if note.get("url") == url else None
    if mark is None and not trusted:
        return {}
    return {"Range": f"bytes={_size(part)}-", **({"If-Range": mark} if mark else {})}


def _write_note(part: Path, url: str, response: httpx.Response) -> None:
    etag = response.headers.get("ETag", "")
    # A weak ETag does not promise the same bytes.
    mark = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
    _note_of(part).write_text(json.dumps({"url": url, "mark": mark}))


def _note_of(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _recorded(record: Path) -> str | None:
    return record.read_text().split()[0] if record.is_file() else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
