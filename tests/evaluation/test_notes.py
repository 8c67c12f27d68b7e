"""A score as columns: onsets in quarters and seconds, bars, and excerpts."""

from __future__ import annotations

import numpy as np
import pytest
import symusic

from helpers.melodies import melody, notes
from music_reformer.evaluation.notes import Notes


def test_times_and_bars_of_a_known_score() -> None:
    score = symusic.Score(480)
    score.tempos.extend([symusic.Tempo(0, 60.0), symusic.Tempo(1920, 120.0)])
    score.time_signatures.extend([symusic.TimeSignature(0, 4, 4), symusic.TimeSignature(1920, 3, 4)])
    tune, kit = symusic.Track("", 0, False), symusic.Track("", 0, True)
    tune.notes.extend([symusic.Note(1920, 480, 72, 80), symusic.Note(0, 960, 60, 80), symusic.Note(0, 480, 55, 80)])
    kit.notes.append(symusic.Note(2400, 120, 38, 80))
    score.tracks.extend([tune, kit])
    found = Notes.of(score)
    assert found.pitch.tolist() == [55, 60, 72, 38]
    assert found.drum.tolist() == [False, False, False, True]
    assert found.onset_beats.tolist() == [0, 0, 4, 5]
    assert found.end_beats.tolist() == [1, 2, 5, 5.25]
    assert found.onset_s == pytest.approx([0, 0, 4, 4.5])
    assert found.end_s == pytest.approx([1, 2, 4.5, 4.625])
    assert found.bar.tolist() == [0, 0, 1, 1]
    assert found.place_in_bar == pytest.approx([0, 0, 0, 1 / 3])
    assert (found.first_s, found.last_s) == (0.0, pytest.approx(4.625))


def test_an_excerpt_has_the_notes_that_begin_in_it_and_ends_with_it() -> None:
    whole = notes(melody(0, 100), bpm=120)
    excerpt = whole.between(5.0, 9.03)
    assert len(excerpt) == int(((whole.onset_s >= 5) & (whole.onset_s < 9.03)).sum()) > 10
    assert excerpt.first_s >= 5.0
    assert excerpt.last_s <= 9.03
    assert excerpt.end_beats / 2 == pytest.approx(excerpt.end_s)  # 120 quarters a minute


def test_a_score_without_notes() -> None:
    empty = Notes.of(symusic.Score(480))
    assert len(empty) == 0
    assert (empty.first_s, empty.last_s) == (0.0, 0.0)
    assert len(empty.between(0, np.inf)) == 0
