from __future__ import annotations

import numpy as np
import pytest
import symusic

from music_reformer.midi.beats import DOWNBEAT, HALF_BAR, WEAK, PitchedNotes, beats_of, pitched_notes, sounding_ticks
from music_reformer.midi.score import bar_starts


def score_of(length: int, *metres: tuple[int, int, int], quarter: int = 24) -> symusic.Score:
    score = symusic.Score(quarter)
    score.time_signatures = [symusic.TimeSignature(*metre) for metre in metres]
    track = symusic.Track()
    track.notes.append(symusic.Note(0, length, 60, 80))
    score.tracks.append(track)
    return score


def test_beats_of_simple_and_compound_metres() -> None:
    beats = beats_of(score_of(24 * 4, (0, 4, 4)))
    assert beats.tick.tolist() == [0, 24, 48, 72, 96]
    assert beats.strength.tolist() == [DOWNBEAT, WEAK, HALF_BAR, WEAK]
    assert beats_of(score_of(10, (0, 6, 8))).tick.tolist() == [0, 36, 72]
    assert beats_of(score_of(10, (0, 12, 8))).strength.tolist() == [DOWNBEAT, WEAK, HALF_BAR, WEAK]
    assert beats_of(score_of(10, (0, 9, 8))).tick.tolist() == [0, 36, 72, 108]
    assert beats_of(score_of(10, (0, 2, 2))).quarters.tolist() == [2, 2]
    assert beats_of(score_of(10, (0, 3, 8))).tick.tolist() == [0, 12, 24, 36]
    assert beats_of(score_of(10, (0, 6, 4))).quarters.tolist() == [1] * 6


def test_a_change_of_metre_cuts_the_bar_and_the_beat() -> None:
    beats = beats_of(score_of(200, (0, 4, 4), (108, 3, 4)))
    assert beats.tick.tolist() == [0, 24, 48, 72, 96, 108, 132, 156, 180, 204, 228, 252]
    assert beats.bar.tolist() == [0, 0, 0, 0, 1, 2, 2, 2, 3, 3, 3]


@pytest.mark.parametrize("seed", range(5))
def test_bars_are_those_of_the_score(seed: int) -> None:
    random = np.random.default_rng(seed)
    changes = np.unique(random.integers(0, 3000, 5))
    changes[0] = 0
    choices = [(4, 4), (3, 4), (6, 8), (12, 8), (7, 8), (2, 2), (5, 16), (1, 4)]
    metres = [(int(tick), *choices[random.integers(len(choices))]) for tick in changes]
    score = score_of(int(random.integers(1, 4000)), *metres)
    beats = beats_of(score)
    assert beats.bar_ticks.tolist() == bar_starts(score)
    assert (np.diff(beats.tick) > 0).all()
    assert len(beats.bar) == len(beats) == len(beats.tick) - 1


def test_sounding_time_is_that_of_note_by_note() -> None:
    random = np.random.default_rng(0)
    for _ in range(100):
        count = random.integers(0, 30)
        onset = random.integers(0, 50, count)
        end, row, weight = onset + random.integers(0, 60, count), random.integers(0, 4, count), random.random(count)
        ticks = np.unique(random.integers(0, 80, 7))
        slow = np.zeros((len(ticks) - 1, 4))
        for note in range(count):
            for part in range(len(ticks) - 1):
                shared = min(ticks[part + 1], end[note]) - max(ticks[part], onset[note])
                slow[part, row[note]] += weight[note] * max(shared, 0)
        notes = PitchedNotes(onset, end, row, row, row)
        np.testing.assert_allclose(sounding_ticks(notes, row, 4, ticks, weight), slow, atol=1e-9)


def test_drums_are_no_pitched_notes() -> None:
    score = score_of(10, (0, 4, 4))
    drums = symusic.Track(is_drum=True)
    drums.notes.append(symusic.Note(0, 10, 36, 80))
    score.tracks.append(drums)
    assert pitched_notes(score).pitch.tolist() == [60]
    score.tracks = [drums]
    assert len(pitched_notes(score)) == 0
