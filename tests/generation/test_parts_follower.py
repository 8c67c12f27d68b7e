"""The place in a stream of the Parts encoding, against what decoding says."""

from __future__ import annotations

import pytest

from helpers.scores import random_score
from music_reformer.config import TokenizerConfig
from music_reformer.generation.parts_follower import NOBODY, PartsFollower
from music_reformer.midi.parts_stream import PartsDecoder
from music_reformer.midi.tokenizer import MusicTokenizer

TOKENIZER = MusicTokenizer(TokenizerConfig(encoding="Parts"))
VOCABULARY = TOKENIZER.vocabulary


@pytest.mark.parametrize("seed", range(3))
def test_every_note_is_where_decoding_puts_it(seed: int) -> None:
    ids = TOKENIZER.encode(random_score(seed, programs=(0, 0, 40, 73))).tolist()
    decoder = PartsDecoder(VOCABULARY)
    follower = PartsFollower(VOCABULARY, VOCABULARY.values[ids[0]])
    decoder.advance(ids[0])
    num_notes = 0
    for token in ids[1:]:
        notes = decoder.advance(token)
        follower.follow(token)
        assert follower.begins_note == bool(notes)
        assert follower.bar == decoder.bar - 1
        for note in notes:
            num_notes += 1
            assert follower.part == (-1 if note.drum else note.program, note.part)
            assert decoder.tick + follower.position == note.start_tick
            assert follower.duration == note.end_tick - note.start_tick
            assert follower.value == note.pitch
    assert num_notes > 150


def test_after_a_bar_line_nobody_plays_yet() -> None:
    follower = PartsFollower(VOCABULARY, (4, 4))
    for token in [("Program", 40), ("Part", 2), ("Position", 30), ("Velocity", 63), ("Duration", 12)]:
        follower.follow(VOCABULARY.ids[token])
    assert (follower.part, follower.position, follower.duration) == ((40, 2), 30, 12)
    follower.follow(VOCABULARY.ids["Bar", (3, 4)])
    assert (follower.bar, follower.part, follower.position, follower.duration) == (1, NOBODY, 0, 0)
    assert (follower.metre, follower.length) == ((3, 4), 72)


def test_a_copy_is_independent() -> None:
    follower = PartsFollower(VOCABULARY, (4, 4))
    other = follower.copy()
    other.follow(VOCABULARY.ids["Program", 40])
    assert (follower.part, other.part) == (NOBODY, (40, 1))
