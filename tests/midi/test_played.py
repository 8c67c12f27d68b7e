"""Loosely played music as it would be written, and new notes that are played alike."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.playing import played
from music_reformer.midi.examples import EXAMPLES
from music_reformer.midi.played import MOST_LATE, Feel, as_written, is_loose, steady_tempo
from music_reformer.midi.retiming import on_its_beats
from music_reformer.midi.score import bar_starts, read_score, seconds_at

DATA = played("evening")[0].dumps_midi()
PLAYED = on_its_beats(DATA, read_score(DATA), "the song")[1]
WRITTEN = as_written(PLAYED)


@pytest.mark.parametrize("example", list(EXAMPLES))
def test_written_music_is_left_alone(example: str) -> None:
    score = EXAMPLES[example].score()
    assert not is_loose(score)
    assert as_written(score) is score
    assert Feel.of(score, score, 10**6) is None


def test_played_music_is_put_on_the_grid_within_its_bars() -> None:
    assert is_loose(PLAYED)
    assert not is_loose(WRITTEN)
    assert bar_starts(WRITTEN) == bar_starts(PLAYED)
    pitched = [(one, other) for one, other in zip(PLAYED.tracks, WRITTEN.tracks, strict=True) if not one.is_drum]
    for one, other in pitched:
        assert {note.pitch for note in one.notes} == {note.pitch for note in other.notes}
        moved = [
            min(abs(note.time - each.time) for each in one.notes if each.pitch == note.pitch) for note in other.notes
        ]
        assert max(moved) <= PLAYED.ticks_per_quarter // 4


def test_the_written_piece_has_the_mean_tempo() -> None:
    assert len(PLAYED.tempos) > 12
    (tempo,) = WRITTEN.tempos
    end = bar_starts(PLAYED)[-2]
    assert tempo.qpm == pytest.approx(60 * end / PLAYED.ticks_per_quarter / float(seconds_at(PLAYED, end)), rel=0.05)


def test_drums_keep_their_feel() -> None:
    for one, other in zip(PLAYED.tracks, WRITTEN.tracks, strict=True):
        if one.is_drum:
            assert [note.time for note in one.notes] == [note.time for note in other.notes]


def test_a_steady_tempo_needs_no_other() -> None:
    assert steady_tempo(EXAMPLES["evening"].score(), 16 * 480) is None


def test_new_notes_are_as_loose_as_those_before_and_the_same_every_time() -> None:
    feel = Feel.of(PLAYED, WRITTEN, bar_starts(PLAYED)[6])
    assert feel is not None
    quarter = PLAYED.ticks_per_quarter
    late = np.array([feel.late(step * quarter // 4, 60) for step in range(400)])
    assert late.tolist() == [feel.late(step * quarter // 4, 60) for step in range(400)]
    assert np.abs(late).max() <= MOST_LATE * quarter + 1
    true = np.clip(np.concatenate([feel.on_beats, feel.between]), -feel.most, feel.most)
    assert 0.5 * true.std() < late.std() < 2.5 * true.std()
    assert abs(late.mean() - true.mean()) < quarter * 0.01
