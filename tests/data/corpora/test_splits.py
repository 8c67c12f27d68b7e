"""Finding the files of a corpus, and splitting them by composition."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from pathlib import Path

import pytest

from music_reformer.cli import compose_config
from music_reformer.config import CorpusConfig
from music_reformer.data.corpora.corpus_manifest import read_manifest
from music_reformer.data.corpora.splits import CorpusFile, find_files
from music_reformer.errors import UserError

MANIFESTS = Path(__file__).parents[3] / "datasets" / "manifests"


def list_files(config: CorpusConfig) -> list[CorpusFile]:
    return sorted(find_files(config, read_manifest(config.manifest)))


def make_files(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_files_are_found_recursively_and_sorted(tmp_path: Path) -> None:
    make_files(tmp_path, ["b.mid", "a/z.MIDI", "a/b/c.kar", "readme.txt", "a/x.mid.zip"])
    (tmp_path / "folder.mid").mkdir()
    assert [file.source for file in list_files(CorpusConfig(path=str(tmp_path)))] == ["a/b/c.kar", "a/z.MIDI", "b.mid"]


@pytest.mark.skipif(os.name == "nt", reason="names are not bytes there")
def test_file_names_that_are_not_utf_8_are_found(tmp_path: Path) -> None:
    os.close(os.open(os.fsencode(tmp_path) + b"/caf\xe9.mid", os.O_CREAT))
    (file,) = list_files(CorpusConfig(path=str(tmp_path)))
    assert os.fsencode(file.source) == b"caf\xe9.mid"


def test_a_split_depends_on_the_composition_alone(tmp_path: Path) -> None:
    names = [f"{number:03d}.mid" for number in range(400)]
    make_files(tmp_path / "all", names)
    make_files(tmp_path / "some", names[::3])
    fractions = {"validation_fraction": 0.1, "test_fraction": 0.2}
    splits = {file.source: file.split for file in list_files(CorpusConfig(path=str(tmp_path / "all"), **fractions))}
    other = CorpusConfig(path=str(tmp_path / "some"), name="other", manifest="pop909", **fractions)
    for file in list_files(other):
        assert file.split == splits[file.source]
    counts = Counter(splits.values())
    assert 20 < counts["validation"] < 60
    assert 55 < counts["test"] < 105
    none = CorpusConfig(path=str(tmp_path / "all"), validation_fraction=0.0, test_fraction=0.0)
    assert {file.split for file in list_files(none)} == {"train"}


def test_files_of_one_folder_are_one_composition_where_the_manifest_says_so(tmp_path: Path) -> None:
    make_files(tmp_path / "midi", ["Bach/Fugue/1.mid", "Bach/Fugue_no_repeat/1.mid", "Bach/Prelude/1.mid", "loose.mid"])
    manifest = tmp_path / "mine.yaml"
    manifest.write_text("composition: folder\nvariant: _(no_)?repeat\n")
    files = list_files(CorpusConfig(path=str(tmp_path / "midi"), manifest=str(manifest)))
    assert [file.composition for file in files] == ["Bach/Fugue", "Bach/Fugue", "Bach/Prelude", "loose"]
    plain = list_files(CorpusConfig(path=str(tmp_path / "midi")))
    assert len({file.composition for file in plain}) == 4


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\) is not a folder"):
        list_files(CorpusConfig(path=str(tmp_path / "nowhere")))
    with pytest.raises(UserError, match="holds no music files"):
        list_files(CorpusConfig(path=str(tmp_path)))


OPEN = compose_config("prepare", ["corpus=open", "corpus.path=in", "output=out"]).corpus.members


@pytest.mark.parametrize("name", [*OPEN, "asap"])
def test_the_corpus_here_is_the_one_in_the_manifest(name: str, corpora: Path) -> None:
    manifest = read_manifest(name)
    folder = corpora / (OPEN[name].folder if name in OPEN else name)
    if not folder.is_dir():
        pytest.skip(f"{name} is not at hand")
    listed = list_files(CorpusConfig(path=str(folder), manifest=name))
    files = [folder / file.source for file in listed]
    assert len(files) == manifest.num_files
    assert sum(file.stat().st_size for file in files) == manifest.num_bytes
    lines = "".join(
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(folder).as_posix()}\n" for file in files
    )
    assert hashlib.sha256(lines.encode()).hexdigest() == manifest.sha256


@pytest.mark.parametrize("path", sorted(MANIFESTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_manifest_says_what_one_must_know_before_a_download(path: Path) -> None:
    manifest = read_manifest(path.stem)
    assert manifest.name == path.stem
    assert manifest.source.startswith("https://")
    assert manifest.licence
    assert manifest.citation
    assert (manifest.archive is None) != (manifest.by_hand is None)


def test_a_name_is_the_same_composition_in_any_folder(tmp_path: Path) -> None:
    make_files(tmp_path / "flat", ["001.mid", "002.mid"])
    make_files(tmp_path / "deep", ["001/001.mid", "002/002.mid", "002/versions/002-v1.mid"])
    flat, deep = (list_files(CorpusConfig(path=str(tmp_path / name), manifest="pop909")) for name in ("flat", "deep"))
    assert [file.source for file in deep] == ["001/001.mid", "002/002.mid"]
    assert [(file.composition, file.split) for file in deep] == [(file.composition, file.split) for file in flat]


def test_the_publishers_split_is_used(tmp_path: Path) -> None:
    make_files(tmp_path, ["2004/a.midi", "2004/b.midi", "2006/c.midi", "2006/stray.midi"])
    manifest = tmp_path / "mine.yaml"
    manifest.write_text("table: {file: all.csv, source: midi, split: split, composition: [composer, title]}\n")
    config = CorpusConfig(path=str(tmp_path), manifest=str(manifest))
    table = "composer,title,split,midi\nBach,Fugue,test,2004/a.midi\nBach,Fugue,test,2006/c.midi\n"
    with pytest.raises(UserError, match=r"all\.csv, which gives the split of this corpus, cannot be used"):
        list_files(config)
    (tmp_path / "all.csv").write_text(table + "Liszt,Étude,validation,2004/b.midi\n")
    assert [(file.composition, file.split, file.reason) for file in list_files(config)] == [
        ("Bach / Fugue", "test", None),
        ("Liszt / Étude", "validation", None),
        ("Bach / Fugue", "test", None),
        ("2006/stray.midi", "train", "2006/stray.midi is not in all.csv"),
    ]
    (tmp_path / "all.csv").write_text(table + "Liszt,Étude,dev,2004/b.midi\n")
    with pytest.raises(UserError, match="has a split 'dev'; it must be one of train, validation, test"):
        list_files(config)
    (tmp_path / "all.csv").write_text("composer,split,midi\nBach,test,2004/a.midi\n")
    with pytest.raises(UserError, match=r"cannot be used \(KeyError\('title'\)\)"):
        list_files(config)


def test_performances_of_a_piece_stay_together(corpora: Path) -> None:
    """ASAP's own table says which piece a file is; no piece, with repeats or without, may be in two splits."""
    import csv

    config = CorpusConfig(path=str(corpora / "asap"), manifest="asap", validation_fraction=0.1, test_fraction=0.1)
    splits = {file.source: file.split for file in list_files(config)}
    by_piece: dict[tuple[str, str], set[str]] = {}
    with open(corpora / "asap" / "metadata.csv", newline="") as table:
        for row in csv.DictReader(table):
            for column in ("midi_score", "midi_performance"):
                if row[column] in splits:
                    by_piece.setdefault((row["composer"], row["title"]), set()).add(splits[row[column]])
    # One fewer than titles in the table, which calls Schumann's Toccata with repeats a piece of its own.
    assert len(by_piece) - 1 == len({file.composition for file in list_files(config)}) == 221
    assert all(len(found) == 1 for found in by_piece.values())
