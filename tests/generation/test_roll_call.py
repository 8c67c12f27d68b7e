"""Instruments are named to the model again while it composes: when, who, and that nobody but the model hears of it."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from helpers.stand_in_model import StandIn, full_score
from music_reformer.config import TokenizerConfig
from music_reformer.generation.generator import Generator, Session
from music_reformer.generation.request import Request
from music_reformer.generation.roll_call import RollCall
from music_reformer.generation.together import compose_together
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


def called(roll_call: RollCall, tokens: list[int]) -> list[set[int]]:
    """Who is named in front of each bar line among the tokens; nobody: an empty set."""
    names = []
    for token in tokens:
        told = roll_call.take(token)
        assert not told or (token == BAR and told[0] == PAD)
        if token == BAR:
            names.append({int(TOKENIZER.tokens[i].removeprefix("Program_")) for i in told[1:]})
    return names


def test_one_that_was_asked_for_is_called_until_it_plays() -> None:
    roll_call = RollCall(READER, bars({PIANO}, {PIANO}), {PIANO, BASS})
    assert roll_call.names() == {PIANO, BASS}
    silent, plays = {PIANO}, {PIANO, BASS}
    assert called(roll_call, bars(silent, silent, plays, silent, silent)[2:]) == [
        {PIANO, BASS},  # the bar that was just played, of which the prompt had the line, lacked the bass
        {PIANO, BASS},
        set(),  # both have been heard since
        set(),
        set(),
    ]


def test_all_are_called_again_when_the_bars_of_a_name_are_over() -> None:
    both = {PIANO, BASS}
    roll_call = RollCall(READER, bars(both), both)
    names = called(roll_call, bars(*[both] * (2 * NAMED_BARS))[2:])
    assert [number for number, programs in enumerate(names, 1) if programs] == [NAMED_BARS, 2 * NAMED_BARS]


def test_where_nobody_was_asked_for_those_heard_lately_go_on() -> None:
    roll_call = RollCall(READER, bars({FLUTE}, {PIANO}, {PIANO, DRUMS}))
    assert roll_call.names() == {FLUTE, PIANO, DRUMS}
    names = called(roll_call, bars(*[{PIANO}] * 20)[2:])
    assert [programs for programs in names if programs] == [{PIANO}, {PIANO}]


def test_a_copy_goes_its_own_way() -> None:
    roll_call = RollCall(READER, bars({PIANO}), {BASS})
    other = roll_call.copy()
    assert called(roll_call, bars({BASS})[2:]) == [set()]
    assert called(other, bars({PIANO})[2:]) == [{BASS}]
    assert called(roll_call, bars({PIANO})[2:]) == [set()]


class Listening(StandIn):
    """Keeps what each row is told, by the state's rows."""

    def __init__(self) -> None:
        super().__init__(TOKENIZER)
        self.told: list[int] = []

    def step(self, tokens_B: torch.Tensor, state: object) -> torch.Tensor:
        self.told.append(int(tokens_B[0]))
        return super().step(tokens_B, state)


def session(model: StandIn, **order: object) -> Session:
    generator = Generator(model, TOKENIZER, knows_names=True)
    return generator.start(full_score(bars=3), Request(length="24bars", programs=[PIANO, FLUTE], seed=3, **order))


def test_the_model_reads_names_in_front_of_bar_lines_and_the_music_has_none() -> None:
    model = Listening()
    one = session(model)
    for _ in one:
        pass
    told = [TOKENIZER.tokens[token] for token in model.told]
    calls = [place for place, token in enumerate(model.told) if token == PAD]
    assert len(calls) >= 24 // NAMED_BARS - 1
    for place in calls:
        assert told[place + 1 : place + 4] == ["Program_0", "Program_73", "Bar_None"]
    for earlier, later in pairwise(calls):
        assert told[earlier:later].count("Bar_None") <= NAMED_BARS
    assert one.num_tokens == len(told) - 3 * len(calls) + 1, "the last token ends the piece and is told nobody"
    assert all(track.program in {0, 33, 73} or track.is_drum for track in one.scores[0].tracks)


@pytest.mark.parametrize("most_rows", [1, 4])
def test_variations_that_are_called_at_different_times_are_the_same_together(most_rows: int) -> None:
    alone = [session(StandIn(TOKENIZER)), session(StandIn(TOKENIZER), variations=3)]
    for one in alone:
        for _ in one:
            pass
    model = StandIn(TOKENIZER)
    together = [session(model), session(model, variations=3)]
    list(compose_together(together, most_rows=most_rows))
    for one, other in zip(alone, together, strict=True):
        assert [score.dumps_midi() for score in one.scores] == [score.dumps_midi() for score in other.scores]


def test_a_model_that_has_not_learnt_names_is_never_told() -> None:
    model = Listening()
    generator = Generator(model, TOKENIZER, knows_names=False)
    for _ in generator.start(full_score(bars=3), Request(length="12bars", programs=[PIANO, FLUTE])):
        pass
    assert PAD not in model.told
