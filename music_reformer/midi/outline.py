"""The outline of a piece, which the page draws above its notes: its chords by the bar and its sections, as recognised.

Both take time and memory in proportion to the number of bars, and a stranger's file may have very many: a piece of more
than `MAX_BARS` has no outline.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import symusic

from music_reformer.midi.form import sections_of
from music_reformer.midi.lead_sheet import BarOfChords, lead_sheet_of
from music_reformer.midi.score import bar_starts, count_bars

MAX_BARS = 2048  # over an hour of music
# In longer pieces the chords of new variations are not looked for, since each variation would be read as a whole.
MAX_BARS_WITH_NEW = 512


def outline_json(score: symusic.Score) -> str:
    """The outline of a score in ticks, as the JSON text that is sent to the browser.

    "chords": of each bar, as a lead sheet has them: "Am7", or where they change within the bar, "G G G D7/F#", which
    share it evenly; "first_bar" is the number of the first of these bars. "sections": [first bar (counted from 0),
    number of bars, letter] from the first bar to the last.
    """
    if count_bars(score) > MAX_BARS:
        return _text(0, [], [])
    sections = [[section.first_bar, section.num_bars, section.letter] for section in sections_of(score)]
    return _text(0, chords_by_bar(score, 0, count_bars(score)), sections)


def new_chords_json(score: symusic.Score, cut_tick: int, end_tick: int) -> str:
    """The chords of the bars from one tick to another, as `outline_json` writes them, without sections."""
    if count_bars(score) > MAX_BARS_WITH_NEW:
        return _text(0, [], [])
    lines = np.array(bar_starts(score))
    first_bar, until_bar = np.searchsorted(lines, [cut_tick, min(end_tick, int(lines[-1]))]).tolist()
    return _text(first_bar, chords_by_bar(score, first_bar, until_bar), [])


def chords_by_bar(score: symusic.Score, first_bar: int, until_bar: int) -> list[str]:
    """The chords of some bars of a score in ticks, as they are recognised, each bar as in a lead sheet."""
    return [" ".join(map(str, _shortest(bar))) for bar in lead_sheet_of(score, first_bar, until_bar).bars]


def _shortest(bar: BarOfChords) -> BarOfChords:
    """The same chords at the same places, written with as few symbols as possible: "G G D D" is "G D"."""
    for count in range(1, len(bar)):
        if len(bar) % count == 0:
            length = len(bar) // count
            if all(len(set(bar[begin : begin + length])) == 1 for begin in range(0, len(bar), length)):
                return bar[::length]
    return bar


def _text(first_bar: int, chords: list[str], sections: list[list[Any]]) -> str:
    return json.dumps({"first_bar": first_bar, "chords": chords, "sections": sections}, separators=(",", ":"))
