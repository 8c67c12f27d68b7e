"""Counts of a corpus do not depend on the order in which pieces and skipped files are added."""

from __future__ import annotations

import numpy as np

from music_reformer.data.corpora.splits import CorpusFile
from music_reformer.data.prepare.counts import CorpusCounts
from music_reformer.data.prepare.journal import FileOutcome


def outcome(number: int, split: str) -> FileOutcome:
    pitches = np.zeros(128, dtype=np.int64)
    pitches[60 + number] = 10
    return FileOutcome(
        file=CorpusFile(source=f"{number}.mid", composition=str(number), split=split),
        reason=None,
        kind="",
        original=f"{number}.mid",
        begin=0,
        length=100 * (number + 1),
        details={
            "num_notes": 10,
            "seconds": 0.1 + number,
            "bpm": 120.0,
            "programs": [0, number],
            "key": None if number == 2 else 3,
            "metre": "4/4",
        },
        signature=None,
        pitches=pitches,
    )


def test_counts_are_summed_and_binned() -> None:
    counts = CorpusCounts()
    for number, split in enumerate(("train", "test", "train")):
        counts.add(outcome(number, split))
    assert (counts.num_pieces, counts.num_tokens, counts.longest) == (3, 600, 300)
    assert counts.pieces == {"train": 2, "test": 1}
    assert counts.milliseconds == {"train": 2200, "test": 1100}
    assert counts.lengths == {100: 1, 200: 2}  # 300 tokens are in the bin from 200 on
    assert counts.keys == {3: 2}
    assert counts.programs == {0: 4, 1: 1, 2: 1}
    assert counts.pitches.sum() == 30


def test_reasons_are_counted_by_sentence() -> None:
    counts = CorpusCounts()
    for kind, reason in (
        ("few notes", "it has 3 notes"),
        ("unreadable", "it is damaged"),
        ("few notes", "it has 3 notes"),
    ):
        counts.skip(kind, reason)
    assert counts.num_skipped == 3
    assert counts.most_frequent_reason == "it has 3 notes"
    for number in range(2000):
        counts.skip("unreadable", f"damaged at byte {number}")
    assert len(counts.reasons) == 1000
    assert counts.num_skipped == 2003
