"""Finds the sections of a piece without labels, from how its bars resemble each other.

Bars are compared by what is played at which place of the bar: by all parts, by the highest notes, and in harmony. A
section probably begins where a repetition begins or ends, after a rest of the melody, or where the texture changes
(weights fitted on POP909's forms by `benchmarks/form.py`), and probably lasts 4 or 8 bars. Sections that resemble each
other bar by bar get the same letter.

Shapes: B bars, K signs of a boundary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.midi.beats import beats_of, pitched_notes, sounding_ticks

SLOTS = 8  # places in a bar
# How much the likeness of all notes, of the highest notes, and of the harmony count.
LIKENESS_WEIGHTS = (1.0, 2.0, 0.5)
NEAR = 4  # bars nearer than this are no repetition
NO_REPETITION = -2.0
LONGEST = 24  # bars of a section
# A piece is cut into blocks of this many bars, because the memory for likeness grows with their square.
BLOCK = 1024

SIGNS = (
    "novelty", "starts 4", "ends 4", "starts afresh 4", "ends afresh 4", "starts 8", "ends 8", "starts afresh 8",
    "rest before", "late entry", "texture",
)  # fmt: skip


@dataclass(frozen=True)
class FoundSection:
    """Some consecutive bars that belong together.

    Attributes:
        first_bar: counted from 0.
        num_bars: how many.
        letter: of sections that repeat each other, "A" for the first; after "Z" comes "AA".
    """

    first_bar: int
    num_bars: int
    letter: str


@dataclass(frozen=True, eq=False)
class FormWeights:
    """What `benchmarks/form.py` fits.

    Attributes:
        signs: change of the log odds of a boundary by each sign, [K].
        base: log odds against the average where all signs are 0.
        length: log share of sections by their number of bars, [LONGEST + 1]; of 0 bars is not read.
        trust: factor of the log odds beside the lengths.
        same: likeness from which sections share a letter, in standard deviations above the mean of the piece.
    """

    signs: NDArray[np.float64]
    base: float
    length: NDArray[np.float64]
    trust: float
    same: float


def sections_of(score: symusic.Score, weights: FormWeights | None = None) -> list[FoundSection]:
    """The sections of a score in ticks, drums ignored, from its first bar to its last."""
    weights = weights or FITTED
    contents = bar_contents(score)
    num_bars = len(contents[0])
    sections: list[FoundSection] = []
    for start in range(0, num_bars, BLOCK):
        block = [content[start : start + BLOCK] for content in contents]
        likeness = standardised_likeness(block)
        odds = boundary_signs(block, likeness) @ weights.signs + weights.base
        starts = best_boundaries(weights.trust * odds, weights.length)
        letters = letters_of(starts, likeness, weights.same)
        ends = [*starts[1:], len(likeness)]
        sections += [
            FoundSection(start + first, end - first, letter)
            for first, end, letter in zip(starts, ends, letters, strict=True)
        ]
    return sections


def bar_contents(score: symusic.Score) -> list[NDArray[np.float64]]:
    """The contents of each bar, for comparison.

    Returns:
        All notes by place and pitch class, [B, SLOTS * 12]; the highest notes in the same form; sounding time by pitch
        class, [B, 12]; and the highest pitch that begins at each place, -1 if none does, [B, SLOTS].
    """
    beats, notes = beats_of(score), pitched_notes(score)
    ticks = beats.bar_ticks
    num_bars = len(ticks) - 1
    bar = np.clip(np.searchsorted(ticks, notes.onset, side="right") - 1, 0, num_bars - 1)
    place = np.rint((notes.onset - ticks[bar]) * SLOTS / (ticks[bar + 1] - ticks[bar])).astype(np.int64)
    # Notes just before a bar line are rounded onto it.
    bar, place = np.minimum(bar + place // SLOTS, num_bars - 1), place % SLOTS
    tone = notes.pitch % 12
    weight = np.sqrt(np.minimum((notes.end - notes.onset) / beats.ticks_per_quarter, 2.0))
    cell = (bar * SLOTS + place) * 12 + tone
    everything = np.bincount(cell, weight, num_bars * SLOTS * 12).astype(np.float64).reshape(num_bars, -1)
    top = np.full((num_bars, SLOTS), -1)
    np.maximum.at(top, (bar, place), notes.pitch)
    melody = np.zeros((num_bars, SLOTS, 12))
    rows, slots = np.nonzero(top >= 0)
    melody[rows, slots, top[rows, slots] % 12] = 1
    harmony = sounding_ticks(notes, tone, 12, ticks, np.ones(len(notes)))
    return [everything, melody.reshape(num_bars, -1), harmony, top.astype(np.float64)]


def standardised_likeness(contents: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Likeness of any two bars, [B, B]: cosines, in standard deviations above the mean of bars that are apart."""
    likeness = np.zeros((len(contents[0]), len(contents[0])))
    for weight, content in zip(LIKENESS_WEIGHTS, contents, strict=False):
        unit = content / np.maximum(np.linalg.norm(content, axis=1, keepdims=True), 1e-9)
        likeness += weight / sum(LIKENESS_WEIGHTS) * (unit @ unit.T)
    apart = likeness[np.triu_indices(len(likeness), NEAR)]
    if not len(apart):
        return np.zeros_like(likeness)
    return (likeness - apart.mean()) / (apart.std() + 1e-6)


def boundary_signs(contents: list[NDArray[np.float64]], likeness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signs that a section begins with each bar, [B, K], in the order of `SIGNS`."""
    starts_4, ends_4, afresh_4, over_4 = _repetitions(likeness, 4)
    starts_8, ends_8, afresh_8, _ = _repetitions(likeness, 8)
    rest, entry = _melody_edges(contents[3])
    signs = [
        _novelty(likeness, 8), starts_4, ends_4, afresh_4, over_4, starts_8, ends_8, afresh_8, rest, entry,
        _texture_change(contents[0]),
    ]  # fmt: skip
    return np.stack(signs, axis=1)


def _repetitions(likeness: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Signs of repetition of `length` bars, [4, B].

    How well the bars from each bar on, and the bars before it, are repeated elsewhere; then by how much better the
    former are repeated than the bar before them, and the latter than the bar after them.
    """
    num_bars = len(likeness)
    signs = np.full((4, num_bars), NO_REPETITION)
    if num_bars <= length:
        return signs
    runs = mean_along_diagonals(likeness, length)
    count = len(runs)
    bars = np.arange(count)
    far = np.abs(bars[:, None] - bars) >= NEAR

    def best(values: NDArray[np.float64], allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.maximum(np.where(allowed, values, -np.inf).max(axis=1, initial=-np.inf), NO_REPETITION)

    repeated = best(runs, far)
    signs[0, :count] = repeated
    signs[1, length:] = repeated[: num_bars - length]
    signs[2, 1:count] = best(runs[1:, 1:] - likeness[: count - 1, : count - 1], far[1:, 1:])
    inner = far[: count - 1, : count - 1]
    signs[3, length:] = best(runs[:-1, :-1] - likeness[length:, length:], inner)
    return signs


def mean_along_diagonals(likeness: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Mean likeness of `length` bars from one bar on with those from another on, [B - length + 1] squared."""
    sums = np.zeros((len(likeness) + 1, len(likeness) + 1))
    for bar in range(len(likeness)):
        sums[bar + 1, 1:] = sums[bar, :-1] + likeness[bar]
    return (sums[length:, length:] - sums[:-length, :-length]) / length


def _novelty(likeness: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Likeness among the bars before and among those after each bar, less that between them (Foote, 2000), [B]."""
    num_bars = len(likeness)
    sums = np.zeros((num_bars + 1, num_bars + 1))
    sums[1:, 1:] = likeness.cumsum(axis=0).cumsum(axis=1)
    itself = np.concatenate([[0.0], np.cumsum(likeness.diagonal())])
    bar = np.arange(1, num_bars)
    start, end = np.maximum(bar - width, 0), np.minimum(bar + width, num_bars)

    def among(first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.float64]:
        block = sums[last, last] - sums[first, last] - sums[last, first] + sums[first, first]
        count = last - first
        return (block - itself[last] + itself[first]) / np.maximum(count * (count - 1), 1)

    between = sums[bar, end] - sums[start, end] - sums[bar, bar] + sums[start, bar]
    novelty = (among(start, bar) + among(bar, end)) / 2 - between / ((bar - start) * (end - bar))
    return np.concatenate([np.zeros(min(1, num_bars)), novelty])


def _melody_edges(top: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lengths of the melody's rests around each bar line, as shares of a bar, [B] each.

    The first is the rest at the end of the bar before, the second the rest at the beginning of the bar. Melody notes
    are the highest ones at their place that are not below the median of all such.
    """
    heard = top[top >= 0]
    high = top >= (np.median(heard) if len(heard) else 0)
    plays = high.any(axis=1)
    after_last = np.where(plays, high[:, ::-1].argmax(axis=1), SLOTS) / SLOTS
    before_first = np.where(plays, high.argmax(axis=1), SLOTS) / SLOTS
    return np.concatenate([[0.0], after_last[:-1]]), before_first


def _texture_change(everything: NDArray[np.float64]) -> NDArray[np.float64]:
    """Absolute difference in the mean log number of notes between the four bars before and after, [B]."""
    num_bars = len(everything)
    sums = np.concatenate([[0.0], np.cumsum(np.log1p((everything > 0).sum(axis=1)))])
    bar = np.arange(1, num_bars)
    start, end = np.maximum(bar - 4, 0), np.minimum(bar + 4, num_bars)
    change = np.abs((sums[end] - sums[bar]) / (end - bar) - (sums[bar] - sums[start]) / (bar - start))
    return np.concatenate([np.zeros(min(1, num_bars)), change])


def best_boundaries(odds: NDArray[np.float64], length: NDArray[np.float64]) -> list[int]:
    """First bars of the sections whose boundaries and lengths score highest together, the first of them 0.

    Args:
        odds: score of a boundary before each bar, [B]; that of the first is not read.
        length: score of a section by its number of bars, up to the longest that there may be.
    """
    num_bars = len(odds)
    best, come_from = np.full(num_bars + 1, -np.inf), np.zeros(num_bars + 1, np.int64)
    best[0] = 0
    for end in range(1, num_bars + 1):
        lengths = np.arange(1, min(len(length) - 1, end) + 1)
        sums = best[end - lengths] + length[lengths]
        longest = int(sums.argmax())
        best[end] = sums[longest] + (odds[end] if end < num_bars else 0.0)
        come_from[end] = end - lengths[longest]
    starts = [int(come_from[num_bars])]
    while starts[-1] > 0:
        starts.append(int(come_from[starts[-1]]))
    return starts[::-1]


def letters_of(starts: list[int], likeness: NDArray[np.float64], same: float) -> list[str]:
    """The letters of sections: that of the earlier section most like it, bar by bar, if it is enough like it.

    Sections are compared over the shorter of both, which must have more than half of the bars of the longer.
    """
    ends = [*starts[1:], len(likeness)]
    groups: list[int] = []
    for index, (first, end) in enumerate(zip(starts, ends, strict=True)):
        found = (same, len(set(groups)))
        for other in range(index):
            other_length = ends[other] - starts[other]
            shared = min(end - first, other_length)
            if 2 * shared > max(end - first, other_length):
                bars = np.arange(shared)
                like = float(likeness[first + bars, starts[other] + bars].mean())
                if like > found[0]:
                    found = (like, groups[other])
        groups.append(found[1])
    return [_letter(group) for group in groups]


def _letter(number: int) -> str:
    name = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


FITTED = FormWeights(
    signs=np.array([0.58, -0.26, -0.45, 1.08, 0.54, 0.3, 0.29, -0.31, 0.83, -0.76, 1.02]),
    base=-2.59,
    length=np.array(
        [
            *(-8.82, -2.63, -3.76, -3.52, -1.21, -3.3, -3.67, -3.83, -1.04, -2.93, -3.94, -5.21, -4.52),
            *(-5.18, -5.32, -5.53, -3.62, -6.88, -7.03, -7.21, -7.72, -7.03, -8.82, -8.82, -5.88),
        ]
    ),
    trust=1.5,
    same=1.25,
)
