"""The chords and sections that the page draws above a piece."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import symusic

from helpers.scores import random_score
from music_reformer.midi import outline
from music_reformer.midi.chords import recognise
from music_reformer.midi.examples import EXAMPLES
from music_reformer.midi.form import sections_of
from music_reformer.midi.lead_sheet import LeadSheet
from music_reformer.midi.outline import MAX_BARS, new_chords_json, outline_json
from music_reformer.midi.score import bar_starts, count_bars


def read(text: str) -> dict[str, Any]:
    return dict(json.loads(text))


def chord_at(score: symusic.Score, tick: int) -> str:
    """The recognised chord at a tick."""
    return str([chord for begin, chord in recognise(score) if begin <= tick][-1])


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_bar_has_the_chords_that_are_recognised_in_it(name: str) -> None:
    score = EXAMPLES[name].score()
    bars = bar_starts(score)
    chords = read(outline_json(score))["chords"]
    assert len(chords) == len(bars) - 1
    for written, begin, end in zip(chords, bars[:-1], bars[1:], strict=True):
        signs = written.split()
        places = [begin + number * (end - begin) // len(signs) for number in range(len(signs))]
        assert signs == [chord_at(score, place) for place in places]
        assert len(signs) == 1 or len(set(signs)) > 1
        if len(signs) % 2 == 0:
            assert signs[::2] != signs[1::2], "half as many would say the same"


@pytest.mark.parametrize("seed", range(4))
def test_chords_read_as_a_lead_sheet_and_sections_cover_the_piece(seed: int) -> None:
    score = random_score(seed)
    found = read(outline_json(score))
    assert [" ".join(map(str, bar)) for bar in LeadSheet.parse(" | ".join(found["chords"])).bars] == found["chords"]
    sections = found["sections"]
    assert sections == [[each.first_bar, each.num_bars, each.letter] for each in sections_of(score)]
    assert [first for first, _, _ in sections] == [0, *np.cumsum([num_bars for _, num_bars, _ in sections])[:-1]]
    assert sum(num_bars for _, num_bars, _ in sections) == count_bars(score) == len(found["chords"])


def test_chords_of_new_bars_equal_those_of_the_whole_outline() -> None:
    score = EXAMPLES["evening"].score()
    lines = bar_starts(score)
    whole = read(outline_json(score))["chords"]
    found = read(new_chords_json(score, lines[3], lines[6]))
    assert found == {"first_bar": 3, "chords": whole[3:6], "sections": []}
    # It was stopped before the length that was asked for, or had not begun.
    assert read(new_chords_json(score, lines[3], lines[-1] + 10_000))["chords"] == whole[3:]
    assert read(new_chords_json(score, lines[-1], lines[-1] + 10_000))["chords"] == []


def test_a_piece_of_too_many_bars_has_no_outline(monkeypatch: pytest.MonkeyPatch) -> None:
    score = EXAMPLES["evening"].score()
    nothing = {"first_bar": 0, "chords": [], "sections": []}
    for limit in (count_bars(score) - 1, count_bars(score)):
        for name in ("MAX_BARS", "MAX_BARS_WITH_NEW"):
            monkeypatch.setattr(outline, name, limit)
        for found in (outline_json(score), new_chords_json(score, 0, 10_000)):
            assert (read(found) == nothing) == (limit < count_bars(score))
    assert MAX_BARS >= 2000
