"""Streams of the Parts encoding, decoded token by token."""

from __future__ import annotations

import pytest

from helpers.scores import random_score
from music_reformer.config import TokenizerConfig
from music_reformer.midi.parts_stream import PartsDecoder
from music_reformer.midi.score import bar_starts
from music_reformer.midi.stream import Note
from music_reformer.midi.tokenizer import MusicTokenizer

TOKENIZER = MusicTokenizer(TokenizerConfig(encoding="Parts"))
VOCABULARY = TOKENIZER.vocabulary
IN_FOUR, IN_THREE = ("Bar", (4, 4)), ("Bar", (3, 4))
NOTE = (("Velocity", 63), ("Duration", 24), ("Pitch", 60))


def decoded(*tokens: tuple[str, object]) -> tuple[PartsDecoder, list[Note]]:
    decoder = PartsDecoder(VOCABULARY)
    return decoder, [note for token in tokens for note in decoder.advance(VOCABULARY.ids[token])]


def test_every_pitch_is_a_complete_note_of_its_part() -> None:
    _, notes = decoded(
        IN_FOUR, ("Program", 40), ("Part", 2), *NOTE, ("Position", 30), ("Pitch", 62),
        IN_FOUR, ("Program", -1), ("Velocity", 71), ("Duration", 6), ("PitchDrum", 38),
    )  # fmt: skip
    assert notes == [
        Note(40, False, 60, 63, 0, 24, 2), Note(40, False, 62, 63, 30, 54, 2), Note(0, True, 38, 71, 96, 102, 1),
    ]  # fmt: skip


def test_parts_of_a_bar_begin_anew_at_its_line() -> None:
    _, notes = decoded(IN_FOUR, ("Program", 40), ("Position", 48), *NOTE, ("Program", 0), *NOTE)
    assert [note.start_tick for note in notes] == [48, 0]


def test_durations_add_up() -> None:
    _, (note,) = decoded(
        IN_FOUR, ("Program", 0), NOTE[0], ("Duration", 768), ("Duration", 768), ("Duration", 3), NOTE[2]
    )
    assert note.end_tick == 2 * 768 + 3


def test_bars_add_up_also_where_one_is_cut_short() -> None:
    decoder, _ = decoded(IN_FOUR, IN_THREE, ("Cut", None), ("Position", 24), IN_FOUR)
    assert decoder.bars == [(0, (4, 4), False), (96, (3, 4), True), (168 - 48, (4, 4), False)]
    assert (decoder.tick, decoder.bar) == (120, 3)
    score = PartsDecoder.score(
        VOCABULARY, [VOCABULARY.ids[token] for token in (IN_FOUR, ("Cut", None), ("Position", 24), IN_FOUR, IN_FOUR)]
    )
    # The metre that is stated again begins a bar, and there alone.
    assert [(each.time, each.numerator) for each in score.time_signatures] == [(0, 4), (24, 4)]


def test_programs_in_directions_play_nothing() -> None:
    _, notes = decoded(
        IN_FOUR, ("Directions", None), ("Program", 73), ("Part", 2), ("Music", None), ("Program", 40), *NOTE
    )
    assert [(note.program, note.part) for note in notes] == [(40, 1)]


def test_a_tempo_is_in_force_from_its_position_on() -> None:
    slow, fast = min(VOCABULARY.ids_of["Tempo"]), max(VOCABULARY.ids_of["Tempo"])
    decoder = PartsDecoder(VOCABULARY)
    for token in (VOCABULARY.ids[IN_FOUR], slow, VOCABULARY.ids["Position", 48], fast, VOCABULARY.ids[IN_FOUR]):
        decoder.advance(token)
    assert [tick for tick, _ in decoder.tempos] == [0, 48]
    seconds = 2 * 60 / VOCABULARY.values[slow] + 2 * 60 / VOCABULARY.values[fast]
    assert decoder.seconds == pytest.approx(seconds)


def test_decoding_token_by_token_equals_decoding_at_once() -> None:
    score = random_score(3, programs=(0, 0, 40))
    decoder = PartsDecoder(VOCABULARY)
    notes = [note for token in TOKENIZER.encode(score) for note in decoder.advance(int(token))]
    whole = TOKENIZER.decode(TOKENIZER.encode(score))
    assert len(notes) == whole.note_num()
    assert decoder.tick == bar_starts(whole)[-2] or decoder.tick <= max(n.start_tick for n in notes)
