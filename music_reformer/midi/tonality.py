"""Finds the keys of a score: by bar, with a penalty for changes, from how long each pitch class sounds.

The profiles and the penalty are fitted by `benchmarks/keys.py` on labelled songs and on scores with key signatures; the
usual shares are from the same pieces.
"""

from __future__ import annotations

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.midi.beats import beats_of, pitched_notes, sounding_ticks
from music_reformer.midi.harmony import best_path
from music_reformer.midi.key import Key

# Score of a bar filled by one pitch class, by its semitones above the tonic.
MAJOR_PROFILE = (0.59, -0.16, 0.35, -0.32, 0.49, 0.09, -0.49, 0.56, -0.10, 0.20, -0.55, 0.20)
MINOR_PROFILE = (0.76, -0.92, 0.32, 0.43, -0.80, 0.21, -0.53, 0.60, 0.14, -1.04, 0.13, -0.20)
# Score of a change of key, and a factor for the scores of bars. Labels and signatures mostly stay the same through
# modulations, so parameters fitted to them notice one only after 16 bars; with the factor, about 8 bars are enough.
CHANGE, RAISED = -7.62, 3.0
# Mean share of the sounding time that a pitch class has, by its semitones above the tonic.
MAJOR_SHARES = (0.206, 0.007, 0.125, 0.010, 0.143, 0.085, 0.014, 0.204, 0.013, 0.108, 0.011, 0.075)
MINOR_SHARES = (0.232, 0.004, 0.090, 0.142, 0.006, 0.114, 0.005, 0.207, 0.069, 0.008, 0.104, 0.020)


def keys_of(score: symusic.Score) -> list[tuple[int, Key]]:
    """The keys of a score in ticks, drums ignored: (tick, key) of every change, at bar lines, the first at tick 0.

    A score without pitched notes has none.
    """
    ticks, profiles = bar_profiles(score)
    if not profiles.any():
        return []
    path = key_path(profiles)
    new = np.flatnonzero(np.diff(path, prepend=-1) != 0)
    return [(int(ticks[bar]), Key.numbered(int(path[bar]))) for bar in new]


def estimate_key(sounding: NDArray[np.float64]) -> Key | None:
    """The one key that fits best; None if nothing sounds.

    Args:
        sounding: how long each pitch class sounds, [12].
    """
    return Key.numbered(int(key_scores(sounding).argmax())) if sounding.any() else None


def usual_shares(key: Key) -> NDArray[np.float64]:
    """Mean share of the sounding time that each pitch class, 0 to 11, has in music in this key: [12]."""
    return np.roll(MINOR_SHARES if key.is_minor else MAJOR_SHARES, key.tonic)


def bar_profiles(score: symusic.Score) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Ticks of the bar lines, [bars + 1], and the share of each pitch class in what sounds in each bar, [bars, 12]."""
    notes, ticks = pitched_notes(score), beats_of(score).bar_ticks
    sounding = sounding_ticks(notes, notes.pitch % 12, 12, ticks, np.ones(len(notes)))
    return ticks, sounding / np.maximum(sounding.sum(axis=1, keepdims=True), 1e-9)


def key_scores(sounding: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit of the keys to sounding times by pitch class, [..., 12] to [..., 24], by `Key.number`."""
    from_tonic = (np.arange(12)[:, None] + np.arange(12)) % 12
    turned = sounding[..., from_tonic]
    return np.concatenate([turned @ np.array(MAJOR_PROFILE), turned @ np.array(MINOR_PROFILE)], axis=-1)


def key_path(profiles: NDArray[np.float64]) -> NDArray[np.int64]:
    """The number of the key of each bar (`Key.number`) from shares of pitch classes, [bars, 12] to [bars]."""
    moves = np.full((1, 24, 24), CHANGE)
    moves[:, np.arange(24), np.arange(24)] = 0
    return best_path(RAISED * key_scores(profiles), np.zeros(len(profiles), np.int64), moves)
