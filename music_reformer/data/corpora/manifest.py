"""Manifests: what is known of a corpus (source, licence, archive, checksum), and which files are one composition."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from music_reformer.config import require
from music_reformer.errors import UserError

COMPOSITION_RULES = ("file", "folder", "name")
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Archive:
    """Where a corpus can be downloaded.

    Attributes:
        url: of a zip or tar file.
        sha256, num_bytes: of it; None where the publisher gives none.
        folder: inside the unpacked archive, the folder that is the corpus; may hold `*`.
    """

    url: str
    sha256: str | None = None
    num_bytes: int | None = None
    folder: str = "."


@dataclass(frozen=True)
class ByHand:
    """What a person must download where no program can: the page, and what to take from it."""

    page: str
    what: str


@dataclass(frozen=True)
class Table:
    """A CSV file of the corpus that gives the publisher's own split.

    Attributes:
        file: relative to the corpus.
        source, split: names of its columns with a file's path and its split.
        composition: names of the columns that together name the composition.
    """

    file: str
    source: str
    split: str
    composition: list[str]


@dataclass(frozen=True)
class Manifest:
    """A manifest, checked. The defaults are those of a folder that no manifest tells of.

    Attributes:
        name, source, licence, citation: for people.
        composition: "file": each file is a composition; "name": the same, named without its folder, so that it is the
            same wherever the files lie; "folder": all files of a folder are one composition.
        variant: regular expression of endings that tell variants of one composition apart.
        exclude: regular expression of paths that are not part of the corpus.
        table: the publisher's own split, if any.
        archive: where to download it, if that can be done.
        by_hand: what to do if it cannot.
        num_files, num_bytes, sha256: of the corpus as it lies in a laboratory; tests compare them.
    """

    name: str = ""
    source: str = ""
    licence: str = ""
    citation: str = ""
    composition: str = "file"
    variant: re.Pattern[str] = field(default=re.compile(r"(?!)"))  # matches nothing
    exclude: re.Pattern[str] = field(default=re.compile(r"(?!)"))
    table: Table | None = None
    archive: Archive | None = None
    by_hand: ByHand | None = None
    num_files: int | None = None
    num_bytes: int | None = None
    sha256: str | None = None


def read_manifest(name: str | None) -> Manifest:
    """A manifest by its name in `datasets/manifests`, or by the path of a YAML file; None: the defaults.

    Raises:
        UserError: it cannot be read, or does not say what a manifest says.
    """
    if name is None:
        return Manifest()
    values = _read_yaml(manifest_path(name))
    known = Manifest.__dataclass_fields__
    unknown = sorted(set(values) - set(known))
    require(not unknown, f"the manifest {name} has an unknown key {', '.join(unknown)}; it may have {', '.join(known)}")
    rule = values.get("composition", "file")
    require(rule in COMPOSITION_RULES, f"{name}: composition ({rule!r}) must be one of {', '.join(COMPOSITION_RULES)}")
    if "variant" in values:
        values["variant"] = _pattern(name, "variant", values["variant"], "(?:{})$")
    if "exclude" in values:
        values["exclude"] = _pattern(name, "exclude", values["exclude"], "(?:{})")
    for key, kind in (("archive", Archive), ("by_hand", ByHand), ("table", Table)):
        if key in values:
            try:
                values[key] = kind(**values[key])
            except TypeError as error:
                raise UserError(f"{name}: {key} is not as in the other manifests ({error})") from error
    archive = values.get("archive")
    if archive is not None and archive.sha256 is not None:
        require(
            SHA256.fullmatch(str(archive.sha256)) is not None,
            f"{name}: archive.sha256 ({archive.sha256}) must be 64 digits of 0-9a-f, or null",
        )
    return Manifest(**values)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"the manifest {path} cannot be read ({error})") from error
    require(isinstance(values, dict), f"the manifest {path} must be a YAML mapping")
    return values


def manifest_path(name: str) -> Path:
    """A file, or the name of one of the manifests that come with the program."""
    package = Path(__file__).parents[2]
    for folder in (package / "manifests", package.parent / "datasets" / "manifests"):
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    return Path(name)


def _pattern(name: str, key: str, text: str, form: str) -> re.Pattern[str]:
    try:
        return re.compile(form.format(text))
    except re.error as error:
        raise UserError(f"{name}: {key} ({text!r}) is not a regular expression ({error})") from error
