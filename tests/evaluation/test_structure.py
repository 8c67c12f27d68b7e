"""Structureness against a slow oracle, and on music of known form."""

from __future__ import annotations

import numpy as np
import pytest
import symusic

from music_reformer.evaluation.notes import Notes
from music_reformer.evaluation.structure import by_lag, largest_fitness, self_similarity, structureness
from reference.fitness import fitness


@pytest.mark.parametrize("seed", range(4))
def test_fitness_equals_a_slow_recursion(seed: int) -> None:
    random = np.random.default_rng(seed)
    # Not symmetric and without ties, so that the best family is the only one.
    matrix = np.where(random.random((18, 18)) < 0.6, random.random((18, 18)), -2.0)
    np.fill_diagonal(matrix, 1.0)
    found = largest_fitness(matrix)
    for length in range(1, 19):
        expected = max(fitness(matrix, begin, length) for begin in range(18 - length + 1))
        assert found[length - 1] == pytest.approx(expected), length


def piece_of(phrases: list[int]) -> Notes:
    """Phrases of ten seconds, a note a second, each number a phrase of its own."""
    made = symusic.Score(480)
    made.tempos.append(symusic.Tempo(0, 60.0))
    track = symusic.Track("", 0, False)
    for place, phrase in enumerate(phrases):
        pitches = np.random.default_rng(phrase).integers(48, 84, size=(10, 3))
        for second in range(10):
            for pitch in pitches[second]:
                track.notes.append(symusic.Note((place * 10 + second) * 480, 480, int(pitch), 80))
    made.tracks.append(track)
    return Notes.of(made)


def test_returning_music_has_more_structure() -> None:
    returning, endless = piece_of([1, 2, 1, 2, 1, 2]), piece_of([1, 2, 3, 4, 5, 6])
    for span in ("short", "middle", "long"):
        assert structureness(returning)[span] > 1.5 * structureness(endless)[span]
    lags = by_lag(self_similarity(returning))
    assert lags[20] > 0.9
    assert lags[20] > lags[10] + 0.2
    assert by_lag(self_similarity(endless))[20] < 0.8


def test_self_similarity_of_a_silent_second_is_zero() -> None:
    notes = piece_of([1, 2, 3])
    gap = notes.where((notes.onset_s < 8) | (notes.onset_s >= 22))
    similarity = self_similarity(gap)
    assert similarity[14].max() == 0.0
    assert np.diagonal(similarity)[:8] == pytest.approx(np.ones(8))
