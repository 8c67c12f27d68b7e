"""Rounding played music to what can be written: bars and grids."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import symusic

from helpers.scores import random_score
from music_reformer.midi.score import bar_starts
from music_reformer.midi.written import UNIT, Grid, lag, written_bars

QUARTER = 480


def score_of(notes: list[tuple[float, float]], *, pitch: int = 60, late: int = 0) -> symusic.Score:
    """Notes as (onset, end) in quarters, all `late` ticks."""
    score = symusic.Score(QUARTER)
    track = symusic.Track("", 0, False)
    for onset, end in notes:
        begin = round(onset * QUARTER) + late
        track.notes.append(symusic.Note(begin, round(end * QUARTER) + late - begin, pitch, 80))
    score.tracks.append(track)
    return score


def rounded(score: symusic.Score) -> list[tuple[float, float]]:
    """(onset, end) in quarters of its notes as they are written."""
    grid = Grid(score, written_bars(score))
    played = [(note.time, note.end, note.pitch) for note in score.tracks[0].notes]
    return [(note.onset / UNIT, note.end / UNIT) for note in grid.notes(played)]


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 5, 6, 7, 8])
def test_every_division_of_a_quarter_is_kept(parts: int) -> None:
    notes = [(beat + k / parts, beat + (k + 1) / parts) for beat in range(8) for k in range(parts)]
    steady = [(beat, beat + 1) for beat in range(8, 108)]  # most of the piece is on a plain grid
    written = rounded(score_of(notes + steady))
    np.testing.assert_allclose(written, notes + steady)


def test_beats_choose_between_twos_and_threes() -> None:
    """Onsets as played, off by up to a fiftieth of a beat."""
    meant = [0, 1 / 3, 2 / 3, 1, 1.5, 2, 2.25, 2.5, 2.75, 3]
    random = np.random.default_rng(3)
    missed = [onset + random.uniform(-0.02, 0.02) + 0.001 for onset in meant]
    missed[0] = 0.013
    written = rounded(score_of([(onset, onset + 0.2) for onset in missed]))
    assert [onset for onset, _ in written] == pytest.approx(meant)


def test_notes_released_slightly_early_are_written_whole() -> None:
    written = rounded(score_of([(beat, beat + 0.93) for beat in range(4)]))
    assert written == [(beat, beat + 1) for beat in range(4)]


def test_a_pitch_is_written_once_at_a_time() -> None:
    assert rounded(score_of([(0, 2), (0, 1), (1.5, 2)])) == [(0, 1.5), (1.5, 2)]


@pytest.mark.parametrize("late", [-90, 18, 138, 190])
def test_a_constant_lag_is_removed(late: int) -> None:
    beats = [float(beat) for beat in range(4, 40)]
    onsets = beats + [beat + 0.5 for beat in beats[::2]]
    times = np.array([round(onset * QUARTER) + late for onset in onsets])
    assert lag(times, QUARTER) == late
    assert lag(times - late, QUARTER) == 0


def test_notes_on_no_grid_have_no_lag() -> None:
    times = random_score(1).tracks[0].notes.numpy()["time"].astype(np.int64)
    assert lag(times, QUARTER) == 0


def test_a_recording_without_a_beat_has_no_tuplets() -> None:
    """A hundred onsets anywhere, and the same in time with triplets."""
    onsets = sorted(np.random.default_rng(8).uniform(0, 40, 100))
    free = rounded(score_of([(onset, onset + 0.3) for onset in onsets]))
    assert all((4 * onset) % 1 == 0 for onset, _ in free)
    swung = rounded(score_of([(round(3 * onset) / 3 + 0.012, round(3 * onset) / 3 + 0.3) for onset in onsets]))
    assert any((4 * onset) % 1 for onset, _ in swung)


def test_bars_are_those_of_the_score() -> None:
    score = random_score(2)
    score.time_signatures.append(symusic.TimeSignature(33 * QUARTER + 10, 2, 4))  # cuts a bar of 3/4 short
    bars = written_bars(score)
    starts = bar_starts(score)
    assert [bar.tick for bar in bars] == starts[:-1]
    assert all(bar.start + bar.length == after.start for bar, after in pairwise(bars))
    # Places are rounded to a 64th note, not moved.
    assert all(abs(bar.start / UNIT - bar.tick / QUARTER) <= 1 / 16 for bar in bars)


def test_irregular_notes_stay_in_the_piece_near_their_places() -> None:
    score = random_score(5, num_notes=600, drums=False)
    bars = written_bars(score)
    grid = Grid(score, bars)
    end = bars[-1].start + bars[-1].length
    for track in score.tracks:
        played = [(note.time, note.end, note.pitch) for note in track.notes]
        notes = grid.notes(played)
        assert all(0 <= note.onset < note.end <= end for note in notes)
        onsets = {(note.onset, note.pitch) for note in notes}
        for onset, _, pitch in played:
            assert any(abs(grid.place(onset) - place) <= UNIT / 2 for place, own in onsets if own == pitch)
