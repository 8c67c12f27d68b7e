"""The share of patterns of five notes that occurred before."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import symusic

from music_reformer.evaluation.themes import returning_share


def score_of(*parts: list[tuple[int, int]], ticks: int = 96, drums: bool = False) -> symusic.Score:
    """(onset in quarters * 4, pitch) of the notes of each part."""
    score = symusic.Score(ticks)
    for notes in parts:
        track = symusic.Track("", 0, drums)
        for onset, pitch in notes:
            track.notes.append(symusic.Note(onset * ticks // 4, ticks // 4, pitch, 80))
        score.tracks.append(track)
    return score


def line(start: int, pitches: list[int], gap: int = 4) -> list[tuple[int, int]]:
    return [(start + gap * number, pitch) for number, pitch in enumerate(pitches)]


THEME = [60, 64, 62, 67, 65, 72, 71]


def test_a_theme_returns_at_any_pitch_and_in_any_part_but_not_at_another_speed() -> None:
    higher = [pitch + 7 for pitch in THEME]
    there = score_of(line(0, THEME), line(32, higher))
    assert returning_share(there, 2, 2) == 1.0
    assert returning_share(score_of(line(0, THEME), line(32, higher, gap=2)), 2, 2) == 0.0
    upside_down = [120 - pitch for pitch in THEME]
    assert returning_share(score_of(line(0, THEME), line(32, upside_down)), 2, 2) == 0.0


def test_notes_below_the_highest_and_drums_do_not_count() -> None:
    low = [(onset, pitch - 20) for onset, pitch in line(32, THEME[::-1])]
    assert returning_share(score_of(line(0, THEME), line(32, THEME) + low), 2, 2) == 1.0
    assert returning_share(score_of(line(0, THEME) + line(32, THEME), drums=True), 2, 2) is None


def test_fewer_than_five_notes_on_either_side_give_no_share() -> None:
    assert returning_share(score_of(line(0, THEME[:4]), line(32, THEME)), 2, 2) is None
    assert returning_share(score_of(line(0, THEME), line(32, THEME[:4])), 2, 2) is None


@pytest.mark.parametrize("seed", range(5))
def test_the_share_is_that_of_counting_pattern_by_pattern(seed: int) -> None:
    random = np.random.default_rng(seed)
    parts = [
        sorted({int(onset): int(random.integers(60, 63)) for onset in random.integers(0, 64, 30)}.items())
        for _ in range(2)
    ]

    def patterns(notes: list[tuple[int, int]]) -> list[tuple[tuple[int, int], ...]]:
        steps = [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(notes)]
        return [tuple(steps[i : i + 4]) for i in range(len(steps) - 3)]

    heard = {each for notes in parts for each in patterns([note for note in notes if note[0] < 32])}
    new = [each for notes in parts for each in patterns([note for note in notes if note[0] >= 32])]
    expected = sum(each in heard for each in new) / len(new)
    assert returning_share(score_of(*parts), 2, 2) == pytest.approx(expected)
