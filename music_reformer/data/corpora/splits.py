"""Finds the files of a corpus and assigns each to a split.

Files are split by composition, so that no performance of a composition is in the test split while another is in the
training split. The split of a composition is a hash of its name, so adding files moves none of the others. If the
publisher provides a split (a table named by the manifest), that one is used.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from music_reformer.config import SPLITS, CorpusConfig
from music_reformer.data.corpora.corpus_manifest import CorpusManifest, Table
from music_reformer.errors import UserError
from music_reformer.midi.sheet import MUSIC_SUFFIXES, SHEET_SUFFIXES, is_music_name
from music_reformer.midi.smf import without_suffix


@dataclass(frozen=True, order=True)
class CorpusFile:
    """A file of a corpus.

    Attributes:
        source: path relative to the corpus, with /.
        composition: name of the composition; all its files are in the same split.
        split: "train", "validation" or "test".
        reason: why the file is skipped without being read; None if it is not.
    """

    source: str
    composition: str
    split: str
    reason: str | None = None


@dataclass
class PassedOver:
    """Counts the files of a folder that, by their names, are not music files."""

    num_files: int = 0


def find_files(
    config: CorpusConfig, manifest: CorpusManifest, passed_over: PassedOver | None = None
) -> Iterator[CorpusFile]:
    """All MIDI files of a corpus, in any order and without a list of them in memory; `passed_over` counts the others.

    Raises:
        UserError: the folder is missing or has no MIDI files, or the publisher's table cannot be used.
    """
    root = Path(config.path or "")
    if not root.is_dir():
        raise UserError(f"corpus.path ({config.path}) is not a folder; name a folder of MIDI files")
    listed = None if manifest.table is None else _read_table(root, manifest.table)
    empty = True
    for source in _walk(str(root), "", passed_over or PassedOver()):
        if manifest.exclude.fullmatch(source):
            continue
        if listed is not None and source not in listed and source.lower().endswith(SHEET_SUFFIXES):
            continue  # scores beside the performances that the table lists
        empty = False
        if listed is None:
            yield _place(source, manifest, config)
        elif source in listed:
            composition, split = listed[source]
            yield CorpusFile(source=source, composition=composition, split=split)
        else:
            assert manifest.table is not None
            reason = f"{source} is not in {manifest.table.file}"
            yield CorpusFile(source=source, composition=source, split="train", reason=reason)
    if empty:
        raise UserError(
            f"corpus.path ({config.path}) holds no music files ({', '.join(MUSIC_SUFFIXES)}); choose another folder"
        )


def _walk(root: str, below: str, passed_over: PassedOver) -> Iterator[str]:
    """Paths of the MIDI files below a folder, yielded while the folder is read."""
    folders = []
    with os.scandir(os.path.join(root, below) if below else root) as entries:
        for entry in entries:
            path = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
            elif entry.is_file():
                if is_music_name(entry.name):
                    yield path
                else:
                    passed_over.num_files += 1
    for folder in folders:
        yield from _walk(root, folder, passed_over)


def _read_table(root: Path, table: Table) -> dict[str, tuple[str, str]]:
    """(composition, split) of each source in the publisher's table."""
    path = root / table.file
    rows: dict[str, tuple[str, str]] = {}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                composition = " / ".join(row[column] for column in table.composition)
                if row[table.split] not in SPLITS:
                    raise UserError(f"{path} has a split {row[table.split]!r}; it must be one of {', '.join(SPLITS)}")
                rows[row[table.source]] = composition, row[table.split]
    except (OSError, KeyError, TypeError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{path}, which gives the split of this corpus, cannot be used ({error!r}); corpus.path must be the folder "
            "that holds it"
        ) from error
    return rows


def _place(source: str, manifest: CorpusManifest, config: CorpusConfig) -> CorpusFile:
    path = PurePosixPath(source)
    if manifest.composition == "name":
        name = without_suffix(path).name
    elif manifest.composition == "folder" and path.parent.name:
        name = str(path.parent)
    else:
        name = str(without_suffix(path))
    composition = manifest.variant.sub("", name)
    # The name of the corpus is left out, so that it has the same splits when it is prepared as a plain folder.
    digest = hashlib.sha256(os.fsencode(composition)).digest()
    fraction = int.from_bytes(digest[:8], "big") / 2**64
    if fraction < config.test_fraction:
        split = "test"
    elif fraction < config.test_fraction + config.validation_fraction:
        split = "validation"
    else:
        split = "train"
    return CorpusFile(source=source, composition=composition, split=split)
