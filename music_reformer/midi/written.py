"""Rounds what is played to what can be written: bars, and for each staff notes on a grid.

All times are whole numbers of a small unit, so that triplets, quintuplets, septuplets and 64th notes are exact. In
each cell of a bar (a quarter; an eighth in metres over 8 and 16) each staff has a division of its own: the simplest
that fits its onsets. `voices.py` makes voices and note values of it, `staves.py` says what stands on which staff.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.errors import UserError
from music_reformer.midi.score import bar_starts, metres

UNIT = 3360  # to a quarter: divisible by 32, 3, 5 and 7
SHORTEST = UNIT // 16
LARGEST_METRE = 64
# Divisions of a cell, from simple to complex, and the cost of each where none fits exactly.
DIVISIONS = {1: 0.0, 2: 1.0, 4: 2.0, 3: 3.0, 8: 9.0, 6: 8.0, 12: 12.0, 5: 12.0, 16: 14.0, 7: 14.0, 10: 14.0}
# Divisions that need several onsets between the beats before they are chosen, and how many.
RARE_DIVISIONS = {12: 3, 5: 3, 16: 2, 7: 4, 10: 5}
END_DIVISIONS = (1, 2, 4, 3, 8, 6)  # that an end may need where the onsets do not
SHORTEST_END = UNIT // 8
# By how much of a quarter players miss the grid; two onsets this far apart are not one chord, and what merging costs.
MISS, APART, MERGED = 0.05, 0.1, 4.0
HABIT = 3.0  # cost of a division in twos in a piece in threes, and vice versa
ON_GRID = 0.7  # how well onsets must agree on a lag; 1 is perfect agreement
FREE = 0.15  # less agreement than this counts as none
EXACT_SHARE = 0.6  # share of onsets on the grid in a score that was written, not played


@dataclass(frozen=True)
class WrittenBar:
    """A bar: `start` and `length` in units, and the metre that is in force; `tick` is where it begins in the score."""

    tick: int
    start: int
    length: int
    beats: int
    unit: int

    @property
    def whole(self) -> int:
        """Length of a whole bar of the metre."""
        return 4 * UNIT * self.beats // self.unit

    @property
    def cell(self) -> int:
        """Length of a cell."""
        return UNIT if self.unit <= 4 else UNIT // 2


@dataclass(frozen=True)
class WrittenNote:
    """A note on the grid: `onset` and `end` in units from the start of the piece, and MIDI pitch.

    A loose end was not near the grid: it shows how the note was played rather than how long it is meant to be.
    """

    onset: int
    end: int
    pitch: int
    is_loose: bool


def written_bars(score: symusic.Score) -> list[WrittenBar]:
    """The bars of a score. Raises `UserError` for metres that no notation program can show."""
    changes = metres(score)
    for _, beats, unit in changes:
        if max(beats, unit) > LARGEST_METRE:
            raise UserError(f"a metre of {beats}/{unit} cannot be written as notes; correct the time signatures")
    ticks = [change[0] for change in changes]
    lines = bar_starts(score)
    bars, start = [], 0
    for tick, until in itertools.pairwise(lines):
        _, beats, unit = changes[bisect_right(ticks, tick) - 1]
        bar = WrittenBar(tick, start, 4 * UNIT * beats // unit, beats, unit)
        length = max(1, round((until - tick) * UNIT / score.ticks_per_quarter / SHORTEST)) * SHORTEST
        if length < bar.length:
            bar = replace(bar, length=length)
        bars.append(bar)
        start += bar.length
    return bars


def is_exact(times: NDArray[np.int64], ticks_per_quarter: int) -> bool:
    """Whether times come from notation or a grid, not from playing: most are on 32nd notes or on 16th triplets."""
    tolerance = 1 if ticks_per_quarter >= 240 else 0
    steps = [np.rint(times * n / ticks_per_quarter) * ticks_per_quarter / n for n in (8, 12)]
    misses = np.minimum(*(np.abs(times - step) for step in steps))
    return bool(np.mean(misses <= tolerance) >= EXACT_SHARE)


def agreement(times: NDArray[np.int64], step: float) -> complex:
    """How well times agree on a grid of this step: the absolute value is 1 if perfectly; the angle is the lag."""
    return complex(np.exp(2j * np.pi / step * times).mean())


def lag(times: NDArray[np.int64], ticks_per_quarter: int) -> int:
    """Ticks, at most half a quarter either way, by which all onsets are late.

    Transcriptions of recordings have such a lag: all onsets are on a grid, but not on that of the file. Notes on the
    file's grid, or on no grid, have none.
    """
    sixteenth = ticks_per_quarter / 4
    mean = agreement(times, sixteenth)
    if abs(mean) < ON_GRID or is_exact(times, ticks_per_quarter):
        return 0
    half = 2 * sixteenth
    first = float(np.angle(mean)) / (2 * np.pi) * sixteenth
    candidates = [(first + steps * sixteenth + half) % (2 * half) - half for steps in (0, -1, 1, 2)]

    def on_beats(late: float) -> float:
        """How well onsets fall on beats: those on a beat count 2, those halfway between count 1."""
        place = (times - late) / half
        eighths = np.rint(place)
        near = np.abs(place - eighths) < 0.25
        return float((near * np.where(eighths % 2 == 0, 2, 1)).sum())

    return round(candidates[int(np.argmax([on_beats(late) for late in candidates]))])


class Grid:
    """Puts the notes of staves on the grid of a score's bars.

    Args:
        score: with at least one bar.
        bars: of the score.
        finds_lag: whether to move all notes by their `lag`; False: the bars are where the notes have them.
    """

    def __init__(self, score: symusic.Score, bars: Sequence[WrittenBar], *, finds_lag: bool = True) -> None:
        self.bars = bars
        times = np.concatenate([track.notes.numpy()["time"].astype(np.int64) for track in score.tracks])
        ends = times + np.concatenate([track.notes.numpy()["duration"].astype(np.int64) for track in score.tracks])
        self._lag = lag(times, score.ticks_per_quarter) if finds_lag else 0
        self.is_exact = is_exact(times - self._lag, score.ticks_per_quarter)
        self._has_exact_ends = self.is_exact and is_exact(ends - self._lag, score.ticks_per_quarter)
        twos, threes, fours = (abs(agreement(times, score.ticks_per_quarter / n)) for n in (2, 3, 4))
        # If onsets fall anywhere, as in a recording without a beat, tuplets would be noise.
        self._is_free = not self.is_exact and max(twos, threes, fours) < FREE
        self._threes = HABIT * (threes - fours)
        self._per_tick = UNIT / score.ticks_per_quarter
        self._tolerance = 1.01 * self._per_tick if score.ticks_per_quarter >= 96 else 0.01
        self._ticks = [bar.tick for bar in bars]
        self._starts = [bar.start for bar in bars]
        self._end = bars[-1].start + bars[-1].length

    def place(self, tick: int) -> float:
        """A tick in units from the start of the piece, as written."""
        tick -= self._lag
        bar = self.bars[max(0, bisect_right(self._ticks, tick) - 1)]
        return bar.start + min(max(0, tick - bar.tick) * self._per_tick, bar.length)

    def notes(self, played: Sequence[tuple[int, int, int]], *, lengths: bool = True) -> list[WrittenNote]:
        """Notes of a staff, (onset, end, pitch) in ticks, on the grid, in order of onset and pitch.

        One pitch is written once at a time: of two equal onsets the longer note stays, and an onset ends the note that
        still sounds.

        Args:
            lengths: whether note ends affect the division; for drums they do not.
        """
        placed = [(self.place(onset), self.place(end), pitch) for onset, end, pitch in played]
        divisions = self._divisions(onset for onset, _, _ in placed)
        longest: dict[tuple[int, int], WrittenNote] = {}
        for onset, end, pitch in placed:
            begin = min(self._rounded(onset, divisions), self._end - SHORTEST)
            until, is_loose = self._rounded_end(end, divisions) if lengths else (self._rounded(end, divisions), True)
            if until <= begin:
                until, is_loose = self._next(begin, divisions), True
            note = WrittenNote(begin, min(until, self._end), pitch, is_loose)
            before = longest.get((begin, pitch), note)
            longest[begin, pitch] = max(before, note, key=lambda note: note.end)
        return one_at_a_time(longest.values())

    def _cell(self, place: float) -> tuple[int, int]:
        """Start and length of the cell that a place is in."""
        bar = self.bars[max(0, bisect_right(self._starts, place) - 1)]
        start = bar.start + int((place - bar.start) // bar.cell) * bar.cell
        return start, bar.cell

    def _divisions(self, onsets: Iterable[float]) -> dict[int, int]:
        """The division of each cell, by its start, in which a note begins."""
        inside: dict[tuple[int, int], list[float]] = {}
        for onset in onsets:
            start, length = self._cell(onset)
            inside.setdefault((start, length), []).append(onset - start)
        return {cell[0]: self._division(sorted(places), cell[1]) for cell, places in inside.items()}

    def _division(self, places: Sequence[float], length: int) -> int:
        """The division of a cell for onsets in it, in increasing order."""
        if self.is_exact:
            between = sum(_miss(place, 1, length) > self._tolerance for place in places)
            for division in DIVISIONS:
                if between >= RARE_DIVISIONS.get(division, 0) and all(
                    _miss(place, division, length) <= self._tolerance for place in places
                ):
                    return division

        def cost(division: int) -> float:
            rounded = [round(place * division / length) for place in places]
            misses = sum((_miss(place, division, length) / (MISS * UNIT)) ** 2 for place in places)
            merged = sum(
                one == other and after - before > APART * UNIT
                for one, other, before, after in zip(rounded, rounded[1:], places, places[1:], strict=False)
            )
            habit = -self._threes if division in (3, 6) else self._threes if division in (2, 4, 8) else 0.0
            return DIVISIONS[division] + misses + MERGED * merged + habit

        among = [division for division in DIVISIONS if division not in RARE_DIVISIONS]
        return min((1, 2, 4) if self._is_free else among, key=cost)

    def _rounded(self, place: float, divisions: dict[int, int]) -> int:
        start, length = self._cell(place)
        division = divisions.get(start, 1)
        return start + round((place - start) * division / length) * (length // division)

    def _rounded_end(self, place: float, divisions: dict[int, int]) -> tuple[int, bool]:
        """An end on the grid of the onsets, or on a finer one if it fits exactly; and whether it is loose."""
        start, length = self._cell(place)
        division = divisions.get(start, 1)
        finer = [division, *(n for n in END_DIVISIONS if n % division == 0 and length // n >= SHORTEST_END)]
        for candidate in finer if self._has_exact_ends else ():
            if _miss(place - start, candidate, length) <= self._tolerance:
                return start + round((place - start) * candidate / length) * (length // candidate), False
        return self._rounded(place, divisions), True

    def _next(self, place: int, divisions: dict[int, int]) -> int:
        """The grid point after a place: the shortest note that begins there."""
        start, length = self._cell(place)
        return place + length // max(divisions.get(start, 1), 1 if self.is_exact else 2)


def one_at_a_time(notes: Iterable[WrittenNote]) -> list[WrittenNote]:
    """Notes in order of onset and pitch, each ended by the next one of its pitch."""
    following: dict[int, int] = {}
    found = []
    for note in sorted(notes, key=lambda note: (note.onset, note.pitch), reverse=True):
        found.append(replace(note, end=min(note.end, following.get(note.pitch, note.end))))
        following[note.pitch] = note.onset
    return found[::-1]


def _miss(place: float, division: int, length: int) -> float:
    step = length / division
    return abs(place - round(place / step) * step)
