"""Unpacks archives that may be malicious: nothing is written outside the folder, and nothing fills the disk.

Only MIDI files, tables (CSV) and licences are unpacked. Links are never created.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from music_reformer.data.corpora.download import CHUNK, Meter, require_space
from music_reformer.errors import UserError
from music_reformer.midi.smf import MIDI_SUFFIXES

# MIDI files compress to a quarter of their size at best, the contents of a bomb to a thousandth or less.
MAX_RATIO = 30
SMALL = 50_000_000  # an archive that unpacks to less is never a bomb

# Name, size, compressed size (0 if unknown), and a function that opens it.
Member = tuple[str, int, int, Callable[[], IO[bytes]]]


def unpack(archive: Path, target: Path, meter: Meter) -> int:
    """Unpack the MIDI files, tables and licences of a zip or tar file.

    Args:
        archive: the file.
        target: folder to create; it is complete or not there at all.
        meter: shows the progress.

    Returns:
        The number of files that were unpacked.

    Raises:
        UserError: the file is not an archive, or is damaged, encrypted, unpacks to far more than its size, or has
            members outside its folder.
    """
    temporary = target.with_name(target.name + ".part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    meter.start("unpacking", archive.stat().st_size)
    try:
        number = _unpack_all(archive, temporary, meter)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    os.replace(temporary, target)
    return number


def _unpack_all(archive: Path, folder: Path, meter: Meter) -> int:
    number, total = 0, 0
    limit = max(SMALL, MAX_RATIO * archive.stat().st_size)
    try:
        members = (
            _zip_members(archive, folder, limit) if zipfile.is_zipfile(archive) else _tar_members(archive, meter, limit)
        )
        for name, size, packed, opener in members:
            total += size  # skipped members count, too: a compressed tar is decompressed through them
            if total > limit:
                raise UserError(_bomb(archive, limit))
            path = _safe_path(archive, name)
            if _wanted(path):
                target = folder.joinpath(*path.parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with opener() as source, open(target, "wb") as out:
                    shutil.copyfileobj(source, out, CHUNK)
                number += 1
            meter.advance(packed)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.filename is not None and error.errno is not None:
            raise UserError(f"{archive} cannot be unpacked ({error.strerror}: {error.filename})") from error
        raise UserError(f"{archive} is damaged and cannot be unpacked ({error}); remove it and try again") from error
    return number


def _zip_members(archive: Path, folder: Path, limit: int) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
        # The sizes are what the archive claims; no more than that is ever read from a member.
        total = sum(member.file_size for member in members)
        if total > limit:
            raise UserError(_bomb(archive, limit))
        require_space(folder, total, f"unpacking {archive}")
        for member in members:
            _safe_path(archive, member.filename)
        for member in members:
            if member.is_dir() or stat.S_ISLNK(member.external_attr >> 16):
                continue
            if member.flag_bits & 1:
                raise UserError(f"{archive} is encrypted; unpack it yourself and give the folder as corpus.path=...")
            yield member.filename, member.file_size, member.compress_size, partial(opened.open, member)


def _tar_members(archive: Path, meter: Meter, limit: int) -> Iterator[Member]:
    if not tarfile.is_tarfile(archive):
        raise UserError(f"{archive} is neither a zip nor a tar file; give the address of an archive")
    # Read as a stream, one member after another, in constant memory. Decompressed by gzip, bz2 or lzma, because tarfile
    # mistakes the end of a truncated stream for the end of the archive.
    with open(archive, "rb") as raw, _decompressed(raw) as stream, tarfile.open(fileobj=stream, mode="r|") as opened:
        before = 0
        for member in opened:
            _safe_path(archive, member.name)
            meter.advance(raw.tell() - before)
            before = raw.tell()
            if not member.isdir():
                size = max(0, member.size)
                yield member.name if member.isreg() else "", size, 0, partial(_opened, opened, member)
            opened.members.clear()  # type: ignore[attr-defined]  # else it keeps a list of all members
        rest = 0
        while chunk := stream.read(CHUNK):  # padding, then the checksum of the stream
            rest += len(chunk)
            if rest > limit:
                raise UserError(_bomb(archive, limit))


def _decompressed(raw: IO[bytes]) -> IO[bytes]:
    start = raw.read(6)
    raw.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]
    if start.startswith(b"BZh"):
        return bz2.BZ2File(raw)
    if start.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMAFile(raw)
    return raw


def _opened(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(member)
    assert file is not None  # the member is a regular file
    return file


def _safe_path(archive: Path, name: str) -> PurePosixPath:
    """The path of a member, relative to the target.

    Raises:
        UserError: it would leave the target.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or (name[1:2] == ":"):
        raise UserError(f"{archive} is not safe: it names a file outside its folder ({name!r}); it was not unpacked")
    return path


def _wanted(path: PurePosixPath) -> bool:
    return path.name.lower().endswith((*MIDI_SUFFIXES, ".csv")) or path.name.upper().startswith(("LICENSE", "LICENCE"))


def _bomb(archive: Path, limit: int) -> str:
    return (
        f"{archive} is not safe: it would unpack to more than {limit / 1e9:.2f} GB, far more than its size; "
        "it was not unpacked"
    )
