"""What a corpus consists of, counted piece by piece."""

from __future__ import annotations

import bisect
from collections import Counter

import numpy as np

from music_reformer.data.prepare.journal import Outcome

# Lower bounds of the bars of histograms.
TOKEN_BOUNDS = (
    0,
    100,
    200,
    500,
    *(digits * 10**power for power in (2, 3, 4) for digits in (10, 15, 20, 30, 40, 60, 80)),
)
SECOND_BOUNDS = (0, 5, 10, 20, 30, 45, 60, 90, 120, 150, 180, 210, 240, 300, 360, 480, 600, 900, 1200, 1800, 3600, 7200)
BPM_BOUNDS = tuple(range(0, 310, 10))


class Summary:
    """Counts of all that was added.

    Attributes:
        pieces, tokens, notes, milliseconds: by split.
        skipped: files left out, by kind; `reasons` by sentence, of which only the first thousand are told apart.
        lengths, durations, tempos: pieces by the lower bound of their bar.
        pitches: notes by MIDI pitch, drums left out.
        programs, keys, metres: pieces by program (128 is drums), key (a place in `KEY_NAMES`) and metre.
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

    @property
    def num_pieces(self) -> int:
        """All pieces."""
        return self.pieces.total()

    @property
    def num_tokens(self) -> int:
        """All tokens."""
        return self.tokens.total()

    @property
    def num_skipped(self) -> int:
        """All files left out."""
        return self.skipped.total()

    @property
    def commonest_reason(self) -> str:
        """Of files left out."""
        return self.reasons.most_common(1)[0][0]

    def add(self, outcome: Outcome) -> None:
        """Count a piece."""
        split, details = outcome.file.split, outcome.details
        self.pieces[split] += 1
        self.tokens[split] += outcome.length
        self.notes[split] += details["num_notes"]
        # In whole numbers, so that the order of adding does not matter.
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

    def skip(self, kind: str, reason: str) -> None:
        """Count a file left out."""
        self.skipped[kind] += 1
        if reason in self.reasons or len(self.reasons) < 1000:
            self.reasons[reason] += 1


def _bound(bounds: tuple[int, ...], value: float) -> int:
    return bounds[bisect.bisect_right(bounds, value) - 1]
