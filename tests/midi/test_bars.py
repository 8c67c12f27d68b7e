"""Owners of tokens, bar lines and positions, against reading the tokens one by one."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.scores import random_score
from music_reformer.config import TokenizerConfig
from music_reformer.midi.bars import NOBODY, BarReader
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.midi.vocabulary import BOS, EOS, PAD
from reference.bars import BEGINS, FRAME, divide

TOKENIZER = MusicTokenizer(TokenizerConfig())
READER = BarReader(TOKENIZER.vocabulary)


def owners_one_by_one(tokenizer: MusicTokenizer, ids: list[int]) -> list[int]:
    found, owner = [], NOBODY
    for token in ids:
        kind, _, value = tokenizer.tokens[token].partition("_")
        if kind in FRAME:
            owner = NOBODY if kind in ("Bar", "Position") else owner
            found.append(NOBODY)
            continue
        owner = int(value) if kind in BEGINS else owner
        found.append(owner)
    return found


@pytest.mark.parametrize("pedals", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_each_token_belongs_to_the_instrument_of_its_event(seed: int, pedals: bool) -> None:
    tokenizer = MusicTokenizer(TokenizerConfig(use_sustain_pedals=pedals))
    ids = tokenizer.encode(random_score(seed))
    assert BarReader(tokenizer.vocabulary).owners(ids).tolist() == owners_one_by_one(tokenizer, ids.tolist())


def test_without_programs_no_token_has_an_owner() -> None:
    tokenizer = MusicTokenizer(TokenizerConfig(use_programs=False))
    reader = BarReader(tokenizer.vocabulary)
    ids = tokenizer.encode(random_score(0))
    assert set(reader.owners(ids).tolist()) == {NOBODY}
    assert (reader.programs(ids), reader.names_instruments) == (set(), False)


@pytest.mark.parametrize("programs", [set(), {40}, {-1, 0}, {99}])
def test_bars_are_divided_as_token_by_token(programs: set[int]) -> None:
    ids = TOKENIZER.encode(random_score(2))
    ids = ids[READER.bars(ids)[0] :]
    parts = [divide(bar.tolist(), TOKENIZER.tokens, programs) for bar in np.split(ids, READER.bars(ids)[1:])]
    others, theirs = READER.divide(ids, programs)
    assert ids[others].tolist() == [token for line, rest, _ in parts for token in [*line, *rest]]
    assert ids[theirs].tolist() == [token for line, _, mine in parts for token in [*line, *mine]]


def test_bar_lines_their_ends_and_the_content_are_found() -> None:
    ids = TOKENIZER.encode(random_score(0))
    lines, ends = READER.bars(ids), READER.line_ends(ids)
    assert all(TOKENIZER.tokens[ids[line]] == "Bar_None" and READER.is_bar(int(ids[line])) for line in lines)
    assert (ends - lines == 2).all()  # each with its time signature
    assert READER.line_ends(ids[: lines[1] + 1])[-1] == lines[1] + 1  # a stream that ends with a bar line
    whole = np.array([BOS, *ids, EOS], dtype=np.uint16)
    assert READER.content(whole).tolist() == READER.content(ids).tolist() == ids.tolist()


def test_instruments_are_named_in_order() -> None:
    names = [TOKENIZER.tokens[token] for token in READER.naming({33, -1, 0})]
    assert names == ["PAD", "Program_-1", "Program_0", "Program_33"]
    assert [READER.program_of(token) for token in READER.naming({33})] == [None, 33]
    assert READER.naming([])[0] == PAD
