"""Counts of what a corpus consists of, for its report."""

from __future__ import annotations

import bisect
from collections import Counter

import numpy as np

from music_reformer.data.prepare.journal import FileOutcome

# Lower bounds of the bins of histograms.
TOKEN_BOUNDS = (
    0,
    100,
    200,
    500,
    *(digits * 10**power for power in (2, 3, 4) for digits in (10, 15, 20, 30, 40, 60, 80)),
)
SECOND_BOUNDS = (0, 5, 10, 20, 30, 45, 60, 90, 120, 150, 180, 210, 240, 300, 360, 480, 600, 900, 1200, 1800, 3600, 7200)
BPM_BOUNDS = tuple(range(0, 310, 10))


class CorpusCounts:
    """Counts over the pieces and skipped files added so far.

    Attributes:
        pieces, tokens, notes, milliseconds: totals by split.
        skipped: number of skipped files by kind of reason.
        reasons: number of skipped files by sentence; only the first thousand different ones are counted.
        lengths, durations, tempos: number of pieces by the lower bound of their bin.
        pitches: number of notes by MIDI pitch, without drums.
        programs, keys, metres: number of pieces by program (`statistics.DRUM_PROGRAM` for drums), by key (an index into
            `KEY_NAMES`) and by metre.
        longest: tokens of the longest piece.
        corpora: of each corpus, its numbers of pieces, notes and tokens, of pieces by split, and of skipped files by
            kind.
    """

    def __init__(self) -> None:
        self.pieces: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.milliseconds: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.lengths: Counter[int] = Counter()
        self.durations: Counter[int] = Counter()
        self.tempos: Counter[int] = Counter()
        self.pitches = np.zeros(128, dtype=np.int64)
        self.programs: Counter[int] = Counter()
        self.keys: Counter[int] = Counter()
        self.metres: Counter[str] = Counter()
        self.longest = 0
        self.corpora: dict[str, Counter[str]] = {}

    @property
    def num_pieces(self) -> int:
        """Number of pieces."""
        return self.pieces.total()

    @property
    def num_tokens(self) -> int:
        """Number of tokens."""
        return self.tokens.total()

    @property
    def num_skipped(self) -> int:
        """Number of skipped files."""
        return self.skipped.total()

    @property
    def most_frequent_reason(self) -> str:
        """The most frequent reason for which files were skipped."""
        return self.reasons.most_common(1)[0][0]

    def add(self, outcome: FileOutcome, *, corpus: str = "") -> None:
        """Add a piece of a corpus."""
        split, details = outcome.file.split, outcome.details
        self.pieces[split] += 1
        self.tokens[split] += outcome.length
        self.notes[split] += details["num_notes"]
        # Integers, so that the sum does not depend on the order.
        self.milliseconds[split] += round(1000 * details["seconds"])
        self.lengths[_bound(TOKEN_BOUNDS, outcome.length)] += 1
        self.durations[_bound(SECOND_BOUNDS, details["seconds"])] += 1
        self.tempos[_bound(BPM_BOUNDS, details["bpm"])] += 1
        self.pitches += outcome.pitches
        self.programs.update(details["programs"])
        if details["key"] is not None:
            self.keys[details["key"]] += 1
        self.metres[details["metre"]] += 1
        self.longest = max(self.longest, outcome.length)
        of_corpus = self.corpora.setdefault(corpus, Counter())
        of_corpus.update({"pieces": 1, "notes": details["num_notes"], "tokens": outcome.length, split: 1})

    def skip(self, kind: str, reason: str, *, corpus: str = "") -> None:
        """Add a skipped file of a corpus."""
        self.corpora.setdefault(corpus, Counter())[kind] += 1
        self.skipped[kind] += 1
        if reason in self.reasons or len(self.reasons) < 1000:
            self.reasons[reason] += 1


def _bound(bounds: tuple[int, ...], value: float) -> int:
    return bounds[bisect.bisect_right(bounds, value) - 1]
