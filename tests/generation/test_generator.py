"""The generator: same request, same bytes; pieces from nothing; refusals."""

from __future__ import annotations

import pytest

from helpers.composing import ENCODINGS, new_notes, run, small_reformer, stand_in
from helpers.stand_in_model import full_score
from music_reformer.errors import UserError
from music_reformer.generation.request import Request


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_same_seed_gives_the_same_bytes(encoding: str) -> None:
    generator, score = stand_in(encoding), full_score()

    def files(seed: int, variations: int) -> list[bytes]:
        session = generator.start(score, Request(length="3s", variations=variations, seed=seed))
        run(generator, session)
        return [result.dumps_midi() for result in session.scores]

    three = files(5, 3)
    assert files(5, 3) == three
    assert files(5, 1) == three[:1]
    assert files(5, 5)[:3] == three
    assert len({*three, *files(6, 3)}) == 6


def test_the_music_of_a_real_model_does_not_depend_on_the_number_of_variations() -> None:
    generator, score = small_reformer(), full_score()

    def files(variations: int) -> list[bytes]:
        session = generator.start(score, Request(length="4bars", variations=variations, seed=2))
        run(generator, session)
        return [result.dumps_midi() for result in session.scores]

    assert files(4)[:2] == files(2) == files(2)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_piece_is_composed_from_nothing(encoding: str) -> None:
    generator = stand_in(encoding)
    session = generator.start(None, Request(length="3bars", variations=2, seed=1))
    told = run(generator, session)
    assert {note.program for note in told} == {0}
    for score in session.scores:
        assert [tempo.qpm for tempo in score.tempos] == [120]
        starts = [start for _, start, _, _, _ in new_notes(score, 0)]
        assert max(starts) < 3 * 4 * score.ticks_per_quarter


def test_a_piece_from_nothing_has_the_requested_instruments() -> None:
    generator = stand_in()
    session = generator.start(None, Request(length="20bars", programs=[40, -1]))
    told = run(generator, session)
    assert {-1 if note.drum else note.program for note in told} == {40, -1}
    assert [(track.program, track.is_drum) for track in session.scores[0].tracks] == [(40, False), (0, True)]


def test_impossible_requests_are_refused() -> None:
    generator = stand_in()
    with pytest.raises(UserError, match=r"cut \(bar 99\).*has 10 bars"):
        generator.start(full_score(bars=5), Request(cut_bar=99))
    generator = small_reformer()
    session = generator.start(None, Request(length="1bars", rounds=60))
    with pytest.raises(UserError, match="rounds"):
        run(generator, session)
