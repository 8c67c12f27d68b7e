"""Manifests of corpora: source, licence, archive and checksum, and which files belong to one composition."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from music_reformer.config import require
from music_reformer.errors import UserError

COMPOSITION_RULES = ("file", "folder", "name")
PATTERNS = ("variant", "exclude", "only_training")
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Archive:
    """The archive of a corpus.

    Attributes:
        url: of a zip or tar file.
        sha256, num_bytes: of the archive; None if the publisher gives none.
        folder: folder of the corpus inside the unpacked archive; may contain `*`.
    """

    url: str
    sha256: str | None = None
    num_bytes: int | None = None
    folder: str = "."


@dataclass(frozen=True)
class ByHand:
    """A corpus that has to be downloaded by hand: the page, and what to take from it."""

    page: str
    what: str


@dataclass(frozen=True)
class Table:
    """A CSV file of the corpus with the publisher's own split.

    Attributes:
        file: path relative to the corpus.
        source, split: names of the columns with a file's path and its split.
        composition: names of the columns that together name the composition.
    """

    file: str
    source: str
    split: str
    composition: list[str]


@dataclass(frozen=True)
class CorpusManifest:
    """A checked manifest. The defaults describe a plain folder of files.

    Attributes:
        name, source, licence, citation: shown to the user.
        commit: of the source repository, from which the known copy was made.
        attribution: what the licence, or courtesy, asks to be said of weights and files made from the corpus.
        conversion: how the files became MIDI; empty if they were.
        composition: what a composition is named by. "file": the path of each file; "name": its name without the folder,
            so that files may be moved; "folder": the folder, whose files are all one composition.
        variant: regular expression for endings of names that distinguish variants of one composition.
        exclude: regular expression for paths that are not part of the corpus.
        only_training: regular expression for paths that are in the training split, whatever their group.
        table: the publisher's own split, if there is one.
        archive: where to download the corpus; None if that is impossible.
        by_hand: what to do in that case.
        num_files, num_bytes, sha256: of a known copy of the corpus; tests compare them.
    """

    name: str = ""
    source: str = ""
    licence: str = ""
    citation: str = ""
    commit: str = ""
    attribution: str = ""
    conversion: str = ""
    composition: str = "file"
    variant: re.Pattern[str] = field(default=re.compile(r"(?!)"))  # matches nothing
    exclude: re.Pattern[str] = field(default=re.compile(r"(?!)"))
    only_training: re.Pattern[str] = field(default=re.compile(r"(?!)"))
    table: Table | None = None
    archive: Archive | None = None
    by_hand: ByHand | None = None
    num_files: int | None = None
    num_bytes: int | None = None
    sha256: str | None = None


def read_manifest(name: str | None) -> CorpusManifest:
    """Read a manifest by its name in `datasets/manifests` or by the path of a YAML file; None gives the defaults.

    Raises:
        UserError: the file cannot be read, or is not a manifest.
    """
    if name is None:
        return CorpusManifest()
    values = _read_yaml(manifest_path(name))
    known = CorpusManifest.__dataclass_fields__
    unknown = sorted(set(values) - set(known))
    require(not unknown, f"the manifest {name} has an unknown key {', '.join(unknown)}; it may have {', '.join(known)}")
    rule = values.get("composition", "file")
    require(rule in COMPOSITION_RULES, f"{name}: composition ({rule!r}) must be one of {', '.join(COMPOSITION_RULES)}")
    texts = ("name", "source", "licence", "citation", "commit", "attribution", "conversion", *PATTERNS)
    for key in texts:
        require(isinstance(values.get(key, ""), str), f"{name}: {key} ({values.get(key)!r}) must be text")
    for key in PATTERNS:
        if key in values:
            values[key] = _pattern(name, key, values[key], "(?:{})$" if key == "variant" else "(?:{})")
    for key, kind in (("archive", Archive), ("by_hand", ByHand), ("table", Table)):
        if key in values:
            try:
                values[key] = kind(**values[key])
            except TypeError as error:
                raise UserError(
                    f"{name}: {key} must have the same keys as in the manifests under datasets/manifests ({error})"
                ) from error
    archive = values.get("archive")
    if archive is not None and archive.sha256 is not None:
        require(
            SHA256.fullmatch(str(archive.sha256)) is not None,
            f"{name}: archive.sha256 ({archive.sha256}) must be 64 digits of 0-9a-f, or null",
        )
    return CorpusManifest(**values)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"the manifest {path} cannot be read ({' '.join(str(error).split())})") from error
    require(isinstance(values, dict), f"the manifest {path} must be a YAML mapping")
    return values


def manifest_path(name: str) -> Path:
    """The path of a manifest that comes with the package, or `name` as a path."""
    return _shipped(f"{name}.yaml") or Path(name)


def groups_path(name: str) -> Path | None:
    """The path of a table of groups that comes with the package; None if there is none of this name."""
    return _shipped(f"{name}.csv.gz")


def _shipped(file: str) -> Path | None:
    package = Path(__file__).parents[2]
    for folder in (package / "manifests", package.parent / "datasets" / "manifests"):
        if (folder / file).is_file():
            return folder / file
    return None


def _pattern(name: str, key: str, text: str, form: str) -> re.Pattern[str]:
    try:
        return re.compile(form.format(text))
    except re.error as error:
        raise UserError(f"{name}: {key} ({text!r}) is not a regular expression ({error})") from error
