"""The grammar of the Parts encoding: streams that it offers decode, and encoded streams are accepted."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.scores import random_score
from helpers.streams import random_walk
from music_reformer.config import TokenizerConfig
from music_reformer.midi.grammar import Grammar
from music_reformer.midi.parts import GRID, MAX_PARTS
from music_reformer.midi.parts_grammar import PartsGrammar, PartsState, grammar_for
from music_reformer.midi.score import bar_starts
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.midi.vocabulary import program_of

TOKENIZER = MusicTokenizer(TokenizerConfig(encoding="Parts"))
VOCABULARY = TOKENIZER.vocabulary


def state_behind(*tokens: tuple[str, object], **more: object) -> PartsState:
    """The state after some tokens, each of which the grammar must offer."""
    state = grammar_for(TOKENIZER, **more).start()  # type: ignore[arg-type]
    assert isinstance(state, PartsState)
    for token in tokens:
        assert state.allowed()[VOCABULARY.ids[token]], token
        state.advance(VOCABULARY.ids[token])
    return state


def offered(state: PartsState, kind: str) -> list[object]:
    return [VOCABULARY.values[token] for token in np.flatnonzero(state.allowed()) if VOCABULARY.kinds[token] == kind]


def test_other_encodings_have_the_plain_grammar() -> None:
    assert type(grammar_for(MusicTokenizer(TokenizerConfig()))) is Grammar
    assert type(grammar_for(TOKENIZER)) is PartsGrammar


@pytest.mark.parametrize("seed", range(3))
def test_encoded_streams_are_accepted(seed: int) -> None:
    state = grammar_for(TOKENIZER).start()
    for token in TOKENIZER.encode(random_score(seed, programs=(0, 0, 40, 40))).tolist():
        assert state.allowed()[token], TOKENIZER.tokens[token]
        state.advance(token)


BAR = ("Bar", (3, 4))
NOTE = (("Velocity", 63), ("Duration", 24), ("Pitch", 60))


def test_positions_stay_in_the_bar_and_rise() -> None:
    state = state_behind(BAR, ("Program", 40), ("Position", 30), *NOTE)
    assert offered(state, "Position") == list(range(31, 3 * GRID))


def test_pitches_at_one_position_rise_and_one_above_the_highest_there_is_none() -> None:
    state = state_behind(BAR, ("Program", 40), *NOTE)
    assert offered(state, "Pitch") == list(range(61, 128))
    state = state_behind(BAR, ("Program", 40), *NOTE[:2], ("Pitch", 127))
    assert offered(state, "Pitch") == offered(state, "Velocity") == offered(state, "Duration") == []


def test_unchanged_velocities_and_durations_are_not_offered() -> None:
    state = state_behind(BAR, ("Program", 40), *NOTE)
    assert 63 not in offered(state, "Velocity")
    assert 24 not in offered(state, "Duration")
    assert len(offered(state, "Velocity")) == 31


def test_parts_come_in_their_order_each_once() -> None:
    state = state_behind(BAR, ("Program", 40), *NOTE, num_parts={40: 2, 0: 1}, programs={-1, 0, 40, 73})
    assert offered(state, "Program") == [-1, 0, 40]  # the second violin; 73 would have stood before
    state.advance(VOCABULARY.ids["Program", 40])
    assert offered(state, "Part") == [2]
    assert offered(state, "Velocity") == []  # the first violin has played


def test_only_the_parts_that_may_play_are_offered() -> None:
    state = state_behind(BAR, programs={0, 40}, parts=[(40, 1), (40, 3), (0, 2)])
    state.advance(VOCABULARY.ids["Program", 40])
    assert offered(state, "Part") == [3]
    assert offered(state, "Velocity")
    state = state_behind(BAR, ("Program", 0), programs={0, 40}, parts=[(40, 1), (0, 2)])
    assert offered(state, "Part") == [2]
    assert not offered(state, "Velocity")


def test_without_numbers_a_program_has_any_number_of_parts() -> None:
    state = state_behind(BAR, ("Program", 40))
    assert offered(state, "Part") == list(range(2, MAX_PARTS + 1))


def test_a_part_is_never_empty() -> None:
    state = state_behind(BAR, ("Program", 40), ("Position", 24))
    assert {VOCABULARY.kinds[token] for token in np.flatnonzero(state.allowed())} == {"Velocity"}


def test_a_piece_opens_in_the_nearest_tempo_and_metre() -> None:
    grammar = grammar_for(TOKENIZER)
    names = [TOKENIZER.tokens[token] for token in grammar.opening(tempo=121.0, metre=(3, 4))]
    assert names == ["Bar_3/4", "Tempo_120.8"]
    assert TOKENIZER.tokens[grammar.opening(tempo=1e6, metre=(99, 7))[0]] == "Bar_4/4"


def test_empty_bars_lead_forward_to_a_tick() -> None:
    state = state_behind(BAR, ("Program", 40), *NOTE)
    names = [TOKENIZER.tokens[token] for token in state.forward(2 * 72, metre=(4, 4))]
    assert names == ["Bar_3/4", "Bar_4/4"]
    assert state.tick == 144
    assert state.forward(100, metre=(2, 4)) == []  # it is behind already


@pytest.mark.parametrize("seed", range(3))
def test_a_copy_is_independent(seed: int) -> None:
    state = grammar_for(TOKENIZER, programs={0, 40}).start()
    random_walk(state, 200, seed)
    before, other = state.allowed(), state.copy()
    random_walk(other, 200, seed + 100)
    assert np.array_equal(state.allowed(), before)
    assert state.end_notes() == ([], [])


@pytest.mark.parametrize("seed", range(20))
def test_every_sampled_stream_decodes(seed: int) -> None:
    """Every offered stream decodes to a score with the meaning of its tokens."""
    noise = np.random.default_rng(seed)
    state = grammar_for(TOKENIZER, programs={0, 40, -1}, num_parts={40: 3}).start()
    weights = np.ones(len(VOCABULARY))
    weights[VOCABULARY.is_kind("Pitch", "PitchDrum")] = 5
    weights[VOCABULARY.is_kind("EOS")] = 0
    ids: list[int] = []
    while len(ids) < 1500 or not state.allowed()[TOKENIZER.eos_id]:
        odds = state.allowed() * weights
        assert odds.any()
        ids.append(int(noise.choice(len(odds), p=odds / odds.sum())))
        state.advance(ids[-1])
    score = TOKENIZER.decode(ids)
    starts = {"Pitch", "PitchDrum"}
    assert score.note_num() == sum(VOCABULARY.kinds[token] in starts for token in ids)
    assert len(bar_starts(score)) - 1 <= sum(VOCABULARY.kinds[token] == "Bar" for token in ids) + 64
    again = TOKENIZER.decode(TOKENIZER.encode(score))
    assert [list(track.notes) for track in again.tracks] == [list(track.notes) for track in score.tracks]
    assert {(program_of(track)) for track in score.tracks} <= {0, 40, -1}


@pytest.mark.parametrize("seed", range(5))
def test_with_a_kept_tempo_no_position_for_a_tempo_is_allowed(seed: int) -> None:
    """Also after the first tempo of a piece from nothing: composing never writes tempos, so it would be stuck."""
    noise = np.random.default_rng(seed)
    grammar = grammar_for(TOKENIZER, programs={0, -1}, keeps_tempo=True)
    state = grammar.start(grammar.opening(tempo=100.0, metre=(4, 4)))
    weights = np.ones(len(VOCABULARY))
    weights[VOCABULARY.is_kind("Tempo", "Cut", "Hole", "Directions", "EOS")] = 0
    for _ in range(300):
        odds = state.allowed() * weights
        assert odds.any()
        state.advance(int(noise.choice(len(odds), p=odds / odds.sum())))


def test_pressed_keys_are_not_offered_in_their_part_alone() -> None:
    state = grammar_for(TOKENIZER, programs={40}, num_parts={40: 2}).start()
    state.hold(40, 60, 100, part=2)
    ids = VOCABULARY.ids
    for token in [("Bar", (4, 4)), ("Program", 40), ("Velocity", 63), ("Duration", 24)]:
        state.advance(ids[token])
    assert state.allowed()[ids["Pitch", 60]]
    for token in [("Pitch", 50), ("Program", 40), ("Part", 2), ("Velocity", 63), ("Duration", 24)]:
        assert state.allowed()[ids[token]]
        state.advance(ids[token])
    assert not state.allowed()[ids["Pitch", 60]]
    assert state.allowed()[ids["Pitch", 61]]
