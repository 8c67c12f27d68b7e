"""Tempo, metre, key, instruments and pitches of a piece, for the report on a corpus."""

from __future__ import annotations

from typing import Any

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.data.prepare.quality import mean_bpm
from music_reformer.midi.score import last_tick, metres

DRUM_PROGRAM = 128  # stands for drums in lists of programs; follows all programs in their order
KEY_NAMES = tuple(
    f"{tonic} {mode}"
    for mode in ("major", "minor")
    for tonic in ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")
)
# Key profiles: how well listeners found the twelve pitch classes to fit a key (Krumhansl and Kessler, 1982).
_MAJOR_PROFILE = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR_PROFILE = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)


def _profiles() -> NDArray[np.float64]:
    rows = np.array([np.roll(profile, tonic) for profile in (_MAJOR_PROFILE, _MINOR_PROFILE) for tonic in range(12)])
    rows -= rows.mean(axis=1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


_PROFILES = _profiles()


def describe(score: symusic.Score) -> dict[str, Any]:
    """Tempo, metre, key and instruments of a clean score in JSON types, and "pitches", uint32 [128] as bytes."""
    notes = [(track.notes.numpy(), track.is_drum) for track in score.tracks]
    counts = np.zeros(128, dtype=np.uint32)
    weights = np.zeros(12)
    for columns, is_drum in notes:
        if not is_drum:
            counts += np.bincount(columns["pitch"], minlength=128).astype(np.uint32)
            weights += np.bincount(columns["pitch"] % 12, columns["duration"], minlength=12)
    return {
        "bpm": round(mean_bpm(score), 1),
        "metre": _main_metre(score),
        "key": key_of(weights),
        "programs": sorted({DRUM_PROGRAM if track.is_drum else track.program for track in score.tracks}),
        "pitches": counts.tobytes(),
    }


def key_of(weights: NDArray[np.float64]) -> int | None:
    """The key whose profile fits the pitch classes best, as an index into `KEY_NAMES`; None if all sound equally long.

    Args:
        weights: sounding time of each pitch class from C on, [12].
    """
    if np.ptp(weights) == 0:
        return None
    return int(np.argmax(_PROFILES @ (weights - weights.mean())))


def _main_metre(score: symusic.Score) -> str:
    """The metre that is in force longest, such as "4/4"."""
    changes = metres(score)
    ends = [tick for tick, _, _ in changes[1:]] + [max(last_tick(score), changes[-1][0])]
    lengths: dict[str, int] = {}
    for (tick, beats, unit), end in zip(changes, ends, strict=True):
        lengths[f"{beats}/{unit}"] = lengths.get(f"{beats}/{unit}", 0) + end - tick
    return max(lengths, key=lambda name: lengths[name])
