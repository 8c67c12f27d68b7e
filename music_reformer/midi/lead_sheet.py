"""Lead sheets: chords by the bar, as a composer types them.

    Am7 | D7 G/B | Gmaj7 | % | ? | |: F | G :|

Bars are separated by "|" or a new line, and the chords of a bar share it evenly. "%" repeats the bar before, "?" leaves
a bar open. What stands between "|:" and ":|" repeats for ever, so nothing may follow it. If there are no bar lines but
chords in brackets, as in ChordPro ("[Am]Morning has [D7]broken"), each chord lasts a bar.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import symusic

from music_reformer.config import require
from music_reformer.midi.chords import QUALITIES, Chord, parse
from music_reformer.midi.harmony import harmony_of

MAX_CHARACTERS, MAX_CHORDS_IN_BAR = 10_000, 8
_IN_BRACKETS = re.compile(r"\[([^\[\]]+)\]")

BarOfChords = tuple[Chord, ...]


@dataclass(frozen=True)
class LeadSheet:
    """The chords of some bars.

    Attributes:
        bars: the chords of each bar, which share it evenly; an open bar has none.
        repeat_from: the bar to which the last one leads back; None: the sheet ends.
    """

    bars: tuple[BarOfChords, ...]
    repeat_from: int | None = None

    @classmethod
    def parse(cls, text: str) -> LeadSheet:
        """Read chords as above.

        Raises:
            UserError: a chord is not known, or a sign is where it has no meaning.
        """
        require(len(text) <= MAX_CHARACTERS, f"chords must be at most {MAX_CHARACTERS:,} characters")
        if "|" not in text and (in_brackets := _IN_BRACKETS.findall(text)):
            return cls(tuple((parse(chord.strip()),) for chord in in_brackets))
        lines = [line.strip() for line in text.splitlines()]
        text = "|".join(_without_bar_lines(line) for line in lines if line)
        before, opened, rest = text.partition("|:")
        inside, closed, behind = rest.partition(":|")
        require(
            bool(opened) == bool(closed) and not behind.strip(" |") and ":|" not in before and "|:" not in inside,
            "chords: a repeat from |: to :| goes on for ever, so there may be only one, at the end",
        )
        bars: list[BarOfChords] = []
        _read_bars(before, bars)
        repeat_from = len(bars) if opened else None
        _read_bars(inside, bars)
        require(len(bars) > (repeat_from or 0), 'chords must have at least one bar, such as "Am7 | D7"')
        return cls(tuple(bars), repeat_from)

    def of_bar(self, number: int) -> BarOfChords:
        """The chords of a bar, counted from 0; none if it is open."""
        if number < len(self.bars):
            return self.bars[number]
        if self.repeat_from is None:
            return ()
        return self.bars[self.repeat_from + (number - self.repeat_from) % (len(self.bars) - self.repeat_from)]

    def __str__(self) -> str:
        """As `parse` reads it."""
        written = [" ".join(map(str, bar)) or "?" for bar in self.bars]
        if self.repeat_from is None:
            return " | ".join(written)
        return " | ".join([*written[: self.repeat_from], f"|: {' | '.join(written[self.repeat_from :])} :|"])


def lead_sheet_of(score: symusic.Score, first_bar: int, until_bar: int) -> LeadSheet:
    """The chords of some bars of a score in ticks, as recognised; by beats where they change within a bar."""
    harmony = harmony_of(score)
    borders = np.searchsorted(harmony.beats.bar, np.arange(first_bar, until_bar + 1))
    bars = []
    for begin, end in pairwise(borders.tolist()):
        heard = [
            Chord(int(harmony.root[beat]), QUALITIES[harmony.quality[beat]], int(harmony.bass[beat]))
            for beat in range(begin, end)
        ]
        if len(set(heard)) > 1:
            bars.append(
                tuple(heard[place] for place in places(min(len(heard), MAX_CHORDS_IN_BAR), len(heard), len(heard)))
            )
        else:
            bars.append(tuple(heard[:1]))
    return LeadSheet(tuple(bars))


def laid_over(
    changes: Sequence[tuple[int, Chord]], sheet: LeadSheet, lines: Sequence[int], beats: int
) -> list[tuple[int, Chord]]:
    """The chords of a piece with those of a sheet in some bars; where the sheet is open, the piece's own stay.

    Args:
        changes: (tick, chord) of every change in the piece, the first at tick 0, as `chords.recognise` gives them.
        sheet: the chords of these bars, from its first.
        lines: ticks of the bar lines of these bars, and of the one after the last.
        beats: of each bar.
    """
    begins = [tick for tick, _ in changes]

    def own(low: int, high: float) -> list[tuple[int, Chord]]:
        in_force = changes[bisect_right(begins, low) - 1][1]
        return [(low, in_force), *changes[bisect_right(begins, low) : bisect_left(begins, high)]]

    laid = list(changes[: bisect_left(begins, lines[0])])
    for number, (line, end) in enumerate(pairwise(lines)):
        chords = sheet.of_bar(number)
        places_of_bar = places(len(chords), beats, end - line)
        laid += [(line + place, chord) for place, chord in zip(places_of_bar, chords, strict=True)] or own(line, end)
    return laid + own(lines[-1], math.inf)


def _without_bar_lines(line: str) -> str:
    """A line of a sheet without the bar lines at its ends, which add no bar."""
    line = line if line.startswith("|:") else line.removeprefix("|")
    return line if line.endswith(":|") else line.removesuffix("|")


def _read_bars(text: str, bars: list[BarOfChords]) -> None:
    """Append the bars of a text without repeats; empty text at either end is no bar."""
    if not text.strip(" |"):
        return
    for written in text.strip(" |").split("|"):
        signs = written.split()
        require(
            len(signs) <= MAX_CHORDS_IN_BAR,
            f"a bar may have at most {MAX_CHORDS_IN_BAR} chords, and {written.strip()!r:.60} has {len(signs)}",
        )
        if signs == ["%"]:
            require(bool(bars), 'chords: "%" repeats the bar before it, so it cannot stand in the first bar')
            bars.append(bars[-1])
        elif signs in ([], ["?"]):
            bars.append(())
        else:
            bars.append(tuple(parse(sign) for sign in signs))


def places(num_chords: int, beats: int, length: int) -> list[int]:
    """Where the chords of a bar begin: on beats, if there are enough.

    Args:
        num_chords: of the bar.
        beats: of the bar.
        length: of the bar; the places are in the same unit.
    """
    if num_chords > beats:
        return [number * length // num_chords for number in range(num_chords)]
    return [number * beats // num_chords * length // beats for number in range(num_chords)]
