"""Repeating the names of instruments to the model: when, which, and without a trace in the music."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from helpers.composing import run
from helpers.stand_in_model import StandIn, full_score
from music_reformer.config import TokenizerConfig
from music_reformer.generation.generator import Generator
from music_reformer.generation.instrument_reminder import InstrumentReminder
from music_reformer.generation.request import Request
from music_reformer.generation.session import Session
from music_reformer.midi.bars import BarReader
from music_reformer.midi.instrumentation import NAMED_BARS
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.midi.vocabulary import PAD

TOKENIZER = MusicTokenizer(TokenizerConfig())
READER = BarReader(TOKENIZER.vocabulary)
BAR = TOKENIZER.tokens.index("Bar_None")
DRUMS, PIANO, BASS, FLUTE = -1, 0, 33, 73


def bars(*players: set[int]) -> list[int]:
    """Bars in which each of these plays a note, and the line of the next."""
    written = [TOKENIZER.bos_id]
    for programs in players:
        written.append(BAR)
        for program in sorted(programs):
            note = ["Position_0", f"Program_{program}", "Pitch_60", "Velocity_79", "Duration_1.0.8"]
            written += [TOKENIZER.tokens.index(name) for name in note]
    return [*written, BAR]


def called(reminder: InstrumentReminder, tokens: list[int]) -> list[set[int]]:
    """The instruments named before each bar line among the tokens; an empty set if none."""
    names = []
    for token in tokens:
        told = reminder.take(token)
        assert not told or (token == BAR and told[0] == PAD)
        if token == BAR:
            names.append({int(TOKENIZER.tokens[i].removeprefix("Program_")) for i in told[1:]})
    return names


def test_a_requested_instrument_is_named_until_it_plays() -> None:
    reminder = InstrumentReminder(READER, bars({PIANO}, {PIANO}), {PIANO, BASS})
    assert reminder.names() == {PIANO, BASS}
    silent, plays = {PIANO}, {PIANO, BASS}
    assert called(reminder, bars(silent, silent, plays, silent, silent)[2:]) == [
        {PIANO, BASS},  # the bar that was just played, of which the prompt had the line, lacked the bass
        {PIANO, BASS},
        set(),  # both have been heard since
        set(),
        set(),
    ]


def test_all_instruments_are_named_again_when_the_named_bars_are_over() -> None:
    both = {PIANO, BASS}
    reminder = InstrumentReminder(READER, bars(both), both)
    names = called(reminder, bars(*[both] * (2 * NAMED_BARS))[2:])
    assert [number for number, programs in enumerate(names, 1) if programs] == [NAMED_BARS, 2 * NAMED_BARS]


def test_without_a_request_recently_heard_instruments_are_named() -> None:
    reminder = InstrumentReminder(READER, bars({FLUTE}, {PIANO}, {PIANO, DRUMS}))
    assert reminder.names() == {FLUTE, PIANO, DRUMS}
    names = called(reminder, bars(*[{PIANO}] * 20)[2:])
    assert [programs for programs in names if programs] == [{PIANO}, {PIANO}]


def test_a_copy_is_independent() -> None:
    reminder = InstrumentReminder(READER, bars({PIANO}), {BASS})
    other = reminder.copy()
    assert called(reminder, bars({BASS})[2:]) == [set()]
    assert called(other, bars({PIANO})[2:]) == [{BASS}]
    assert called(reminder, bars({PIANO})[2:]) == [set()]


class Listening(StandIn):
    """Records the tokens given to each row of the state."""

    def __init__(self) -> None:
        super().__init__(TOKENIZER)
        self.told: list[int] = []

    def step(self, tokens_B: torch.Tensor, state: object) -> torch.Tensor:
        self.told.append(int(tokens_B[0]))
        return super().step(tokens_B, state)


def generator_of(model: StandIn) -> Generator:
    return Generator(model, TOKENIZER, knows_names=True)


def session(generator: Generator, variations: int = 1) -> Session:
    request = Request(length="24bars", programs=[PIANO, FLUTE], seed=3, variations=variations)
    return generator.start(full_score(bars=3), request)


def test_the_model_reads_names_in_front_of_bar_lines_and_the_music_has_none() -> None:
    model = Listening()
    generator = generator_of(model)
    one = session(generator)
    run(generator, one)
    told = [TOKENIZER.tokens[token] for token in model.told]
    calls = [place for place, token in enumerate(model.told) if token == PAD]
    assert len(calls) >= 24 // NAMED_BARS - 1
    for place in calls:
        assert told[place + 1 : place + 4] == ["Program_0", "Program_73", "Bar_None"]
    for earlier, later in pairwise(calls):
        assert told[earlier:later].count("Bar_None") <= NAMED_BARS
    assert one.num_tokens == len(told) - 3 * len(calls) + 1, "the last token ends the piece and is told nobody"
    assert all(track.program in {0, 33, 73} or track.is_drum for track in one.scores[0].tracks)


@pytest.mark.parametrize("max_rows", [1, 4])
def test_variations_that_are_reminded_at_different_times_are_the_same_together(max_rows: int) -> None:
    generator = generator_of(StandIn(TOKENIZER))
    alone, together = ([session(generator), session(generator, variations=3)] for _ in range(2))
    for one in alone:
        run(generator, one)
    assert list(generator.compose_together(together, max_rows=max_rows))
    for one, other in zip(alone, together, strict=True):
        assert [score.dumps_midi() for score in one.scores] == [score.dumps_midi() for score in other.scores]


def test_a_model_that_knows_no_names_gets_no_reminders() -> None:
    model = Listening()
    generator = Generator(model, TOKENIZER, knows_names=False)
    run(generator, generator.start(full_score(bars=3), Request(length="12bars", programs=[PIANO, FLUTE])))
    assert model.told
    assert PAD not in model.told
