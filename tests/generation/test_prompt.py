"""The prompt: tokens up to the bar line of the cut, and names of instruments if the model knows them."""

from __future__ import annotations

import pytest
import symusic

from helpers.composing import ENCODINGS, events_before, new_notes, run, stand_in
from helpers.stand_in_model import StandIn, full_score
from music_reformer.config import TokenizerConfig
from music_reformer.generation.generator import Generator
from music_reformer.generation.prompt import Prompt
from music_reformer.generation.request import Request
from music_reformer.midi.score import bar_starts
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
def test_requested_instruments_are_named_before_the_next_bar(cut_bar: int | None, chosen: set[int]) -> None:
    prompt = prompt_of(full_score(), chosen, cut_bar=cut_bar)
    at = prompt.ids.index(TOKENIZER.pad_id)
    named = [TOKENIZER.tokens[i] for i in prompt.ids[at + 1 : at + 1 + len(chosen)]]
    assert named == [f"Program_{program}" for program in sorted(chosen)]
    assert prompt.ids[:at] + prompt.ids[at + 1 + len(chosen) :] == prompt.past_ids
    bars = [i for i, token in enumerate(prompt.ids) if TOKENIZER.tokens[token] == "Bar_None"]
    assert at + 1 + len(chosen) == bars[-1]


@pytest.mark.parametrize(("last_bar_of_violin", "names"), [(2, {0}), (4, {0, VIOLIN})])
@pytest.mark.parametrize("chosen", [None, {0, VIOLIN}])
def test_requesting_the_playing_instruments_names_those_heard_last(
    last_bar_of_violin: int, names: set[int], chosen: set[int] | None
) -> None:
    """Those heard in the last eight of twelve bars."""
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


def test_a_model_that_knows_no_names_gets_no_names_at_the_cut() -> None:
    prompt = prompt_of(full_score(), {0, BASS}, knows_names=False)
    assert prompt.ids == prompt.past_ids


def test_a_piece_in_one_four_is_read_in_four_four() -> None:
    """As beat trackers write "metre not known" (most of POP909); what is written keeps the upload's own."""
    generator = stand_in()
    score = full_score(metre=(1, 4), bars=24, ticks=480)
    session = generator.start(score, Request(length="2bars", variations=4))
    told = run(generator, session)
    assert session.prompt.cut_tick == 6 * 4 * 480
    names = [generator.tokenizer.tokens[token] for token in generator.decoder.prompts[0]]
    assert {name for name in names if name.startswith("TimeSig")} == {"TimeSig_4/4"}
    assert max(note.start_s for note in told) < session.prompt.cut_seconds + 8 * 60 / 77
    assert [(m.numerator, m.denominator) for m in session.scores[0].time_signatures] == [(1, 4)]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_end_token_is_never_in_the_prompt(encoding: str) -> None:
    generator = stand_in(encoding)
    eos = generator.tokenizer.eos_id
    generator.decoder.table[:, :, eos] += 100  # longs for the end
    session = generator.start(full_score(), Request(length="2bars"))
    run(generator, session)
    (prompt,) = generator.decoder.prompts
    assert prompt[0] == generator.tokenizer.bos_id
    assert prompt.count(generator.tokenizer.bos_id) == 1
    assert eos not in prompt
    assert not any(eos in step for step in generator.decoder.steps)
    assert len(new_notes(session.scores[0], session.prompt.cut_tick)) > 3


def test_the_prompt_ends_on_the_bar_line() -> None:
    generator = stand_in("REMI")
    session = generator.start(full_score(), Request(length="1bars"))
    run(generator, session)
    names = [generator.tokenizer.tokens[token] for token in generator.decoder.prompts[0]]
    assert names[-2:] == ["Bar_None", "TimeSig_3/4"]
    assert names.count("Bar_None") == 9


def test_a_long_prompt_is_read_from_a_bar_line_on() -> None:
    score = full_score(bars=60)
    for encoding in ENCODINGS:
        whole = stand_in(encoding).start(score, Request(length="1bars"))
        assert whole.dropped_bars == 0
        generator = stand_in(encoding, max_length=1600)
        session = generator.start(score, Request(length="2bars"))
        told = run(generator, session)
        assert 5 < session.dropped_bars < 60
        (prompt,) = generator.decoder.prompts
        assert 300 < len(prompt) <= 800
        cut = session.prompt.cut_tick
        assert cut == bar_starts(score)[60]
        before = events_before(score, cut)
        after = events_before(session.scores[0], cut)
        assert {key: after[key] for key in before} == before
        assert min(note.start_s for note in told) >= session.prompt.cut_seconds
        # What it read is the end of what it would have read.
        names = generator.tokenizer.tokens
        pitches, all_pitches = (
            [names[token] for token in ids if names[token].startswith(("Pitch", "NoteOn", "DrumOn"))]
            for ids in (prompt, whole.prompt.ids)
        )
        assert all_pitches[-len(pitches) :] == pitches
