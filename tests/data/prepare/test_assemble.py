"""The files of a store from the results of a preparation: the chosen pieces and their order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from music_reformer.config import CorpusConfig, MemberConfig, PrepareConfig
from music_reformer.data.corpora.corpus_manifest import CorpusManifest
from music_reformer.data.corpora.splits import CorpusFile
from music_reformer.data.prepare import near_duplicates
from music_reformer.data.prepare.assemble import FILES, _of_any_file, write_store
from music_reformer.data.prepare.journal import ResultJournal
from music_reformer.data.store import TokenStore
from music_reformer.errors import UserError

Row = tuple[str, str, str, int | None]  # source, split, notes, number of its signature


def signature(number: int) -> bytes:
    """A signature: equal numbers stand for the same music in another key, different numbers for unrelated music."""
    return np.random.default_rng(number).integers(0, 2**32, near_duplicates.NUM_HASHES, dtype=np.uint32).tobytes()


def result(notes: str, number: int | None, length: int) -> dict[str, Any]:
    return {
        "tokens": np.arange(length, dtype=np.uint16).tobytes(),
        "length": length,
        "notes_sha256": notes,
        "signature": None if number is None else signature(number),
        "pitches": np.ones(128, dtype=np.uint32).tobytes(),
        "sha256": f"sum of {notes}",
        "num_notes": length,
        "seconds": 2.0,
        "num_bars": 1,
        "bpm": 120.0,
        "programs": [0],
        "key": 0,
        "metre": "4/4",
    }


def assembled(folder: Path, rows: list[Row], failed: dict[str, str] | None = None, **changes: Any) -> TokenStore:
    """A store of files that are `rows`, of 10, 11, 12 ... tokens, and of files that failed for a reason."""
    output = folder / "store"
    (output / "partial").mkdir(parents=True)
    journal = ResultJournal(output / "partial")
    failed = failed or {}
    files = [CorpusFile(source, source, split) for source, split, *_ in rows]
    journal.set_files([*files, *(CorpusFile(source, source, "train") for source in failed)])
    for number, (source, _, notes, of_signature) in enumerate(rows):
        journal.add(source, result(notes, of_signature, 10 + number))
    for source, reason in failed.items():
        journal.add(source, {"reason": reason, "kind": "unreadable"})
    config = PrepareConfig(output=str(output), **{"corpus": CorpusConfig(path="in"), **changes})
    try:
        write_store(output, journal, config, CorpusManifest(), {"made": "here"})
    finally:
        journal.close()
    return TokenStore.open(output)


def skipped(store: TokenStore) -> dict[str, tuple[str, str]]:
    lines = map(json.loads, (store.path / "skipped.jsonl").read_text().splitlines())
    return {line["source"]: (line["kind"], line["reason"]) for line in lines}


def test_the_index_gives_the_place_of_each_piece(tmp_path: Path) -> None:
    store = assembled(tmp_path, [("b", "train", "1", None), ("a", "test", "2", None), ("c", "train", "3", None)])
    assert [(piece.source, piece.length, piece.split) for piece in store.pieces] == [
        ("a", 11, "test"), ("b", 10, "train"), ("c", 12, "train"),
    ]  # fmt: skip
    for piece in store.pieces:
        assert store.tokens(piece).tolist() == list(range(piece.length))
        assert piece.sha256 == f"sum of {'213'['abc'.index(piece.source)]}"
    info = json.loads((store.path / "store.json").read_text())
    assert info["num_pieces"] == {"test": 1, "train": 2}
    assert info["num_tokens"] == 33
    assert info["settings"] == {"made": "here"}
    assert {path.name for path in store.path.iterdir()} == {*FILES, "store.json", "partial"}


def test_each_skipped_file_has_one_reason(tmp_path: Path) -> None:
    rows: list[Row] = [("a", "train", "1", None), ("b", "train", "1", None), ("c", "train", "2", None)]
    store = assembled(tmp_path, rows, failed={"d": "it is damaged"})
    assert [piece.source for piece in store.pieces] == ["a", "c"]
    assert skipped(store) == {"b": ("duplicate", "the same notes as a"), "d": ("unreadable", "it is damaged")}


NEAR: list[Row] = [
    ("a", "train", "1", 7),
    ("b", "test", "2", 7),
    ("c", "train", "3", 7),
    ("d", "train", "4", 8),
    ("e", "train", "5", 8),
]


def test_near_duplicates_keep_the_piece_in_the_test_split(tmp_path: Path) -> None:
    store = assembled(tmp_path, NEAR)
    assert [piece.source for piece in store.pieces] == ["b", "d", "e"], "in one split, both stay"
    sentence = "nearly the same notes as b, which is in the test split"
    assert skipped(store) == {"a": ("near-duplicate", sentence), "c": ("near-duplicate", sentence)}
    groups = [json.loads(line)["pieces"] for line in (store.path / "near_duplicates.jsonl").read_text().splitlines()]
    assert [[(piece["source"], piece["used"]) for piece in group] for group in groups] == [
        [("a", False), ("b", True), ("c", False)], [("d", True), ("e", True)],
    ]  # fmt: skip
    assert groups[0][0]["similarity"] == 1


@pytest.mark.parametrize(("policy", "num_groups"), [("report", 2), ("off", 0)])
def test_near_duplicates_are_only_told_or_not_looked_for(tmp_path: Path, policy: str, num_groups: int) -> None:
    store = assembled(tmp_path, NEAR, near_duplicates=policy)
    assert len(store.pieces) == 5
    assert len((store.path / "near_duplicates.jsonl").read_text().splitlines()) == num_groups


def test_near_duplicates_keep_the_piece_of_the_first_corpus(tmp_path: Path) -> None:
    members = {"trusted": MemberConfig(folder="z"), "other": MemberConfig(folder="a")}
    rows: list[Row] = [("a/1", "train", "1", 7), ("z/1", "train", "2", 7)]
    store = assembled(tmp_path, rows, corpus=CorpusConfig(path="in", members=members))
    assert [(piece.source, piece.corpus) for piece in store.pieces] == [("z/1", "trusted")]
    assert json.loads((store.path / "store.json").read_text())["corpora"]["other"] == {"near-duplicate": 1}


def test_without_a_usable_file_no_output_is_left(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^none of the 2 files in in .* used; most frequent reason: it is damaged$"):
        assembled(tmp_path, [], failed={"a.mid": "it is damaged", "b.mid": "it is damaged"})
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("a: TypeError: at last", "it: TypeError: at last"),
        ("has 3 notes, and at least 8 are asked for", "has 3 notes, and at least 8 are asked for"),
        ("the file 'a' is damaged", "the file 'it' is damaged"),
    ],
)
def test_the_report_counts_sentences_without_the_name_of_the_file(sentence: str, expected: str) -> None:
    assert _of_any_file(sentence, "a") == expected
