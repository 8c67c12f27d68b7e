"""The journal of an unfinished preparation survives kills, power cuts and changes of the corpus."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from music_reformer.data.corpora.splits import CorpusFile
from music_reformer.data.prepare.encode import Result
from music_reformer.data.prepare.journal import ResultJournal


def files_of(*sources: str) -> list[CorpusFile]:
    return [CorpusFile(source=source, composition=source, split="train") for source in sources]


def result_of(tokens: list[int], notes: str) -> Result:
    return {"tokens": np.array(tokens, dtype=np.uint16).tobytes(), "length": len(tokens), "notes_sha256": notes}


def test_failures_that_may_lie_with_the_machine_are_retried(tmp_path: Path) -> None:
    journal = ResultJournal(tmp_path)
    journal.set_files(files_of("hung", "bad", "good"))
    assert list(journal.waiting()) == ["bad", "good", "hung"]
    journal.add("hung", {"reason": "took more than 3 seconds", "kind": "too costly", "again": True})
    journal.add("bad", {"reason": "it is damaged", "kind": "unreadable"})
    journal.add("good", result_of([1, 5, 2], "x"))
    assert [outcome.reason for outcome in journal.outcomes()] == ["it is damaged", None, "took more than 3 seconds"]
    assert (journal.count(), list(journal.waiting())) == ((3, 3), [])
    journal.close()
    again = ResultJournal(tmp_path)
    assert (again.count(), list(again.waiting())) == ((3, 2), ["hung"])
    (good,) = (outcome for outcome in again.outcomes() if outcome.file.source == "good")
    assert again.tokens(good).tolist() == [1, 5, 2]
    again.close()


def test_a_journal_forgets_tokens_that_were_not_written(tmp_path: Path) -> None:
    """After a power cut, a row may be on the disk without its tokens."""
    journal = ResultJournal(tmp_path)
    journal.set_files(files_of("a", "b"))
    for source in "ab":
        journal.add(source, result_of([ord(source)] * 10, source))
    journal.close()
    os.truncate(tmp_path / "tokens.bin", 30)
    again = ResultJournal(tmp_path)
    assert list(again.waiting()) == ["b"]
    again.add("b", result_of([7] * 4, "b"))
    assert [again.tokens(outcome).tolist() for outcome in again.outcomes()] == [[ord("a")] * 10, [7] * 4]
    again.close()


def test_a_resumed_journal_uses_the_current_files_of_the_corpus(tmp_path: Path) -> None:
    """Files added or removed between two runs; of equal notes, the first file in order counts, not the first done."""
    odd = os.fsdecode(b"caf\xe9.mid")
    journal = ResultJournal(tmp_path)
    journal.set_files(files_of("z", "a", "gone", odd))
    for source in ("z", "a", "gone", odd):
        journal.add(source, result_of([1, 2], "the same" if source != odd else "other"))
    journal.set_files(
        [*files_of("new", "z", "a", odd), CorpusFile("stray", "stray", "train", "it is not in the table")]
    )
    assert list(journal.waiting()) == ["new"]
    journal.add("new", {"reason": "it is damaged", "kind": "unreadable"})
    told = [(outcome.file.source, outcome.original, outcome.kind) for outcome in journal.outcomes() if outcome.reason]
    assert told == [("new", None, "unreadable"), ("stray", None, "not listed")]
    used = [(outcome.file.source, outcome.original) for outcome in journal.outcomes() if not outcome.reason]
    assert used == [("a", "a"), (odd, odd), ("z", "a")]
    journal.close()
