"""A variation plays what grammar and request permit, and comes to an end."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.composing import ENCODINGS, new_notes, run, stand_in
from helpers.stand_in_model import full_score
from music_reformer.config import SamplingConfig
from music_reformer.generation import variation
from music_reformer.generation.request import Request


@pytest.mark.parametrize("encoding", ENCODINGS[:3])
def test_only_the_instruments_of_the_prompt_play(encoding: str) -> None:
    generator = stand_in(encoding)
    session = generator.start(full_score(), Request(length="20bars"))
    assert {-1 if note.drum else note.program for note in run(generator, session)} == {0, 33, -1}
    generator = stand_in(encoding)
    session = generator.start(full_score(), Request(length="20bars", programs=[71]))
    assert {note.program for note in run(generator, session)} == {71}
    tracks = session.scores[0].tracks
    assert [(track.program, len(track.notes) > 0) for track in tracks][4:] == [(71, True)]


def test_keys_held_across_the_cut_are_not_struck() -> None:
    for encoding in ENCODINGS:
        for seed in range(2):
            generator = stand_in(encoding)
            session = generator.start(full_score(), Request(length="7bars", seed=seed))
            run(generator, session)
            (left,) = [track for track in session.scores[0].tracks if track.name == "Left hand"]
            (held,) = [note for note in left.notes if note.time < session.prompt.cut_tick < note.end]
            assert not [n for n in left.notes if n.pitch == held.pitch and held.time < n.time < held.end]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_stuck_model_comes_to_an_end(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variation, "MAX_TOKENS_PER_BAR", 100)
    generator = stand_in(encoding, time_bias=-1000.0)
    session = generator.start(None, Request(length="3bars"))
    run(generator, session)
    assert len(generator.decoder.steps) < 3 * 100 + 1000
    assert new_notes(session.scores[0], 0)


@pytest.mark.parametrize("wanted", [("EOS", None), ("Bar", (7, 8)), ("Program", 12), ("Program", -1)])
def test_where_the_model_would_leave_a_part_by_a_way_that_is_closed_it_takes_another(
    wanted: tuple[str, object],
) -> None:
    """And not the likeliest of the notes that would be left."""
    generator = stand_in("Parts")
    request = Request(length="4bars", programs=[33, 0], sampling=SamplingConfig(hold=0))
    session = generator.start(full_score(), request)
    ids, (row,) = generator.tokenizer.vocabulary.ids, session._variations
    for kind, value in (("Program", 33), ("Position", 48), ("Velocity", 79), ("Duration", 12), ("Pitch", 40)):
        row.take(ids[kind, value])
    logits = np.random.default_rng(1).normal(size=len(generator.tokenizer.vocabulary)).astype(np.float32)
    logits[ids[wanted]] = 12.0
    ways = [ids["Bar", row.state.metre], ids["Program", 0]]
    others = np.setdiff1d(np.arange(len(logits)), [*ways, ids[wanted]])
    before = logits.copy()
    allowed = row.allowed(session._permitted_V)
    row.lean(logits, allowed)
    assert np.where(allowed, logits, -np.inf).argmax() in ways
    assert logits[ways[0]] - logits[ways[1]] == pytest.approx(before[ways[0]] - before[ways[1]], abs=1e-4)
    assert (logits[others] == before[others])[allowed[others]].all()
