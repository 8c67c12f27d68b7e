"""Says in words how close new bars stay to the piece: "keeps the key and the rhythm", "the bass rests in bar 14"."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.evaluation.checks import BARS_BEFORE, DRUMS, Bars, distances
from music_reformer.midi.instruments import instrument_name
from music_reformer.midi.score import bar_starts, with_likely_metre

CLOSE = 0.5  # a property counts as kept up to this distance; above 1, its check fails
MOST_FAULTS = 3
MOST_RESTS = 1
# Rests of an instrument are mentioned if it played in at least this share of the bars before, and rests in at most this
# share of the new ones.
ALWAYS, SELDOM = 0.75, 0.5
KEPT = {"key": "the key", "rhythm": "the rhythm", "density": "the density", "register": "the register"}
FAULTS = {
    "key": "leaves the key",
    "pitch classes": "dwells on other notes than the piece",
    "rhythm": "has another rhythm",
    "loops": "repeats itself",
    "instruments": "loses instruments",
    "polyphony": "sounds more notes at once",
}
HIGHER, LOWER, BUSIER, SPARSER = "lies higher", "lies lower", "is busier", "is sparser"


def reasons(score: symusic.Score, *, cut_tick: int, end_tick: int) -> list[str]:
    """What new bars keep of the piece, and where they depart from it, in a few words each; empty without bars before.

    Args:
        score: the piece with new music, in ticks.
        cut_tick, end_tick: where the new music begins and ends.
    """
    played = with_likely_metre(score)
    lines = bar_starts(played)
    cut_bar = bisect_left(lines, cut_tick)
    if cut_bar == 0:
        return []
    num_bars = max(1, bisect_left(lines, end_tick) - cut_bar)
    first = max(0, cut_bar - BARS_BEFORE)
    before, after = Bars.of(played, first, cut_bar - first), Bars.of(played, cut_bar, num_bars)
    found = distances(played, cut_bar, num_bars)
    kept = [words for name, words in KEPT.items() if abs(found.get(name, np.inf)) <= CLOSE]
    worst_first = sorted(found, key=lambda name: found[name], reverse=True)
    faults = [_fault(name, before, after, cut_bar) for name in worst_first if found[name] > 1]
    keeps = [f"keeps {_listed(kept)}"] if kept else []
    return keeps + faults[:MOST_FAULTS] + _rests(before, after, cut_bar)[:MOST_RESTS] or ["stays near the piece"]


def _fault(name: str, before: Bars, after: Bars, cut_bar: int) -> str:
    if name == "density":
        is_busier = len(after) * before.num_bars > len(before) * after.num_bars
        return BUSIER if is_busier else SPARSER
    if name == "register":
        return HIGHER if after.pitched.pitch.mean() > before.pitched.pitch.mean() else LOWER
    if name == "empty bars":
        silent = ~_bars_that_sound(after)
        return f"is silent in {_bars(silent, cut_bar)}"
    return FAULTS[name]


def _rests(before: Bars, after: Bars, cut_bar: int) -> list[str]:
    """Rests of instruments that nearly always played before, the shortest first."""
    found = []
    sounds = _bars_that_sound(after)
    for program in sorted(set(before.program.tolist())):
        played, plays = (_bars_that_sound(bars, program) for bars in (before, after))
        silent = ~plays & sounds
        if played.mean() >= ALWAYS and 0 < silent.mean() <= SELDOM:
            name = instrument_name(max(program, 0), drum=program == DRUMS)
            verb = "rest" if program == DRUMS else "rests"
            found.append((int(silent.sum()), f"{name} {verb} in {_bars(silent, cut_bar)}"))
    return [words for _, words in sorted(found)]


def _bars_that_sound(bars: Bars, program: int | None = None) -> NDArray[np.bool_]:
    """Whether anything sounds in each bar or, with `program`, whether this program plays."""
    sounds = np.zeros(bars.num_bars, dtype=bool)
    for onset, end, player in zip(bars.onset, bars.end, bars.program, strict=True):
        if program in (None, player):
            sounds[int(onset) : max(int(np.ceil(end - 1e-6)), int(onset) + 1)] = True
    return sounds


def _bars(marked: NDArray[np.bool_], cut_bar: int) -> str:
    """Bars as they are counted in the piece: "bar 14", "bars 14 and 16"."""
    numbers = [str(cut_bar + int(bar) + 1) for bar in np.flatnonzero(marked)]
    shown = numbers if len(numbers) <= 3 else [*numbers[:2], f"{len(numbers) - 2} more"]
    return f"bar{'s' if len(numbers) > 1 else ''} {_listed(shown)}"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
