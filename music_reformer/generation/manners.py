"""Manners: a long continuation changes its manner of playing from section to section, as pieces do (Parts encoding).

Left to itself, the model goes on for ever in the manner of the last bars (docs/decisions/022). So every other section
of new bars is played in the manner of other bars of the piece: those in the same key that are least like the last ones.
If the piece has none, the section is played more or less densely, and higher or lower. What is taken from those bars
is how, not what: which parts play and how densely, their registers, loudness and rhythms, and how chords follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from music_reformer.generation.director import HEARD_BARS, heard_bars
from music_reformer.generation.request import Wishes
from music_reformer.midi.form_plan import RecalledBar
from music_reformer.midi.parts_reader import PartsReader, StreamNotes
from music_reformer.midi.texture import Texture
from music_reformer.midi.vocabulary import DRUMS

SECTION_BARS = 16  # the longest section in one manner; for so many bars, that of the last ones stays
END_BARS = 8  # a piece ends in the manner in which it was cut, for at least so many bars
STRIDE = 8  # bars between the beginnings of the stretches that are compared
# The usual difference between two sections of a piece in log2 density, mean pitch, pitch classes and rhythm: how much
# the blocks of 64 bars vary (`evaluation/variety.py`), means of eleven genres. MOST limits each, in these units.
USUAL_DENSITY, USUAL_PITCH, USUAL_CLASSES, USUAL_RHYTHM, MOST = 0.365, 2.9, 0.226, 0.071, 3.0
PER_PART = 0.25  # what each part that plays in only one of two stretches adds to their difference
ENOUGH = 0.9  # difference from which a stretch has a manner of its own
OTHER_KEY = 0.15  # difference in pitch classes from which a stretch is taken to be in another key
MOST_MANNERS = 2  # beside that of the last bars
STEPS = 1  # of density and register, if a piece has only one manner


@dataclass(frozen=True)
class Manner:
    """How a section of new bars is played.

    Attributes:
        heard: tokens of the piece in whose manner it is played.
        heard_bar: number of the first of these bars, among those that the model reads.
        wishes: how the section differs from them.
        first_bar: of the section, counted from the first new bar.
    """

    heard: slice
    heard_bar: int
    wishes: Wishes = field(default_factory=Wishes)
    first_bar: int = 0


class MannerPlan:
    """The manners of the new bars where they change; before the first change, the last bars are the model.

    Args:
        reader: of the vocabulary.
        ids: the piece up to the first new bar, its line included.
        planned: the bar that returns in each new bar; bars after these are new, too.
        num_bars: how many bars are composed.
        ends: whether the piece ends with the last of them.
    """

    def __init__(
        self,
        reader: PartsReader,
        ids: NDArray[np.integer],
        planned: Sequence[RecalledBar | None],
        num_bars: int,
        *,
        ends: bool = False,
    ) -> None:
        self._sections = _sections(planned, num_bars)[1:]
        self._last_change = num_bars - END_BARS if ends else None
        span = heard_bars(reader, ids)
        self._home = Manner(span, int(np.searchsorted(reader.bars(ids), span.start))) if span is not None else None
        self._others = _other_manners(reader, ids, self._home) if self._home is not None and self._sections else []

    def of(self, variation: int) -> list[Manner]:
        """The manners of a variation in the order of its sections; another variation has the contrasts in turn."""
        if self._home is None or not self._others:
            return []
        manners: list[Manner] = []
        contrasts, turn = False, variation
        for first_bar, returns in self._sections:
            contrasts = not contrasts and not returns and first_bar >= SECTION_BARS
            if contrasts:
                manners.append(replace(self._others[turn % len(self._others)], first_bar=first_bar))
                turn += 1
            elif manners:
                manners.append(replace(self._home, first_bar=first_bar))
        if self._last_change is not None:
            manners = [each for each in manners if each.first_bar < self._last_change]
            manners += [replace(self._home, first_bar=self._last_change)] if manners else []
        return manners


def _sections(planned: Sequence[RecalledBar | None], num_bars: int) -> list[tuple[int, bool]]:
    """First bar of each section of new bars, and whether bars of the piece return in it."""
    returns = [each is not None for each in planned[:num_bars]]
    returns += [False] * (num_bars - len(returns))
    sections: list[tuple[int, bool]] = []
    for bar, each in enumerate(returns):
        if not sections or sections[-1][1] != each or (not each and bar - sections[-1][0] >= SECTION_BARS):
            sections.append((bar, each))
    return sections


def _other_manners(reader: PartsReader, ids: NDArray[np.integer], home: Manner) -> list[Manner]:
    """Manners that differ from that of the last bars and from one another; none if there are only drums."""
    lines = reader.bars(ids)
    last = _Stretch.of(home, reader.notes(ids[home.heard]))
    if last is None:  # only drums
        return []
    stretches = []
    for bar in range(home.heard_bar - HEARD_BARS, -1, -STRIDE):
        manner = Manner(slice(int(lines[bar]), int(lines[bar + HEARD_BARS])), bar)
        stretch = _Stretch.of(manner, reader.notes(ids[manner.heard]))
        if stretch is not None and stretch.texture.unlike_classes(last.texture) < OTHER_KEY:
            stretches.append(stretch)
    chosen = [last]
    while stretches and len(chosen) <= MOST_MANNERS:
        differences = [min(each.difference(other) for other in chosen) for each in stretches]
        if max(differences) < ENOUGH:
            break
        chosen.append(stretches.pop(int(np.argmax(differences))))
    return [each.manner for each in chosen[1:]] or _changed(home, last, _Stretch.of(home, reader.notes(ids)))


def _changed(home: Manner, last: _Stretch, whole: _Stretch | None) -> list[Manner]:
    """The manner of the last bars, changed away from where these differ from the whole piece."""
    assert whole is not None  # the last bars have notes, so the piece has
    density = -STEPS if last.texture.density > whole.texture.density else STEPS
    register = -STEPS if last.texture.pitch > whole.texture.pitch else STEPS
    return [
        replace(home, wishes=Wishes(density=density, register=register)),
        replace(home, wishes=Wishes(register=-register)),
    ]


@dataclass(frozen=True, eq=False)
class _Stretch:
    """Some bars of the piece."""

    manner: Manner
    texture: Texture
    parts: frozenset[tuple[int, int]]

    @classmethod
    def of(cls, manner: Manner, notes: StreamNotes) -> _Stretch | None:
        is_drum = np.array([program == DRUMS for program, _ in notes.parts], np.bool_)[notes.part]
        texture = Texture.of(
            onset=notes.position / notes.bar_lengths[notes.bar],
            duration=notes.duration,
            pitch=notes.pitch,
            is_drum=is_drum,
            num_bars=len(notes.bar_lengths),
        )
        return cls(manner, texture, frozenset(notes.parts)) if texture is not None else None

    def difference(self, other: _Stretch) -> float:
        """How differently two stretches are played; 1 is the usual difference between sections of a piece."""
        mine, theirs = self.texture, other.texture
        differences = [
            abs(mine.density - theirs.density) / USUAL_DENSITY,
            abs(mine.pitch - theirs.pitch) / USUAL_PITCH,
            mine.unlike_classes(theirs) / USUAL_CLASSES,
            mine.unlike_rhythm(theirs) / USUAL_RHYTHM,
        ]
        return float(np.mean(np.minimum(differences, MOST))) + PER_PART * len(self.parts ^ other.parts)
