"""Instruments are named to a model that knows what that means."""

from __future__ import annotations

import pytest
import symusic

from helpers.stand_in_model import StandIn, full_score
from music_reformer.config import TokenizerConfig
from music_reformer.generation.generator import Generator
from music_reformer.generation.prompt import Prompt
from music_reformer.generation.request import Request
from music_reformer.midi.tokenizer import MusicTokenizer

TOKENIZER = MusicTokenizer(TokenizerConfig())
BASS, VIOLIN = 33, 40


def prompt_of(
    score: symusic.Score | None = None,
    chosen: set[int] | None = None,
    *,
    knows_names: bool = True,
    cut_bar: int | None = None,
) -> Prompt:
    generator = Generator(StandIn(TOKENIZER), TOKENIZER, knows_names=knows_names)
    return generator.start(score, Request(programs=sorted(chosen or ()), cut_bar=cut_bar)).prompt


@pytest.mark.parametrize("cut_bar", [0, 3, None])
@pytest.mark.parametrize("chosen", [{0, BASS, VIOLIN}, {-1, 0, VIOLIN, BASS}, {0}])
def test_other_instruments_are_named_in_front_of_the_bar_that_comes_next(cut_bar: int | None, chosen: set[int]) -> None:
    prompt = prompt_of(full_score(), chosen, cut_bar=cut_bar)
    at = prompt.ids.index(TOKENIZER.pad_id)
    named = [TOKENIZER.tokens[i] for i in prompt.ids[at + 1 : at + 1 + len(chosen)]]
    assert named == [f"Program_{program}" for program in sorted(chosen)]
    assert prompt.ids[:at] + prompt.ids[at + 1 + len(chosen) :] == prompt.past_ids
    bars = [i for i, token in enumerate(prompt.ids) if TOKENIZER.tokens[token] == "Bar_None"]
    assert at + 1 + len(chosen) == bars[-1]


@pytest.mark.parametrize(("last_bar_of_violin", "names"), [(2, {0}), (4, {0, VIOLIN})])
@pytest.mark.parametrize("chosen", [None, {0, VIOLIN}])
def test_of_those_that_play_already_the_ones_heard_last_are_named(
    last_bar_of_violin: int, names: set[int], chosen: set[int] | None
) -> None:
    """In the last eight of twelve bars, that is."""
    score = symusic.Score(480)
    for program, bars in ((0, 12), (VIOLIN, last_bar_of_violin + 1)):
        track = symusic.Track(program=program)
        track.notes.extend([symusic.Note(1920 * bar, 480, 60, 80) for bar in range(bars)])
        score.tracks.append(track)
    prompt = prompt_of(score, chosen)
    at = prompt.ids.index(TOKENIZER.pad_id)
    assert {TOKENIZER.tokens[i] for i in prompt.ids[at + 1 : at + 1 + len(names)]} == {f"Program_{p}" for p in names}
    assert prompt.ids[:at] + prompt.ids[at + 1 + len(names) :] == prompt.past_ids


def test_a_piece_from_nothing_begins_with_the_names_even_of_a_piano() -> None:
    for chosen, names in ((None, ["Program_0"]), ({-1, BASS}, ["Program_-1", "Program_33"])):
        prompt = prompt_of(None, chosen)
        tokens = [TOKENIZER.tokens[i] for i in prompt.ids]
        assert tokens[: 3 + len(names)] == ["BOS", "PAD", *names, "Bar_None"]


def test_a_model_that_has_not_learnt_names_is_told_none() -> None:
    prompt = prompt_of(full_score(), {0, BASS}, knows_names=False)
    assert prompt.ids == prompt.past_ids
