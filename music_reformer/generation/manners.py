"""Manners: long continuations change their manner of playing from section to section, as pieces do (Parts encoding).

Left to itself, the model goes on for ever in the manner of the last bars: in 64 new bars, density and register varied a
third as much as in pieces (docs/decisions/022). So every other section of new bars is played in the manner of other
bars of the piece, those least like its last ones, or, if all of its bars are alike, denser or sparser and higher or
lower than before. What is taken from those bars is how, not what: which parts play and how densely, their registers,
loudness and rhythms, and which chords and pitch classes are usual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from music_reformer.generation.director import HEARD_BARS, heard_bars
from music_reformer.generation.request import Wishes
from music_reformer.midi.form_plan import RecalledBar
from music_reformer.midi.parts import GRID
from music_reformer.midi.parts_reader import PartsReader, StreamNotes
from music_reformer.midi.vocabulary import DRUMS

SECTION_BARS = 16  # the longest section in one manner
STRIDE = 8  # bars between the beginnings of the bars that are compared
# How far 8 bars of a piece lie from the mean of 64, as standard deviations of log2 density and of mean pitch; and how
# unlike two of them are (1 - cosine) in pitch classes and in rhythm: means of eleven genres (`benchmarks.variety`).
USUAL_DENSITY, USUAL_PITCH, USUAL_CLASSES, USUAL_RHYTHM = 0.365, 2.9, 0.226, 0.071
SAME_KEY = 0.85  # cosine of the pitch classes of bars between which the key does not change
PER_PART = 0.25  # what each part that plays in only one of two stretches adds to their difference
ENOUGH = 0.9  # difference from which bars are in another manner
MOST = 3.0  # limit of each summand, so that none decides alone
STEPS = 1  # of density and register, if a piece has only one manner


@dataclass(frozen=True)
class Manner:
    """How a section of new bars is played.

    Attributes:
        first_bar: of the section, counted from the first new bar.
        heard: the tokens of the piece in whose manner it is played; None: its last bars.
        heard_bar: number of the first of these bars.
        wishes: how the section differs from them.
        is_home: whether these are the last bars, as in the first section.
    """

    first_bar: int
    heard: slice | None = None
    heard_bar: int = 0
    wishes: Wishes = field(default_factory=Wishes)
    is_home: bool = False


def planned_manners(
    reader: PartsReader, ids: NDArray[np.integer], planned: Sequence[RecalledBar | None], num_bars: int
) -> list[Manner]:
    """The manners of the new bars, without that of the first section, which goes on in the manner of the last bars.

    Args:
        reader: of the vocabulary.
        ids: the piece up to the first new bar, its line included.
        planned: the bar that returns in each new bar; bars after these are new, too.
        num_bars: how many bars are composed.
    """
    home = heard_bars(reader, ids)
    if home is None:
        return []
    others = _other_manners(reader, ids, home)
    manners, contrasts = [], False
    for first_bar, returns in _sections(planned, num_bars)[1:]:
        contrasts = not contrasts and not returns
        if contrasts:
            manner = others.pop(0)
            others.append(manner)
            manners.append(Manner(first_bar, manner.heard, manner.heard_bar, manner.wishes))
        elif manners:
            manners.append(Manner(first_bar, home, _bar_of(reader, ids, home), is_home=True))
    return manners


def _sections(planned: Sequence[RecalledBar | None], num_bars: int) -> list[tuple[int, bool]]:
    """First bar of each section of new bars, and whether bars of the piece return in it."""
    returns = [each is not None for each in planned[:num_bars]] + [False] * (num_bars - len(planned))
    sections: list[tuple[int, bool]] = []
    for bar, each in enumerate(returns):
        if not sections or sections[-1][1] != each or (not each and bar - sections[-1][0] >= SECTION_BARS):
            sections.append((bar, each))
    return sections


def _other_manners(reader: PartsReader, ids: NDArray[np.integer], home: slice) -> list[Manner]:
    """Up to two manners that differ from that of the last bars and from each other; at least one."""
    lines = np.append(reader.bars(ids), len(ids))
    last = _bar_of(reader, ids, home)
    chosen = [_Profile.of(reader.notes(ids[home]))]
    stretches = {
        bar: profile
        for bar in range(last - HEARD_BARS, -1, -STRIDE)
        if (profile := _Profile.of(reader.notes(ids[lines[bar] : lines[bar + HEARD_BARS]]))).in_key_of(chosen[0])
    }
    manners: list[Manner] = []
    while stretches and len(manners) < 2:
        differences = {bar: min(profile.difference(each) for each in chosen) for bar, profile in stretches.items()}
        bar = max(differences, key=differences.__getitem__)
        if differences[bar] < ENOUGH:
            break
        chosen.append(stretches.pop(bar))
        manners.append(Manner(0, slice(int(lines[bar]), int(lines[bar + HEARD_BARS])), bar))
    if manners:
        return manners
    whole = _Profile.of(reader.notes(ids))
    density = -STEPS if chosen[0].density > whole.density else STEPS
    register = -STEPS if chosen[0].pitch > whole.pitch else STEPS
    return [
        Manner(0, home, last, Wishes(density=density, register=register)),
        Manner(0, home, last, Wishes(register=-register)),
    ]


def _bar_of(reader: PartsReader, ids: NDArray[np.integer], heard: slice) -> int:
    """Number of the bar that begins with a token."""
    return int(np.searchsorted(reader.bars(ids), heard.start))


@dataclass(frozen=True, eq=False)
class _Profile:
    """How some bars are played.

    Attributes:
        num_notes: of all parts.
        density: log2 of the notes per quarter.
        pitch: mean of the notes that are not drums.
        classes: sounding time by pitch class, of length 1.
        rhythm: notes by position in the bar, of length 1.
        parts: those that play.
    """

    num_notes: int
    density: float
    pitch: float
    classes: NDArray[np.float64]
    rhythm: NDArray[np.float64]
    parts: frozenset[tuple[int, int]]

    @classmethod
    def of(cls, notes: StreamNotes) -> _Profile:
        melodic = np.array([program != DRUMS for program, _ in notes.parts], np.bool_)[notes.part]
        pitch = notes.pitch[melodic]
        # Eighths of a quarter note: near enough for a look at the rhythm.
        place = notes.position * 8 // GRID
        return cls(
            num_notes=len(notes.pitch),
            density=float(np.log2(max(1, len(notes.pitch)) * GRID / max(1, notes.bar_lengths.sum()))),
            pitch=float(pitch.mean()) if len(pitch) else 0.0,
            classes=_unit(np.bincount(pitch % 12, notes.duration[melodic], 12)),
            rhythm=_unit(np.bincount(place, minlength=256)[:256]),
            parts=frozenset(notes.parts),
        )

    def in_key_of(self, other: _Profile) -> bool:
        """Whether there are notes, and their pitch classes are as frequent as in other bars of the same key."""
        return self.num_notes > 0 and float(self.classes @ other.classes) >= SAME_KEY

    def difference(self, other: _Profile) -> float:
        """How differently other bars are played; 1 is the usual difference between sections."""
        summands = [
            abs(self.density - other.density) / USUAL_DENSITY,
            abs(self.pitch - other.pitch) / USUAL_PITCH,
            (1 - float(self.classes @ other.classes)) / USUAL_CLASSES,
            (1 - float(self.rhythm @ other.rhythm)) / USUAL_RHYTHM,
        ]
        return float(np.mean(np.minimum(summands, MOST))) + PER_PART * len(self.parts ^ other.parts)


def _unit(amount: NDArray[np.number]) -> NDArray[np.float64]:
    return amount / max(float(np.linalg.norm(amount)), 1e-9)
