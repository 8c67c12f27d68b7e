"""Sessions composed side by side come out as each by itself, whenever they join and leave."""

from __future__ import annotations

from collections import Counter

import pytest
import symusic

from helpers.stand_in_model import StandIn, full_score
from music_reformer.config import TokenizerConfig
from music_reformer.generation.generator import Generator, Session
from music_reformer.generation.request import Request
from music_reformer.generation.together import compose_together
from music_reformer.midi.tokenizer import MusicTokenizer

TOKENIZER = MusicTokenizer(TokenizerConfig())


def notes(score: symusic.Score) -> Counter:
    return Counter(
        (track.program, note.time, note.duration, note.pitch, note.velocity)
        for track in score.tracks
        for note in track.notes
    )


def sessions(generator: Generator) -> list[Session]:
    """Of different prompts, lengths and numbers of variations."""
    orders = [(2, "1bars", 1), (4, "6bars", 2), (3, "2bars", 3), (5, "1bars", 1), (2, "3bars", 2), (6, "2bars", 1)]
    return [
        generator.start(full_score(bars=bars), Request(length=length, variations=variations, seed=number))
        for number, (bars, length, variations) in enumerate(orders)
    ]


@pytest.mark.parametrize("most_rows", [1, 2, 4, 100])
def test_together_is_alone(most_rows: int) -> None:
    generator = Generator(StandIn(TOKENIZER), TOKENIZER)
    alone = sessions(generator)
    for session in alone:
        for _ in session:
            pass
    together = sessions(generator)
    done = list(compose_together(together, most_rows=most_rows))
    assert sorted(map(id, done)) == sorted(map(id, together))
    for one, other in zip(alone, together, strict=True):
        assert [notes(score) for score in one.scores] == [notes(score) for score in other.scores]
        assert one.num_tokens == other.num_tokens


def test_steps_are_shared_and_never_wider_than_asked() -> None:
    model = StandIn(TOKENIZER)
    list(compose_together(sessions(Generator(model, TOKENIZER)), most_rows=4))
    widths = [len(tokens) for tokens in model.steps]
    assert max(widths) == 4
    assert sum(widths) / len(widths) > 2


def test_a_stopped_session_leaves_the_others_alone() -> None:
    generator = Generator(StandIn(TOKENIZER), TOKENIZER)
    some = sessions(generator)
    some[1].stop()
    assert len(list(compose_together(some, most_rows=6))) == len(some)
    (whole,) = sessions(generator)[4:5]
    for _ in whole:
        pass
    assert [notes(score) for score in some[4].scores] == [notes(score) for score in whole.scores]


def test_nothing_to_do() -> None:
    assert list(compose_together([], most_rows=4)) == []
