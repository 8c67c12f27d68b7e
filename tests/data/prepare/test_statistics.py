"""Key, tempo, metre and instruments of a piece."""

from __future__ import annotations

import numpy as np
import pytest
import symusic

from helpers.scores import random_score
from music_reformer.data.prepare.statistics import DRUM_PROGRAM, KEY_NAMES, describe, key_of


@pytest.mark.parametrize(("tonic", "mode"), [(0, "major"), (7, "major"), (9, "minor"), (3, "minor")])
def test_keys_are_those_of_their_scales(tonic: int, mode: str) -> None:
    weights = np.zeros(12)
    for degree in {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 11)}[mode]:
        weights[(tonic + degree) % 12] = 3 if degree in (0, 7) else 1
    key = key_of(weights)
    assert key is not None
    assert KEY_NAMES[key] == f"{KEY_NAMES[tonic].split()[0]} {mode}"
    assert key_of(np.ones(12)) is None


def test_a_piece_is_described() -> None:
    score = random_score(1, num_notes=50, programs=(0, 40))
    score.tempos = [symusic.Tempo(0, qpm=90)]
    described = describe(score)
    assert described["bpm"] == 90
    assert described["programs"] == [0, 40, DRUM_PROGRAM]
    assert described["metre"] == "4/4"  # 32 quarters of 60; the other 28 are in 3/4
    counts = np.frombuffer(described["pitches"], dtype=np.uint32)
    assert counts.sum() == sum(len(track.notes) for track in score.tracks if not track.is_drum)
