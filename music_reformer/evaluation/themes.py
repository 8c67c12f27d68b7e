"""Measures how far the themes of a piece return in new bars, by patterns of five notes in any part and at any pitch.

A pattern is the intervals and times between five successive notes of a part; of notes that begin together, only the
highest counts. So a theme is recognised in another key and in another instrument, but not at another speed.
"""

from __future__ import annotations

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.midi.score import bar_starts

NOTES = 5
PER_QUARTER = 12  # resolution of the times between notes


def returning_share(score: symusic.Score, cut_bar: int, num_bars: int) -> float | None:
    """Share of the patterns in bars `cut_bar` to `cut_bar + num_bars` that were heard before them.

    Args:
        score: the whole piece in ticks, new bars included.
        cut_bar: the first new bar, counted from 0.
        num_bars: how many new bars.

    Returns:
        The share; None if either side has no patterns.
    """
    lines = bar_starts(score)
    cut = lines[min(cut_bar, len(lines) - 1)]
    until = lines[min(cut_bar + num_bars, len(lines) - 1)]
    heard: set[bytes] = set()
    new: list[bytes] = []
    for track in score.tracks:
        if track.is_drum:
            continue
        columns = track.notes.numpy()
        onset, pitch = _top(columns["time"].astype(np.int64), columns["pitch"].astype(np.int64))
        old, fresh = onset < cut, (onset >= cut) & (onset < until)
        heard.update(patterns(onset[old], pitch[old], score.ticks_per_quarter))
        new += patterns(onset[fresh], pitch[fresh], score.ticks_per_quarter)
    if not heard or not new:
        return None
    return sum(pattern in heard for pattern in new) / len(new)


def patterns(onset: NDArray[np.int64], pitch: NDArray[np.int64], ticks_per_quarter: int) -> list[bytes]:
    """The patterns of a line of notes in rising order of onset (ticks), one for each note that has four after it."""
    time = (2 * onset * PER_QUARTER + ticks_per_quarter) // (2 * ticks_per_quarter)
    steps = np.stack([np.diff(pitch), np.diff(time)], axis=1)
    return [steps[begin : begin + NOTES - 1].tobytes() for begin in range(len(steps) - NOTES + 2)]


def _top(onset: NDArray[np.int64], pitch: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of notes that begin together, the highest."""
    order = np.lexsort((pitch, onset))
    onset, pitch = onset[order], pitch[order]
    last = np.append(np.diff(onset) > 0, True) if len(onset) else np.zeros(0, np.bool_)
    return onset[last], pitch[last]
