"""Variations use only tokens that grammar and request permit, and come to an end."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.composing import ENCODINGS, new_notes, run, stand_in
from helpers.stand_in_model import full_score
from music_reformer.generation import variation
from music_reformer.generation.monotony_guard import MonotonyGuard
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


@pytest.mark.parametrize(("form", "lowers"), [("1-8'", {"all", "all but one"}), ("1-8", set()), ("new 4", {"all"})])
def test_the_monotony_guard_also_holds_in_varied_returns(
    form: str, lowers: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard lists every pitch here, except the next one of a returning bar."""
    monkeypatch.setattr(MonotonyGuard, "repeating", lambda _: pitches)
    generator = stand_in("Parts")
    pitches = generator.tokenizer.vocabulary.ids_of["Pitch"]
    session = generator.start(full_score(), Request(length="4bars", seed=3, form=form))
    (composed,) = session._variations
    lean, seen = composed._lean_against_repetition, set()

    def watched(logits_V: np.ndarray) -> None:
        before = logits_V.copy()
        lean(logits_V)
        spared = [token for token in pitches if logits_V[token] == before[token]]
        assert spared == [token for token in pitches if composed.recall and token in composed.recall.wanted()]
        seen.add("all but one" if spared else "all")

    monkeypatch.setattr(composed, "_lean_against_repetition", watched)
    run(generator, session)
    assert seen == lowers
