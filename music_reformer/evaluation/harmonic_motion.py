"""Does the harmony of new bars move as it did in the piece, or does it stand still on one chord?

The roots of the chords that are recognised in the new bars are compared with those in the 16 bars before the cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.midi.chords import NO_CHORD, Chord, recognise
from music_reformer.midi.score import bar_starts

STRETCH = 16  # bars that are judged together, and bars before the cut
SAMPLES_PER_BAR = 8
# Harmony stands still if roots change less than FEWEST_CHANGES times as often as before the cut; or if one root has
# more than LARGEST_SHARE of the time, and more than LARGEST_RATIO times the largest share before the cut.
FEWEST_CHANGES, LARGEST_SHARE, LARGEST_RATIO = 0.5, 0.7, 1.3
NO_ROOT = -1  # where there is no chord


@dataclass(frozen=True)
class HarmonicMotion:
    """Of a stretch of bars: changes of the root per bar, and the share of the time that the commonest root has."""

    changes_per_bar: float
    largest_share: float


def still_share(score: symusic.Score, cut_bar: int, num_bars: int) -> float | None:
    """Share of the stretches of 16 new bars in which the harmony stands still.

    Args:
        score: the whole piece in ticks, new bars included.
        cut_bar: the first new bar, counted from 0.
        num_bars: how many new bars; bars that are left over after the last whole stretch are not judged.

    Returns:
        None where there are chords for less than half of the time before the cut, or in every stretch.
    """
    lines, chords = bar_starts(score), recognise(score)
    before = harmonic_motion(chords, lines, cut_bar - STRETCH)
    stretches = [
        motion
        for first in range(cut_bar, cut_bar + num_bars - STRETCH + 1, STRETCH)
        if (motion := harmonic_motion(chords, lines, first)) is not None
    ]
    if before is None or not stretches:
        return None
    return float(np.mean([stands_still(motion, before) for motion in stretches]))


def stands_still(motion: HarmonicMotion, before: HarmonicMotion) -> bool:
    """Whether the harmony moves much less than it did."""
    stays = motion.largest_share > max(LARGEST_SHARE, LARGEST_RATIO * before.largest_share)
    return stays or motion.changes_per_bar < FEWEST_CHANGES * before.changes_per_bar


def harmonic_motion(chords: Sequence[tuple[int, Chord]], lines: Sequence[int], first: int) -> HarmonicMotion | None:
    """Of 16 bars from `first` on; None if there are fewer, or chords for less than half of the time.

    Args:
        chords: of the whole piece, (tick, chord) of every change.
        lines: its bar lines in ticks.
        first: counted from 0.
    """
    if first < 0 or first + STRETCH >= len(lines):
        return None
    roots = _roots(chords, np.linspace(lines[first], lines[first + STRETCH], STRETCH * SAMPLES_PER_BAR, endpoint=False))
    roots = roots[roots != NO_ROOT]
    if len(roots) < STRETCH * SAMPLES_PER_BAR / 2:
        return None
    return HarmonicMotion(
        changes_per_bar=np.count_nonzero(np.diff(roots)) / STRETCH,
        largest_share=float(np.bincount(roots).max() / len(roots)),
    )


def _roots(chords: Sequence[tuple[int, Chord]], ticks: NDArray[np.float64]) -> NDArray[np.int64]:
    """The roots of the chords at some moments."""
    begins = np.array([tick for tick, _ in chords])
    roots = np.array([NO_ROOT, *(NO_ROOT if chord == NO_CHORD else chord.root for _, chord in chords)])
    return roots[np.searchsorted(begins, ticks, side="right")]
