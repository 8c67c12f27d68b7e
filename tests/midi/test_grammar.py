"""The grammar: every random stream decodes as expected, and encoded real files are always accepted."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import symusic

from helpers.streams import ENCODINGS, SETTINGS, as_set, busy_score, notes_of, random_walk
from music_reformer.config import TokenizerConfig
from music_reformer.midi.parts_grammar import grammar_for
from music_reformer.midi.score import clean_score, read_score
from music_reformer.midi.stream import Note
from music_reformer.midi.tokenizer import MusicTokenizer


@pytest.mark.parametrize("config", SETTINGS)
def test_encoded_scores_are_accepted(config: TokenizerConfig) -> None:
    _assert_accepted(MusicTokenizer(config), busy_score())


@pytest.mark.parametrize("config", SETTINGS)
def test_real_files_are_accepted(config: TokenizerConfig, corpora: Path) -> None:
    tokenizer = MusicTokenizer(config)
    files = sorted(corpora.glob("pop909/**/*.mid"))[::300] + sorted(corpora.glob("asap/**/*.mid"))[::400]
    for path in files:
        _assert_accepted(tokenizer, clean_score(read_score(path)))


def _assert_accepted(tokenizer: MusicTokenizer, score: symusic.Score) -> None:
    state = grammar_for(tokenizer).start()
    notes: list[Note] = []
    ids = [*map(int, tokenizer.encode(score)), tokenizer.eos_id]
    for place, token in enumerate(ids):
        around = [tokenizer.tokens[i] for i in ids[max(0, place - 6) : place + 1]]
        assert state.allowed()[token], f"refused the last of {around} (token {place})"
        notes += state.advance(token)
    assert as_set(notes) == notes_of(tokenizer.decode(ids))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_copy_is_independent(encoding: str) -> None:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding=encoding))
    state = grammar_for(tokenizer).start()
    ids, _ = random_walk(state, 400, 1)
    other = state.copy()
    random_walk(other, 400, 2)
    more, notes = random_walk(state, 400, 3)
    fresh = grammar_for(tokenizer).start(ids)
    again = [note for token in more for note in fresh.advance(token)]
    assert as_set(notes) == as_set(again)
    assert (state.tick, state.bar, state.seconds) == (fresh.tick, fresh.bar, fresh.seconds)


@pytest.mark.parametrize("encoding", ["REMI", "TSD", "MIDILike", "Parts"])
def test_only_the_given_instruments_play(encoding: str) -> None:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding=encoding))
    state = grammar_for(tokenizer, programs={33, -1}).start()
    _, notes = random_walk(state, 3000, 4)
    assert {-1 if note.drum else note.program for note in notes} == {33, -1}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_end_is_not_allowed_while_notes_sound(encoding: str) -> None:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding=encoding))
    state = grammar_for(tokenizer).start()
    for seed in range(60):
        random_walk(state, 17, seed)
        if state.allowed()[tokenizer.eos_id]:
            assert not state.sounding


@pytest.mark.parametrize("encoding", ["MIDILike", "Performance"])
def test_closing_ends_all_notes_and_begins_none(encoding: str) -> None:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding=encoding))
    state = grammar_for(tokenizer).start()
    ids, notes = random_walk(state, 301, 6)
    while not state.allowed()[state.grammar.time_mask].any():
        more, told = random_walk(state, 1, 0)
        ids, notes = ids + more, notes + told
    assert state.sounding
    num_begun = len(notes) + sum(len(state._sounding[key]) for key in state.sounding)
    state.closing = True
    more, told = random_walk(state, 50, 7)
    ids, notes = ids + more, notes + told
    while not state.allowed()[state.grammar.time_mask].any():
        more, told = random_walk(state, 1, 0)
        ids, notes = ids + more, notes + told
    more, told = state.end_notes()
    ids, notes = ids + more, notes + told
    assert not state.sounding
    assert len(notes) == num_begun
    assert as_set(notes) == notes_of(tokenizer.decode(ids))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_forward_moves_to_the_given_tick(encoding: str) -> None:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding=encoding))
    grammar = grammar_for(tokenizer)
    ids = grammar.opening(tempo=90, metre=(3, 4))
    state = grammar.start(ids)
    target = 7 * tokenizer.ticks_per_beat
    ids += state.forward(target)
    _, notes = random_walk(state, 200, 8)
    assert notes
    assert min(note.start_tick for note in notes) >= target
    probe = grammar.start(ids)
    if encoding not in (
        "REMI",
        "Parts",
    ):  # there a bar line is as near as tokens come; the grammar waits for the position
        assert probe.tick == target


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_held_key_is_not_offered(encoding: str) -> None:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding=encoding))
    grammar = grammar_for(tokenizer, programs={0})
    state = grammar.start(grammar.opening(tempo=120, metre=(4, 4)))
    until = 8 * tokenizer.ticks_per_beat
    for pitch in range(128):
        if pitch != 61:
            state.hold(0, pitch, until)
    _, notes = random_walk(state, 4000, 9)
    assert {note.pitch for note in notes if note.start_tick < until} <= {61}
    assert len({note.pitch for note in notes if note.start_tick >= until}) > 10


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_step_costs_tens_of_microseconds(encoding: str) -> None:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding=encoding))
    ids = [int(token) for token in tokenizer.encode(busy_score())]
    grammar = grammar_for(tokenizer)
    best = float("inf")
    for _ in range(20):
        state = grammar.start()
        began = time.process_time()
        for token in ids:
            state.allowed()
            state.advance(token)
        best = min(best, (time.process_time() - began) / len(ids))
    assert best < 100e-6
