"""Judgements on variations: ranks, and passages shared with the piece, against brute force."""

from __future__ import annotations

import random
from itertools import product

import numpy as np
import pytest
import symusic

from helpers.continued_piece import BAR, FAULTS, NEW, piece
from music_reformer.evaluation.checks import BARS_BEFORE
from music_reformer.evaluation.judging import NewMusic, judge

CUT, END = BARS_BEFORE * BAR, (BARS_BEFORE + NEW) * BAR


def test_the_closest_is_first_and_each_has_its_reasons() -> None:
    judged = judge([piece(FAULTS["key"]), piece(), piece(lambda note: [])], NewMusic(CUT, END))
    assert [each.rank for each in judged] == [2, 1, 3]
    assert "leaves the key" in judged[0].reasons
    assert all(each.longest_in_training is None for each in judged)


def test_a_piece_from_nothing_has_no_rank() -> None:
    (judged,) = judge([piece()], NewMusic(0, END))
    assert (judged.rank, judged.reasons, judged.longest_in_piece) == (None, [], 0)


def melody(pitches: list[int], steps: list[int], begin: int = 0) -> list[symusic.core.NoteTick]:
    ticks = begin + 120 * np.cumsum([0, *steps])
    return [symusic.Note(int(tick), 60, pitch, 80) for tick, pitch in zip(ticks, pitches, strict=False)]


def longest_by_hand(new: list[symusic.core.NoteTick], old: list[symusic.core.NoteTick]) -> int:
    """The longest passage of one melody that the other has in any key, by trying every pair of places."""
    best = 0
    for i, j in product(range(len(new)), range(len(old))):
        length = 1
        while i + length < len(new) and j + length < len(old):
            one, other = ((a[k + length], a[k + length - 1]) for a, k in ((new, i), (old, j)))
            if one[0].time - one[1].time != other[0].time - other[1].time:
                break
            if one[0].pitch - one[1].pitch != other[0].pitch - other[1].pitch:
                break
            length += 1
        best = max(best, length)
    return best if best > 1 else 0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("is_hole", [False, True])
def test_the_longest_passage_of_the_piece_is_that_of_brute_force(seed: int, is_hole: bool) -> None:
    dice = random.Random(seed)

    def some(number: int, begin: int) -> list[symusic.core.NoteTick]:
        return melody(dice.choices([60, 62, 64, 67], k=number), dice.choices([1, 2], k=number - 1), begin)

    old, new, behind = some(40, 0), some(20, 20 * BAR), some(30, 30 * BAR)
    score = symusic.Score(480)
    score.tracks.append(symusic.Track("", 0))
    score.tracks[0].notes.extend(old + new + (behind if is_hole else []))
    (judged,) = judge([score], NewMusic(20 * BAR, 30 * BAR, is_hole))
    expected = max(longest_by_hand(new, old), longest_by_hand(new, behind) if is_hole else 0)
    assert judged.longest_in_piece == expected
