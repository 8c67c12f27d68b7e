"""Several corpora in one store: their files, and splits that hold across them.

A collection is a `CorpusConfig` with members. A table lists groups of files (compositions and near-duplicates, across
corpora); the split of a file depends only on the name of its group (`split_of`).
"""

from __future__ import annotations

import csv
import functools
import gzip
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from music_reformer.config import CorpusConfig, MemberConfig, ReadingConfig, require
from music_reformer.data.corpora.corpus_manifest import CorpusManifest, groups_path, read_manifest
from music_reformer.data.corpora.grooves import plan_joins
from music_reformer.data.corpora.splits import CorpusFile, PassedOver, find_files
from music_reformer.errors import UserError

# One group in twelve is for testing, and one for validation.
SHARES = 12
HOW_TO = "docs/corpora.md says how to fetch and convert it"


def split_of(group: str) -> str:
    """The split of a group, by a hash of its name."""
    share = int(hashlib.sha256(group.encode()).hexdigest(), 16) % SHARES
    return {0: "test", 1: "validation"}.get(share, "train")


def corpus_files(
    config: CorpusConfig, manifest: CorpusManifest, passed_over: PassedOver | None = None
) -> Iterator[CorpusFile]:
    """The files of a corpus as `splits.find_files` gives them, or those of all members of a collection.

    Raises:
        UserError: as in `find_files`, or the folder of a member or the table of groups is missing.
    """
    if not config.members:
        yield from find_files(config, manifest, passed_over)
        return
    table = read_groups(config)
    for name in present_members(config):
        yield from _files_of_member(name, config, table, passed_over)


def present_members(config: CorpusConfig) -> list[str]:
    """Names of the members that are not left out.

    Raises:
        UserError: the folder of a member is missing.
    """
    root = Path(config.path or "")
    require(root.is_dir(), f"corpus.path ({config.path}) is not a folder; name the folder that holds all corpora")
    names = [name for name in config.members if name not in config.without]
    for name in names:
        folder = root / config.members[name].folder
        require(
            folder.is_dir(),
            f"the folder of {name}, {folder}, does not exist; {HOW_TO}, and corpus.without=[{name}] leaves it out",
        )
    return names


def member_of(config: CorpusConfig, source: str) -> tuple[str, ReadingConfig]:
    """Name of the corpus that a file of `corpus_files` is from, and how it is read."""
    for name, member in config.members.items():
        if source.startswith(f"{member.folder}/"):
            return name, member
    return config.name, config


def files_behind(config: CorpusConfig, source: str) -> list[str]:
    """The files that a file of `corpus_files` consists of: itself, or grooves to join; relative to `corpus.path`."""
    name, reading = member_of(config, source)
    if not isinstance(reading, MemberConfig) or not reading.join_grooves:
        return [source]
    return _joins(config.path or "", config.groups, name, reading.folder)[source]


def read_groups(config: CorpusConfig) -> dict[tuple[str, str], str]:
    """The group of each file in the table, by (corpus, file); empty without a table."""
    if config.groups is None:
        return {}
    path = groups_path(config.groups) or Path(config.path or "") / config.groups
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", newline="", encoding="utf-8") as file:
            return {(row["corpus"], row["file"]): row["group_id"] for row in csv.DictReader(file)}
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"the table of groups {path} cannot be used ({error}); it must be CSV with corpus, file and group_id"
        ) from error


def _files_of_member(
    name: str, config: CorpusConfig, table: Mapping[tuple[str, str], str], passed_over: PassedOver | None
) -> Iterator[CorpusFile]:
    member, manifest = config.members[name], read_manifest(name)
    own = {file.source: file for file in find_files(_alone(config, member), manifest, passed_over)}
    if member.split == "own":
        for source, file in own.items():
            yield replace(file, source=f"{member.folder}/{source}")
        return
    groups = _groups(name, own, table)
    joined = plan_joins(own, groups) if member.join_grooves else {source: [source] for source in own}
    for source, files in joined.items():
        group = groups[files[0]]
        split = "train" if manifest.only_training.fullmatch(source) else split_of(group)
        yield CorpusFile(source=f"{member.folder}/{source}", composition=group, split=split)


def _alone(config: CorpusConfig, member: MemberConfig) -> CorpusConfig:
    """A member as a corpus of its own."""
    return replace(config, path=str(Path(config.path or "") / member.folder), members={}, without=[], groups=None)


def _groups(name: str, files: Iterable[str], table: Mapping[tuple[str, str], str]) -> dict[str, str]:
    return {file: table.get((name, file), f"{name}/{file}") for file in files}


@functools.cache
def _joins(path: str, groups: str | None, name: str, folder: str) -> dict[str, list[str]]:
    """`plan_joins` of a member, with paths relative to `corpus.path`; cached, because workers call it per file."""
    config = CorpusConfig(path=path, groups=groups, members={name: MemberConfig(folder=folder)})
    files = [file.source for file in find_files(_alone(config, config.members[name]), read_manifest(name))]
    joined = plan_joins(files, _groups(name, files, read_groups(config)))
    return {f"{folder}/{source}": [f"{folder}/{file}" for file in parts] for source, parts in joined.items()}
