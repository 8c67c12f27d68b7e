"""Locked notes: whatever the model draws, each is written once, in its place."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from music_reformer.config import TokenizerConfig
from music_reformer.generation.given_notes import AS_IT_IS_LOGIT, GivenNotes
from music_reformer.generation.recall import BarMusic, RecalledNote
from music_reformer.midi.parts_grammar import grammar_for
from music_reformer.midi.parts_reader import Part
from music_reformer.midi.tokenizer import MusicTokenizer

TOKENIZER = MusicTokenizer(TokenizerConfig(encoding="Parts"))
VOCABULARY = TOKENIZER.vocabulary
METRE = (4, 4)
NUM_BARS = 3


def locked(seed: int) -> list[BarMusic]:
    """Some notes of some parts in each of three bars, one of which has none."""
    dice = np.random.default_rng(seed)
    bars = []
    for number in range(NUM_BARS):
        parts: dict[Part, tuple[RecalledNote, ...]] = {}
        for part in [(73, 1), (40, 1), (40, 2), (-1, 1)] if number != 1 else []:
            if dice.random() < 0.7:
                places = {(int(dice.integers(96)), int(dice.integers(40, 80))) for _ in range(dice.integers(1, 5))}
                parts[part] = tuple(RecalledNote(*place, 12, 63) for place in sorted(places))
        bars.append(BarMusic((), parts))
    return bars


def written(bars: list[BarMusic], seed: int) -> tuple[Counter, int]:
    """Draw a random stream with locked notes: (bar, part, position, pitch) of all notes, and the number locked."""
    dice = np.random.default_rng(seed)
    grammar = grammar_for(TOKENIZER, programs={73, 40, 0, -1}, num_parts={40: 2}, keeps_tempo=True)
    line = VOCABULARY.ids["Bar", METRE]
    state, given = grammar.start([line]), GivenNotes(VOCABULARY, bars, metre=METRE)
    weights = np.ones(len(VOCABULARY))
    weights[VOCABULARY.is_kind("Cut", "Hole", "Directions", "ChordRoot", "NoChord")] = 0
    weights[VOCABULARY.is_kind("Bar")] = 3
    weights[VOCABULARY.is_kind("Bar")] *= np.arange(VOCABULARY.is_kind("Bar").sum()) == VOCABULARY.ids_of["Bar"].index(
        line
    )
    found: Counter = Counter()
    num_locked = bar = 0
    while bar < NUM_BARS:
        odds = given.narrowed(state.allowed()) * weights
        odds[TOKENIZER.eos_id] = 0
        assert odds.any(), "there is no way on"
        token = int(dice.choice(len(odds), p=odds / odds.sum()))
        notes = state.advance(token)
        given.take(token)
        num_locked += given.wrote_one
        bar += VOCABULARY.kinds[token] == "Bar"
        for note in notes:
            part = -1 if note.drum else note.program, note.part
            found[bar, part, note.start_tick - state.tick, note.pitch] += 1
    return found, num_locked


@pytest.mark.parametrize("seed", range(12))
def test_every_locked_note_is_written_once_whatever_is_drawn(seed: int) -> None:
    bars = locked(seed)
    found, num_locked = written(bars, seed)
    expected = {
        (number, part, note.position, note.pitch)
        for number, bar in enumerate(bars)
        for part, notes in bar.parts.items()
        for note in notes
    }
    assert expected
    assert {place for place in expected if found[place] != 1} == set()
    assert num_locked == len(expected)
    assert len(found) > len(expected), "the model writes notes of its own as well"


def test_without_locked_notes_logits_and_mask_are_unchanged() -> None:
    given = GivenNotes(VOCABULARY, [BarMusic((), {})], metre=METRE)
    allowed = grammar_for(TOKENIZER).start([VOCABULARY.ids["Bar", METRE]]).allowed()
    assert given.narrowed(allowed) is allowed


def test_tokens_that_would_skip_a_locked_note_lead_to_it() -> None:
    given = GivenNotes(VOCABULARY, [BarMusic((), {(40, 1): (RecalledNote(24, 60, 12, 63),)})], metre=METRE)

    def raised() -> list[str]:
        logits = np.zeros(len(VOCABULARY), dtype=np.float32)
        given.lean(logits)
        assert TOKENIZER.tokens[logits.argmax()].startswith("Position") or logits.max() in (0, AS_IT_IS_LOGIT)
        return [TOKENIZER.tokens[token] for token in np.flatnonzero(logits)]

    steps = [("Program", 40), ("Position", 24), ("Velocity", 63), ("Duration", 12), ("Pitch", 60)]
    leans = []
    for token in steps:
        given.take(VOCABULARY.ids[token])
        leans.append(raised())
    assert leans == [["Position_24"], ["Velocity_63"], ["Duration_12"], [], []]
    assert given.wrote_one


def test_a_copy_is_independent() -> None:
    given = GivenNotes(VOCABULARY, [BarMusic((), {(40, 1): (RecalledNote(0, 60, 12, 63),)})], metre=METRE)
    for token in [("Program", 40), ("Velocity", 63), ("Duration", 12)]:
        given.take(VOCABULARY.ids[token])
    other = given.copy()
    other.take(VOCABULARY.ids["Pitch", 60])
    everything = np.ones(len(VOCABULARY), dtype=np.bool_)
    assert other.narrowed(everything)[VOCABULARY.ids["Bar", METRE]]
    assert not given.narrowed(everything)[VOCABULARY.ids["Bar", METRE]]
