"""Ranking continuations: the closest to the piece comes first, and only the best are kept."""

from __future__ import annotations

import pytest

from helpers.composing import run, stand_in
from helpers.continued_piece import BAR, FAULTS, NEW, piece
from helpers.stand_in_model import full_score
from music_reformer.evaluation.checks import BARS_BEFORE
from music_reformer.evaluation.ranking import FARTHEST, best, cost, ranked
from music_reformer.generation.request import Request

CUT, END = BARS_BEFORE * BAR, (BARS_BEFORE + NEW) * BAR


def test_a_faithful_continuation_ranks_before_a_faulty_one_and_that_before_silence() -> None:
    nothing, good = piece(lambda note: []), piece()
    for fault in FAULTS.values():
        assert ranked([nothing, piece(fault), good], cut_tick=CUT, end_tick=END) == [2, 1, 0]


def test_a_single_large_distance_is_limited() -> None:
    assert cost({"key": 100.0, "rhythm": 0.0}) == FARTHEST**2
    assert cost({"key": 2.0, "rhythm": 2.0}) == 8.0


def test_without_music_before_the_cut_the_order_stays() -> None:
    assert ranked([piece(), piece()], cut_tick=0, end_tick=END) == [0, 1]


@pytest.mark.parametrize("encoding", ["REMI", "Parts"])
def test_best_of_keeps_the_two_closest_of_six(encoding: str) -> None:
    generator = stand_in(encoding)
    request = Request(length="4bars", variations=2, best_of=3, seed=4)
    session = generator.start(full_score(bars=20), request)
    run(generator, session)
    everything = generator.start(full_score(bars=20), Request(length="4bars", variations=6, seed=4))
    run(generator, everything)
    assert len(session.scores) == 6
    span = {"cut_tick": session.prompt.cut_tick, "end_tick": session.end_tick}
    order = ranked(everything.scores, **span)
    expected = [everything.scores[index].dumps_midi() for index in order[:2]]
    kept = best(session.scores, 2, **span)
    assert [score.dumps_midi() for _, score in kept] == expected
    assert [index for index, _ in kept] == order[:2]
    assert [index for index, _ in best(session.scores, 6, **span)] == list(range(6))
