"""Statistics against MusPy's and against music of which the answer is known; structure against a slow oracle."""

from __future__ import annotations

import math

import muspy
import numpy as np
import pytest
import symusic

from music_reformer.evaluation import musical
from music_reformer.evaluation.notes import Notes
from music_reformer.evaluation.structure import by_lag, largest_fitness, self_similarity, structureness
from reference.fitness import fitness


def score(seed: int, *, num_notes: int = 300, bars: int = 12) -> symusic.Score:
    """4/4 at 120, notes on the sixteenth grid, two instruments and drums."""
    random = np.random.default_rng(seed)
    made = symusic.Score(480)
    made.tempos.append(symusic.Tempo(0, 120.0))
    made.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    for program, drum in ((0, False), (33, False), (0, True)):
        track = symusic.Track("", program, drum)
        for _ in range(num_notes // 3):
            start, length = int(random.integers(0, bars * 16)), int(random.integers(1, 8))
            track.notes.append(symusic.Note(start * 120, length * 120, int(random.normal(60, 9)), 80))
        made.tracks.append(track)
    return made


def as_muspy(made: symusic.Score) -> muspy.Music:
    tracks = [
        muspy.Track(
            program=track.program,
            is_drum=track.is_drum,
            # MusPy counts time in steps of the resolution: 24 a quarter note.
            notes=[muspy.Note(note.time // 20, note.pitch, note.duration // 20, 80) for note in track.notes],
        )
        for track in made.tracks
    ]
    return muspy.Music(resolution=24, tracks=tracks)


@pytest.mark.parametrize("seed", range(5))
def test_statistics_are_those_of_muspy(seed: int) -> None:
    made = score(seed)
    notes, music = Notes.of(made), as_muspy(made)
    assert musical.pitch_class_entropy(notes) == pytest.approx(muspy.pitch_class_entropy(music))
    assert musical.scale_consistency(notes) == pytest.approx(muspy.scale_consistency(music))
    assert musical.pitch_range(notes) == muspy.pitch_range(music)
    assert musical.polyphony(notes) == pytest.approx(muspy.polyphony(music))


def test_groove_is_that_of_muspy_at_as_many_positions() -> None:
    made = score(7)
    # Its last bar is the one in which the last note ends, ours the one in which the last note begins.
    for track in made.tracks:
        for note in track.notes:
            note.duration = 1
    music = muspy.Music(
        resolution=16,
        tracks=[
            muspy.Track(notes=[muspy.Note(note.time // 30, note.pitch, 0, 80) for note in track.notes])
            for track in made.tracks
        ],
    )
    assert musical.groove_consistency(Notes.of(made)) == pytest.approx(muspy.groove_consistency(music, 64))


def test_statistics_of_a_known_bar() -> None:
    made = symusic.Score(480)
    made.tempos.append(symusic.Tempo(0, 60.0))
    track = symusic.Track("", 0, False)
    for bar in range(4):
        track.notes.extend([symusic.Note(bar * 1920 + beat * 480, 480, 60 + 4 * (beat % 2), 80) for beat in range(4)])
    made.tracks.append(track)
    found = musical.statistics(Notes.of(made))
    assert found["pitch_class_entropy"] == pytest.approx(1.0)
    assert found["scale_consistency"] == found["groove_consistency"] == found["polyphony"] == 1.0
    assert found["notes_per_second"] == pytest.approx(1.0)
    assert (found["pitch_range"], found["note_beats"]) == (4.0, 1.0)


def test_music_too_short_to_tell_gives_nan_not_an_error() -> None:
    made = symusic.Score(480)
    track = symusic.Track("", 0, True)
    track.notes.append(symusic.Note(0, 10, 36, 80))
    made.tracks.append(track)
    found = musical.statistics(Notes.of(made))
    assert math.isnan(found["scale_consistency"])
    assert math.isnan(found["structureness_long"])
    assert found.keys() == musical.STATISTICS.keys()
    assert math.isnan(musical.statistics(Notes.of(symusic.Score(480)))["notes_per_second"])


@pytest.mark.parametrize("seed", range(4))
def test_fitness_is_that_of_the_slow_recursion(seed: int) -> None:
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


def test_music_that_comes_back_has_more_structure() -> None:
    returning, endless = piece_of([1, 2, 1, 2, 1, 2]), piece_of([1, 2, 3, 4, 5, 6])
    for span in ("short", "middle", "long"):
        assert structureness(returning)[span] > 1.5 * structureness(endless)[span]
    lags = by_lag(self_similarity(returning))
    assert lags[20] > 0.9
    assert lags[20] > lags[10] + 0.2
    assert by_lag(self_similarity(endless))[20] < 0.8


def test_self_similarity_of_a_silent_second_is_nought() -> None:
    notes = piece_of([1, 2, 3])
    gap = notes.where((notes.onset_s < 8) | (notes.onset_s >= 22))
    similarity = self_similarity(gap)
    assert similarity[14].max() == 0.0
    assert np.diagonal(similarity)[:8] == pytest.approx(np.ones(8))


def test_an_excerpt_has_the_notes_that_begin_in_it_and_ends_with_it() -> None:
    notes = Notes.of(score(3))
    excerpt = notes.between(5.0, 9.0)
    assert len(excerpt) == int(((notes.onset_s >= 5) & (notes.onset_s < 9)).sum())
    assert excerpt.first_s >= 5.0
    assert excerpt.last_s == pytest.approx(9.0)
    assert (excerpt.end_beats * 0.5 <= 9.0 + 1e-9).all()  # 120 quarters a minute
