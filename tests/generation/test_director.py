"""Directions describe the piece to the model at the cut and every few bars, without changing what it composes."""

from __future__ import annotations

import numpy as np
import pytest
import symusic

from helpers.composing import run, stand_in
from helpers.stand_in_model import full_score
from music_reformer.errors import UserError
from music_reformer.generation.director import DIRECTED_BARS, Director
from music_reformer.generation.generator import Generator
from music_reformer.generation.request import Request
from music_reformer.midi.directions import describe
from music_reformer.midi.parts_reader import PartsReader
from music_reformer.midi.score import bar_starts


def directed() -> Generator:
    generator = stand_in("Parts")
    generator.knows_names = True
    return generator


def test_the_directions_describe_the_last_bars() -> None:
    generator = directed()
    session = generator.start(full_score(), Request(length="2bars"))
    vocabulary = generator.tokenizer.vocabulary
    reader = PartsReader(vocabulary)
    ids = np.array(session.prompt.past_ids)
    (expected,) = describe(reader.notes(ids[: reader.bars(ids)[-1]]), [0])  # the piece has fewer bars than are heard
    reminder = session.prompt.reminder
    assert isinstance(reminder, Director)
    assert reminder.directions.parts == expected.parts
    assert session.prompt.ids == [*session.prompt.past_ids, *reminder.directions.tokens(vocabulary)]


def test_directions_follow_the_bar_line_and_precede_a_late_note() -> None:
    """A note just before the cut is read at the beginning of the first new bar."""
    score = full_score()
    cut = bar_starts(score)[6]
    score.tracks[2].notes.append(symusic.Note(cut - 2, 90, 40, 88))
    prompt = directed().start(score, Request(length="2bars", cut_bar=6)).prompt
    assert isinstance(prompt.reminder, Director)
    line = prompt.bar_line
    late = prompt.past_ids[line + 1 :]
    kinds = prompt.state.vocabulary.kinds
    assert [kinds[token] for token in late][::4] == ["Program"]
    assert kinds[late[-1]] == "Pitch"
    assert prompt.ids == [*prompt.past_ids[: line + 1], *prompt.reminder.opening(), *late]


def test_requested_instruments_are_named() -> None:
    generator = directed()
    session = generator.start(full_score(), Request(length="2bars", programs=[0, 73]))
    assert isinstance(session.prompt.reminder, Director)
    parts = session.prompt.reminder.directions.parts
    assert parts is not None
    assert {each.part[0] for each in parts} == {0, 73}
    assert next(each for each in parts if each.part[0] == 73).density is None


def test_a_piece_from_nothing_has_its_instruments_named() -> None:
    generator = directed()
    session = generator.start(None, Request(length="2bars", programs=[40, -1]))
    assert isinstance(session.prompt.reminder, Director)
    parts = session.prompt.reminder.directions.parts
    assert parts is not None
    assert {each.part for each in parts} == {(40, 1), (-1, 1)}


def test_directions_are_repeated_and_do_not_change_the_written_notes() -> None:
    """The model reads them after every few bar lines; every note that it wrote is in the piece, and no other."""
    generator = directed()
    session = generator.start(full_score(), Request(length="12bars", seed=2))
    notes = run(generator, session)
    vocabulary = generator.tokenizer.vocabulary
    read = [tokens[0] for tokens in generator.decoder.steps]
    bars = [place for place, token in enumerate(read) if vocabulary.kinds[token] == "Bar"]
    told = [place for place, token in enumerate(read) if vocabulary.kinds[token] == "Directions"]
    assert told == [place + 1 for place in bars[DIRECTED_BARS - 1 :: DIRECTED_BARS]]
    assert len(told) >= 2
    assert len(notes) == sum(vocabulary.kinds[token] in ("Pitch", "PitchDrum") for token in read)


def test_the_model_is_told_in_how_many_bars_the_piece_ends() -> None:
    generator = directed()
    session = generator.start(full_score(), Request(length="12bars", seed=2, ending=True))
    run(generator, session)
    vocabulary = generator.tokenizer.vocabulary
    read = [*session.prompt.ids, *(tokens[0] for tokens in generator.decoder.steps)]
    told = [vocabulary.values[token] for token in read if vocabulary.kinds[token] == "EndsIn"]
    assert told == list(range(12, 0, -DIRECTED_BARS))


def test_the_end_is_announced_when_near_and_never_after_it() -> None:
    generator = directed()
    session = generator.start(full_score(), Request(length="40bars", ending=True))
    reminder = session.prompt.reminder
    vocabulary = generator.tokenizer.vocabulary
    line = vocabulary.ids["Bar", (3, 4)]
    told = [reminder.opening(), *(reminder.take(line) for _ in range(48))]
    ends = [[vocabulary.values[t] for t in tokens if vocabulary.kinds[t] == "EndsIn"] for tokens in told if tokens]
    assert ends == [[], [], *([left] for left in range(32, 0, -DIRECTED_BARS)), [], [], []]


def test_ending_is_refused_for_weights_that_do_not_support_it() -> None:
    for generator in (stand_in("Parts"), stand_in("REMI")):
        with pytest.raises(UserError, match="cannot be told to end a piece"):
            generator.start(full_score(), Request(length="4bars", ending=True))
