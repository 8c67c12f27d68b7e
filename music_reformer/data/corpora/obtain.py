"""Having the files of a corpus here: told of, downloaded, checked and unpacked, if they are not yet."""

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
from music_reformer.data.corpora.download import digest_of, download
from music_reformer.data.corpora.manifest import Archive, Manifest
from music_reformer.data.corpora.unpack import unpack
from music_reformer.errors import UserError
from music_reformer.files import locked
from music_reformer.midi.score import write_atomically

# Room to leave for the files of an archive, in multiples of its size.
UNPACKED = 4.0


def obtain(config: CorpusConfig, manifest: Manifest, downloads: Path, console: Console) -> Path:
    """The folder of a corpus; downloads and unpacks it where that has not been done.

    Args:
        config: `path` and `url` count.
        manifest: says where it is to be had.
        downloads: folder for archives; each corpus has one of its own below it.
        console: for the licence, the progress and what was done.

    Raises:
        UserError: it cannot be had, as `download` and `unpack` say, or a person must download it.
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


def _archive_of(config: CorpusConfig, manifest: Manifest, name: str) -> Archive:
    """What to download."""
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


def _unpacked(archive: Archive, manifest: Manifest, folder: Path, console: Console) -> Path:
    """The folder with what the archive holds."""
    files, note = folder / "files", folder / "files.json"
    if files.is_dir() and note.is_file():
        came = json.loads(note.read_text())
        if archive.sha256 in (None, came["sha256"]):
            console.print(f"{manifest.name}: unpacked already, in {files}")
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
    """Have the archive here, and return its sha256, which is the right one."""
    if target.is_file():
        sha256 = _check_again(target, archive, bar)
        console.print(f"{target} is here already; its sha256 is right")
        return sha256
    url, num_bytes = archive.url, archive.num_bytes
    seen = download(url, target, sha256=archive.sha256, num_bytes=num_bytes, unpacked=UNPACKED, meter=bar)
    record = _record_of(target)
    if seen is not None:
        console.print(f"the publisher gives no checksum; {seen} was seen, is kept in {record}, and must come again")
    return archive.sha256 or record.read_text().split()[0]


def _introduce(manifest: Manifest, archive: Archive, console: Console) -> None:
    """What one should know before a download: what it is, its licence, whom to cite, how large it is."""
    size = f"{archive.num_bytes / 1e6:,.1f} MB" if archive.num_bytes else "the publisher gives no size"
    console.print(f"{manifest.name}: {manifest.source}")
    console.print(f"  licence:  {' '.join(manifest.licence.split())}")
    console.print(f"  cite:     {' '.join(manifest.citation.split())}")
    console.print(f"  download: {archive.url} ({size})")
    console.print(f"  sha256:   {archive.sha256 or 'the publisher gives none'}")


def _check_again(target: Path, archive: Archive, bar: _Bar) -> str:
    """The sha256 of an archive that is here, which must be the right one."""
    record = _record_of(target)
    expected = archive.sha256 or (record.read_text().split()[0] if record.is_file() else None)
    found = digest_of(target, bar)
    if expected is not None and found != expected:
        raise UserError(f"{target} has the sha256 {found} instead of {expected}; remove it, and it is downloaded again")
    if expected is None:
        write_atomically(record, f"{found}  {target.name}\n".encode())
    return found


def _record_of(target: Path) -> Path:
    """Where the sha256 of a first download is kept."""
    return target.with_name(target.name + ".sha256")


def _corpus_folder(files: Path, archive: Archive) -> Path:
    """The corpus inside the unpacked archive."""
    if archive.folder == ".":
        return files
    found = sorted(path for path in files.glob(archive.folder) if path.is_dir())
    if len(found) != 1:
        raise UserError(
            f"{files} was unpacked from {archive.url}, but has no one folder {archive.folder}; give the folder that "
            "holds the corpus as corpus.path=..."
        )
    return found[0]


def _file_name(url: str) -> str:
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    return name.lstrip(".") or "archive"


def _remove(folder: Path) -> None:
    """A folder that was unpacked, but of which that was not written down; renamed first, to be gone at once."""
    if folder.exists():
        gone = folder.with_name(folder.name + ".old")
        os.replace(folder, gone)
        shutil.rmtree(gone)


class _Bar:
    """The one bar of a download: downloading, checking, unpacking."""

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
        """Begin to count something new."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(what, total=total, completed=done)

    def advance(self, amount: int) -> None:
        """Count."""
        assert self._task is not None
        self._progress.advance(self._task, amount)
