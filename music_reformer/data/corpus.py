"""Which files a corpus has, and which split each is in.

Splits go by composition, so that no performance of a piece is tested on after another was trained on. A composition's
split is a hash of its name: adding files to a corpus moves none of the others.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from music_reformer.config import CorpusConfig, require
from music_reformer.errors import UserError

SUFFIXES = (".mid", ".midi", ".kar")
COMPOSITION_RULES = ("file", "folder")
NO_ENDING = r"(?!)"  # matches nothing


@dataclass(frozen=True)
class CorpusFile:
    """One file: its path relative to the corpus (with /), its composition and its split."""

    source: str
    composition: str
    split: str


def list_files(config: CorpusConfig) -> list[CorpusFile]:
    """All MIDI files of a corpus, sorted by path.

    Raises:
        UserError: the folder is missing or holds no MIDI.
    """
    root = Path(config.path)
    if not root.is_dir():
        raise UserError(f"corpus.path ({config.path}) is not a folder; name a folder of MIDI files")
    sources = sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    if not sources:
        raise UserError(f"corpus.path ({config.path}) holds no MIDI files ({', '.join(SUFFIXES)})")
    rule, variant = _composition_rule(config)
    return [_place(source, rule, variant, config) for source in sources]


def read_manifest(path: str | Path) -> dict[str, Any]:
    """A manifest of `datasets/manifests`: source, licence, citation and how compositions are told apart."""
    try:
        manifest = yaml.safe_load(Path(path).read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"the manifest {path} cannot be read ({error})") from error
    require(isinstance(manifest, dict), f"the manifest {path} must be a YAML mapping")
    return manifest


def _manifest_path(name: str) -> Path:
    """A file, or the name of one of the manifests that come with the program."""
    package = Path(__file__).parent.parent
    for folder in (package / "manifests", package.parent / "datasets" / "manifests"):
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    return Path(name)


def _composition_rule(config: CorpusConfig) -> tuple[str, re.Pattern[str]]:
    """ "file" or "folder", and the endings of names that tell variants of one composition apart."""
    manifest = read_manifest(_manifest_path(config.manifest)) if config.manifest is not None else {}
    rule = manifest.get("composition", "file")
    require(
        rule in COMPOSITION_RULES,
        f"{config.manifest}: composition ({rule!r}) must be one of {', '.join(COMPOSITION_RULES)}",
    )
    variant = manifest.get("variant", NO_ENDING)
    try:
        return rule, re.compile(f"(?:{variant})$")
    except re.error as error:
        raise UserError(f"{config.manifest}: variant ({variant!r}) is not a regular expression ({error})") from error


def _place(source: str, rule: str, variant: re.Pattern[str], config: CorpusConfig) -> CorpusFile:
    path = PurePosixPath(source)
    name = str(path.parent) if rule == "folder" and path.parent.name else str(path.with_suffix(""))
    composition = variant.sub("", name)
    # Not of the corpus's name: a corpus prepared as a plain folder has the same split.
    digest = hashlib.sha256(os.fsencode(composition)).digest()
    fraction = int.from_bytes(digest[:8], "big") / 2**64
    if fraction < config.test_fraction:
        split = "test"
    elif fraction < config.test_fraction + config.validation_fraction:
        split = "validation"
    else:
        split = "train"
    return CorpusFile(source=source, composition=composition, split=split)
