"""Downloads of large files: resumable, checked, and complete or not there at all."""

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
ATTEMPTS = 5  # in a row without progress
WAIT = 1.0  # seconds before the second attempt; doubled before each further one
TIMEOUT = httpx.Timeout(30.0)
# Bytes that must stay free on the disk.
SPARE = 100_000_000


class Meter(Protocol):
    """The part of a progress bar that downloads and unpacking use."""

    def start(self, what: str, total: int | None, done: int = 0) -> None:
        """Start a new count."""

    def advance(self, amount: int) -> None:
        """Add to the count."""


def download(
    url: str, target: Path, *, sha256: str | None, num_bytes: int | None, unpacked: float, meter: Meter
) -> str | None:
    """Download a file, resuming where an earlier attempt stopped.

    Args:
        url: http or https.
        target: path of the file; `target.part` holds the part downloaded so far.
        sha256: expected checksum; None if unknown.
        num_bytes: expected size; None if unknown.
        unpacked: disk space to require beside the file, in multiples of its size.
        meter: shows the progress.

    Returns:
        The sha256 of the file if none was given, else None. It is also written to `target.sha256`, and later downloads
        must match it.

    Raises:
        UserError: the file cannot be downloaded, does not fit on the disk, or is not the expected one.
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
                    "have been downloaded, and the same command resumes"
                ) from error
            time.sleep(WAIT * 2 ** (failures - 1))
    found = digest_of(part, meter)
    if expected is not None and found != expected:
        part.unlink()
        _note_of(part).unlink(missing_ok=True)
        told = "" if sha256 else f" of the first download, in {record}"
        raise UserError(
            f"{url} is not the expected archive (sha256 {found}, not {expected}{told}); it was damaged in "
            "transit or has changed, and was removed"
        )
    os.replace(part, target)
    _note_of(part).unlink(missing_ok=True)
    if expected is not None:
        return None
    record.write_text(f"{found}  {target.name}\n")
    return found


def digest_of(path: Path, meter: Meter) -> str:
    """The sha256 of a file, in hex."""
    meter.start("checking", _size(path))
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            meter.advance(len(chunk))
    return digest.hexdigest()


def require_space(folder: Path, needed: float, what: str) -> None:
    """Raise a `UserError` unless the disk of a folder has room for `needed` bytes."""
    free = shutil.disk_usage(folder).free
    if needed + SPARE > free:
        raise UserError(
            f"{what} needs {(needed + SPARE) / 1e9:.1f} GB on the disk of {folder}, which has {free / 1e9:.1f} GB "
            "free; make room, or name another folder with downloads=..."
        )


def _continue(url: str, part: Path, *, num_bytes: int | None, unpacked: float, trusted: bool, meter: Meter) -> None:
    """One attempt: request the missing part and append it."""
    headers = {"Accept-Encoding": "identity", **_resume_headers(part, url, trusted)}
    with (
        httpx.Client(follow_redirects=True, timeout=TIMEOUT) as client,
        _request(client, url, headers) as response,
    ):
        if response.status_code == 416 and response.headers.get("Content-Range") == f"bytes */{_size(part)}":
            return  # complete already
        begin = _begin(response, part, url)
        length = response.headers.get("Content-Length")
        total = num_bytes if length is None else begin + int(length)
        if num_bytes is not None and total != num_bytes:
            raise UserError(f"{url} has {total:,} bytes instead of the {num_bytes:,} in the manifest; it has changed")
        if total is not None:
            require_space(part.parent, total * (1 + unpacked) - begin, f"the download of {url}")
        _write_note(part, url, response)
        meter.start("downloading", total, begin)
        with open(part, "ab" if begin else "wb") as file:
            for chunk in response.iter_raw(CHUNK):
                if total is not None and file.tell() + len(chunk) > total:
                    raise UserError(
                        f"{url} sends more than the {total:,} bytes that it announced; the file was not accepted"
                    )
                file.write(chunk)
                meter.advance(len(chunk))
        if total is not None and _size(part) < total:
            raise httpx.ReadError(f"{_size(part):,} of {total:,} bytes arrived")


@contextlib.contextmanager
def _request(client: httpx.Client, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
    try:
        with client.stream("GET", url, headers=headers) as response:
            yield response
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise UserError(f"{url} is not an http or https address; give another with corpus.url=...") from error
    except httpx.TooManyRedirects as error:
        raise UserError(f"{url} redirects in a circle; give another with corpus.url=...") from error


def _begin(response: httpx.Response, part: Path, url: str) -> int:
    """The offset in the file at which the response begins.

    Raises:
        UserError: the server refuses.
        httpx.TransportError: another attempt may succeed.
    """
    status = response.status_code
    if status == 206:
        begin = _size(part)
        if response.headers.get("Content-Range", "").startswith(f"bytes {begin}-"):
            return begin
        part.unlink()
        raise httpx.ReadError("the server sent a different part from the one requested")
    if status == 200:
        return 0
    if status == 416:  # the part is longer than the file, which has changed
        part.unlink(missing_ok=True)
        raise httpx.ReadError("the file has changed")
    if status in (408, 429) or status >= 500:
        raise httpx.ReadError(f"the server answers {status} {response.reason_phrase}")
    raise UserError(
        f"{url} cannot be downloaded: the server answers {status} {response.reason_phrase}; give another address with "
        "corpus.url=..., or a folder of files with corpus.path=..."
    )


def _resume_headers(part: Path, url: str, trusted: bool) -> dict[str, str]:
    """Headers that request the rest of the file if it is unchanged.

    Without an ETag or date to compare, the rest is requested only if a checksum will verify the result.
    """
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
    # A weak ETag does not guarantee the same bytes.
    mark = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
    _note_of(part).write_text(json.dumps({"url": url, "mark": mark}))


def _note_of(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _recorded(record: Path) -> str | None:
    return record.read_text().split()[0] if record.is_file() else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
