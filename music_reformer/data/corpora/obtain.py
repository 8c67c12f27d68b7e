"""Provides the files of a corpus: announces, downloads, checks and unpacks them unless they are there already."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from music_reformer.config import CorpusConfig
from music_reformer.data.corpora.corpus_manifest import Archive, CorpusManifest
from music_reformer.data.corpora.download import digest_of, download
from music_reformer.data.corpora.unpack import unpack
from music_reformer.errors import UserError
from music_reformer.files import locked, write_atomically

# Disk space required for the files of an archive, in multiples of its size.
UNPACKED = 4.0


def obtain(config: CorpusConfig, manifest: CorpusManifest, downloads: Path, console: Console) -> Path:
    """The folder of a corpus, which is downloaded and unpacked if necessary.

    Args:
        config: `path` and `url` are used.
        manifest: says where to download the corpus.
        downloads: folder for archives; each corpus gets a folder below it.
        console: shows the licence, the progress and the result.

    Raises:
        UserError: the corpus has to be downloaded by hand, or as in `download` and `unpack`.
    """
    if config.path is not None:
        return Path(config.path)
    name = manifest.name or config.name
    archive = _archive_of(config, manifest, name)
    folder = downloads / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"downloads ({downloads}) cannot be written ({error.strerror})") from error
    with locked(folder, f"another run is downloading to {folder}; wait for it or stop it"):
        return _corpus_folder(_unpacked(archive, manifest, folder, console), archive)


def _archive_of(config: CorpusConfig, manifest: CorpusManifest, name: str) -> Archive:
    """The archive to download."""
    archive, by_hand = manifest.archive, manifest.by_hand
    if config.url is not None:
        return replace(archive, url=config.url) if archive is not None else Archive(url=config.url)
    if by_hand is not None:
        raise UserError(
            f"{name} can only be downloaded by hand: take {by_hand.what} from {by_hand.page}, unpack it, and pass its "
            "folder as corpus.path=..."
        )
    if archive is None:
        raise UserError(f"corpus {config.name} has nothing to download; give a folder of MIDI files as corpus.path=...")
    return archive


def _unpacked(archive: Archive, manifest: CorpusManifest, folder: Path, console: Console) -> Path:
    """The folder with the unpacked archive."""
    files, note = folder / "files", folder / "files.json"
    if files.is_dir() and note.is_file():
        came = json.loads(note.read_text())
        if archive.sha256 in (None, came["sha256"]):
            console.print(f"{manifest.name}: already unpacked in {files}")
            return files
        raise UserError(
            f"{files} was unpacked from another archive (sha256 {came['sha256']}, not {archive.sha256}); "
            f"remove {folder}"
        )
    _introduce(manifest, archive, console)
    target = folder / _file_name(archive.url)
    with _Bar(console) as bar:
        sha256 = _download(archive, target, bar, console)
        _remove(files)
        number = unpack(target, files, bar)
    write_atomically(note, (json.dumps({"url": archive.url, "sha256": sha256, "num_files": number}) + "\n").encode())
    console.print(f"{manifest.name}: {number:,} files unpacked to {files}")
    return files


def _download(archive: Archive, target: Path, bar: _Bar, console: Console) -> str:
    """Download the archive unless it is there, and return its verified sha256."""
    if target.is_file():
        sha256 = _check_again(target, archive, bar)
        console.print(f"{target} is already downloaded; its sha256 is correct")
        return sha256
    url, num_bytes = archive.url, archive.num_bytes
    seen = download(url, target, sha256=archive.sha256, num_bytes=num_bytes, unpacked=UNPACKED, meter=bar)
    record = _record_of(target)
    if seen is not None:
        console.print(
            f"the publisher gives no checksum; {seen} is recorded in {record}, and later downloads must match it"
        )
    return archive.sha256 or record.read_text().split()[0]


def _introduce(manifest: CorpusManifest, archive: Archive, console: Console) -> None:
    """Print source, licence, citation and size before a download."""
    size = f"{archive.num_bytes / 1e6:,.1f} MB" if archive.num_bytes else "the publisher gives no size"
    console.print(f"{manifest.name}: {manifest.source}")
    console.print(f"  licence:  {' '.join(manifest.licence.split())}")
    console.print(f"  cite:     {' '.join(manifest.citation.split())}")
    console.print(f"  download: {archive.url} ({size})")
    console.print(f"  sha256:   {archive.sha256 or 'the publisher gives none'}")


def _check_again(target: Path, archive: Archive, bar: _Bar) -> str:
    """The sha256 of an archive that is already downloaded.

    Raises:
        UserError: it is not the expected one.
    """
    record = _record_of(target)
    expected = archive.sha256 or (record.read_text().split()[0] if record.is_file() else None)
    found = digest_of(target, bar)
    if expected is not None and found != expected:
        raise UserError(f"{target} has the sha256 {found} instead of {expected}; remove it to download it again")
    if expected is None:
        write_atomically(record, f"{found}  {target.name}\n".encode())
    return found


def _record_of(target: Path) -> Path:
    """The file that records the sha256 of the first download."""
    return target.with_name(target.name + ".sha256")


def _corpus_folder(files: Path, archive: Archive) -> Path:
    """The corpus inside the unpacked archive."""
    if archive.folder == ".":
        return files
    found = sorted(path for path in files.glob(archive.folder) if path.is_dir())
    if len(found) != 1:
        raise UserError(
            f"{files} was unpacked from {archive.url}, but does not have exactly one folder {archive.folder}; give "
            "the folder that holds the corpus as corpus.path=..."
        )
    return found[0]


def _file_name(url: str) -> str:
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    return name.lstrip(".") or "archive"


def _remove(folder: Path) -> None:
    """Remove the folder of an unpacking that was not recorded. Renaming first makes it disappear at once."""
    if folder.exists():
        gone = folder.with_name(folder.name + ".old")
        os.replace(folder, gone)
        shutil.rmtree(gone)


class _Bar:
    """A progress bar that shows downloading, checking and unpacking in turn."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def start(self, what: str, total: int | None, done: int = 0) -> None:
        """Start a new count."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(what, total=total, completed=done)

    def advance(self, amount: int) -> None:
        """Add to the count."""
        assert self._task is not None
        self._progress.advance(self._task, amount)
