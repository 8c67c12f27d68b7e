"""Instruments are named before a bar, and instruments that are not kept are silent in their section."""

from __future__ import annotations

from itertools import chain, pairwise

import numpy as np
import pytest

from helpers.scores import random_score
from music_reformer.config import TokenizerConfig
from music_reformer.midi.bars import BarReader
from music_reformer.midi.instrumentation import NAMED_BARS, Section, arrange, can_name, with_names
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.midi.vocabulary import BOS, PAD, program_of
from reference.bars import divide

TOKENIZER = MusicTokenizer(TokenizerConfig())
READER = BarReader(TOKENIZER.vocabulary)
PLAYING = frozenset({-1, 0, 40})


def piece(seed: int = 0) -> np.ndarray:
    return np.array([BOS, *TOKENIZER.encode(random_score(seed)), TOKENIZER.eos_id], dtype=np.uint16)


def notes(ids: np.ndarray, *, tokenizer: MusicTokenizer = TOKENIZER) -> set[tuple[int, ...]]:
    """(instrument, time, duration, pitch, velocity) of each note."""
    return {
        (program_of(track), note.time, note.duration, note.pitch, note.velocity)
        for track in tokenizer.decode(ids).tracks
        for note in track.notes
    }


def split_at_name(ids: np.ndarray) -> tuple[np.ndarray, list[str], np.ndarray]:
    """The tokens before the names, the names, and the tokens after them."""
    (at,) = np.flatnonzero(ids == PAD)
    end = at + 1
    while TOKENIZER.tokens[ids[end]].startswith("Program"):
        end += 1
    return ids[:at], [TOKENIZER.tokens[i] for i in ids[at + 1 : end]], ids[end:]


@pytest.mark.parametrize("bar", [0, 1, 7])
def test_naming_all_instruments_only_inserts_the_names(bar: int) -> None:
    ids = piece()
    sections = [Section(0, PLAYING, named=False), Section(bar, PLAYING)]
    before, named, behind = split_at_name(arrange(READER, ids, sections if bar else sections[1:]))
    assert [*before, *behind] == ids.tolist()
    assert TOKENIZER.tokens[behind[0]] == "Bar_None"
    assert len(READER.bars(before)) == bar
    next_bars = behind[: [*READER.bars(behind), len(behind)][: NAMED_BARS + 1][-1]]
    assert set(named) == {f"Program_{program}" for program in READER.programs(next_bars)}


@pytest.mark.parametrize("tokenizer", [TOKENIZER, MusicTokenizer(TokenizerConfig(use_sustain_pedals=True))])
def test_each_section_has_all_notes_of_the_kept_instruments_and_no_others(tokenizer: MusicTokenizer) -> None:
    reader = BarReader(tokenizer.vocabulary)
    ids = np.array([BOS, *tokenizer.encode(random_score(1)), tokenizer.eos_id], dtype=np.uint16)
    sections = [
        Section(0, frozenset({0, 40}), named=False),
        Section(5, frozenset({-1, 40})),
        Section(9, frozenset({0})),
    ]
    written = arrange(reader, ids, sections)
    lines = reader.bars(ids)
    assert len(reader.bars(written)) == len(lines)
    kept, before = set(), set()
    for section, end in zip(sections, [lines[5], lines[9], len(ids)], strict=True):
        until = notes(ids[:end], tokenizer=tokenizer)
        kept |= {note for note in until - before if note[0] in section.programs}
        before = until
    assert notes(written, tokenizer=tokenizer) == kept
    names = [int(reader.bars(written[:at]).size) for at in np.flatnonzero(written == PAD)]
    assert names == [5, 9]


@pytest.mark.parametrize("pedals", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_naming_instruments_equals_a_slow_form_event_by_event(seed: int, pedals: bool) -> None:
    """The oracle goes bar by bar and event by event."""
    tokenizer = MusicTokenizer(TokenizerConfig(use_sustain_pedals=pedals))
    reader, random = BarReader(tokenizer.vocabulary), np.random.default_rng(seed)
    ids = np.array([BOS, *tokenizer.encode(random_score(seed)), tokenizer.eos_id], dtype=np.uint16)
    content = reader.content(ids)
    head, *bars = (part.tolist() for part in np.split(content, reader.bars(content)))
    playing = sorted(reader.programs(ids))
    firsts = [0, *sorted(random.choice(np.arange(1, len(bars)), size=3, replace=False).tolist()), len(bars)]
    sections, expected = [], [BOS, *head]
    for first, until in pairwise(firsts):
        programs = frozenset(int(program) for program in random.permutation(playing)[: random.integers(0, 4)])
        sections.append(Section(first, programs, named=bool(random.integers(0, 2))))
        gone = set(playing) - programs
        kept = [[*chain(*divide(bar, tokenizer.tokens, gone)[:2])] if gone else bar for bar in bars[first:until]]
        named = reader.programs(np.array([*chain(*kept[:NAMED_BARS])], dtype=np.int64))
        expected += [*(reader.naming(named) if sections[-1].named and named else []), *chain(*kept)]
    assert arrange(reader, ids, sections).tolist() == [*expected, tokenizer.eos_id]


def test_sections_in_which_nothing_plays_get_no_names() -> None:
    ids = piece()
    silent = arrange(READER, ids, [Section(0, PLAYING, named=False), Section(3, frozenset({99}))])
    assert PAD not in silent
    assert READER.programs(silent[READER.bars(silent)[3] :]) == set()


def test_names_precede_the_next_bar_of_a_prompt() -> None:
    ids = piece()
    prompt = ids[: READER.bars(ids)[4] + 2].tolist()  # a bar line and its metre
    before, named, behind = split_at_name(np.array(with_names(READER, prompt, {33, -1})))
    assert [*before, *behind] == prompt
    assert named == ["Program_-1", "Program_33"]
    assert len(behind) == 2


@pytest.mark.parametrize("config", [TokenizerConfig(encoding="TSD"), TokenizerConfig(use_programs=False)])
def test_instruments_cannot_be_named_without_bars_or_programs(config: TokenizerConfig) -> None:
    assert not can_name(BarReader(MusicTokenizer(config).vocabulary))
