"""Directions: tokens after a bar line that describe the bars to come (Parts encoding).

    Bar_4/4 Directions Key_9 EndsIn_8 Program_40 Density_8 Register_9 Polyphony_0 Program_0 Music  Program_40 ...

Directions hold until the next ones. They may state the key, and in how many bars the piece ends. The named parts are
those that play; for each, density, register and the number of notes sounding at once may be given. In training,
directions describe the bars that follow, and each kind is given or left out at random, so that each can be left to the
model. They are input only, never predicted (`Vocabulary.is_given`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from music_reformer.midi.key import Key
from music_reformer.midi.parts import GRID, MAX_COUNT, NUM_LEVELS, part_order
from music_reformer.midi.parts_reader import Part, PartsReader, StreamNotes
from music_reformer.midi.tonality import key_path
from music_reformer.midi.vocabulary import DRUMS, Vocabulary

DIRECTION_KINDS = ("key", "parts", "density", "register", "polyphony", "ends_in")
# In training: the probability that the level of a part is left out although levels of that kind are given.
UNTOLD = 0.3


@dataclass(frozen=True)
class PartDirection:
    """How a part should play; levels that are None are left to the model.

    Attributes:
        part: program (-1 for drums) and number among the tracks of that program.
        density: notes per quarter, by `density_level`.
        register: mean pitch, by `register_level`; drums have none.
        polyphony: notes that sound at once, by `polyphony_level`.
    """

    part: Part
    density: int | None = None
    register: int | None = None
    polyphony: int | None = None

    def shifted(self, steps: Mapping[str, int]) -> PartDirection:
        """The direction with levels raised by `steps` (by name), within their range; absent levels stay absent."""

        def moved(kind: str) -> int | None:
            level = getattr(self, kind)
            return None if level is None else min(max(level + steps[kind], 0), NUM_LEVELS[kind.capitalize()] - 1)

        return PartDirection(self.part, moved("density"), moved("register"), moved("polyphony"))


@dataclass(frozen=True)
class Directions:
    """A description of some bars.

    Attributes:
        parts: the parts that play; None: the model decides.
        ends_in: bars until the end of the piece, at most `MAX_COUNT`; None: open.
        key: key of most of the bars; None: the model decides.
    """

    parts: tuple[PartDirection, ...] | None = None
    ends_in: int | None = None
    key: Key | None = None

    def tokens(self, vocabulary: Vocabulary) -> list[int]:
        """The token ids, to be written after a bar line; none if nothing is given."""
        if self == Directions():
            return []
        ids = vocabulary.ids
        written = [ids["Directions", None]]
        written += [ids["Key", self.key.number]] if self.key is not None else []
        written += [ids["EndsIn", self.ends_in]] if self.ends_in is not None else []
        for direction in sorted(self.parts or (), key=lambda direction: part_order(*direction.part)):
            program, number = direction.part
            written += [ids["Program", program], *([ids["Part", number]] if number > 1 else [])]
            for kind in ("density", "register", "polyphony"):
                level = getattr(direction, kind)
                written += [ids[kind.capitalize(), level]] if level is not None else []
        return [*written, ids["Music", None]]


def density_level(notes_per_quarter: NDArray[np.float64]) -> NDArray[np.int64]:
    """Half octaves of notes per quarter: 4 is one note in four quarters, 8 one in each, 12 four, 15 eleven and more."""
    return _level("Density", 2 * np.log2(np.maximum(notes_per_quarter, 1e-6)) + 8)


def register_level(mean_pitch: NDArray[np.float64]) -> NDArray[np.int64]:
    """A third of an octave each: 15 holds the mean pitches 60 (middle C) to 64."""
    return _level("Register", np.floor(mean_pitch / 4))


def polyphony_level(notes_at_once: NDArray[np.float64]) -> NDArray[np.int64]:
    """Halves of a note, in the mean over the time in which any sounds: 0 is one note at a time, 2 two, 4 three."""
    return _level("Polyphony", 2 * notes_at_once - 2)


def _level(kind: str, value: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(value).clip(0, NUM_LEVELS[kind] - 1).astype(np.int64)


def describe(notes: StreamNotes, firsts: Sequence[int]) -> list[Directions]:
    """The full directions of each section of a piece.

    Args:
        notes: of the piece.
        firsts: number of the first bar of each section, from 0, rising; the last section goes to the end.
    """
    num_bars, num_parts = len(notes.bar_lengths), len(notes.parts)
    section_of = np.searchsorted(firsts, np.arange(num_bars), side="right") - 1
    quarters = np.bincount(section_of, weights=notes.bar_lengths, minlength=len(firsts)) / GRID
    cell = section_of[notes.bar] * num_parts + notes.part  # of (section, part)
    size = len(firsts) * num_parts
    count = np.bincount(cell, minlength=size).reshape(-1, num_parts)
    mean = np.bincount(cell, weights=notes.pitch, minlength=size).reshape(-1, num_parts) / np.maximum(count, 1)
    density = density_level(count / np.maximum(quarters, 1e-6)[:, None])
    register, polyphony = (
        register_level(mean),
        polyphony_level(_sounding_at_once(notes, cell, size)).reshape(-1, num_parts),
    )
    keys = _keys(notes, section_of, len(firsts))
    found = []
    for section, first in enumerate(firsts):
        playing = np.flatnonzero(count[section])
        parts = [
            PartDirection(
                notes.parts[part],
                int(density[section, part]),
                None if notes.parts[part][0] == DRUMS else int(register[section, part]),
                int(polyphony[section, part]),
            )
            for part in playing.tolist()
        ]
        left = num_bars - first
        found.append(Directions(tuple(parts), left if left <= MAX_COUNT else None, keys[section]))
    return found


def key_of(notes: StreamNotes) -> Key | None:
    """The key of most bars; None without pitched notes."""
    return _keys(notes, np.zeros(len(notes.bar_lengths), np.int64), 1)[0]


def _keys(notes: StreamNotes, section_of: NDArray[np.int64], num_sections: int) -> list[Key | None]:
    """The key of most bars of each section, found in the whole piece; None for a section without pitched notes."""
    num_bars = len(notes.bar_lengths)
    pitched = np.array([part[0] != DRUMS for part in notes.parts], dtype=np.bool_)[notes.part]
    inside = np.minimum(notes.duration, notes.bar_lengths[notes.bar] - notes.position)
    cell = notes.bar * 12 + notes.pitch % 12
    sounding = np.bincount(cell, weights=np.where(pitched, inside, 0), minlength=12 * num_bars).reshape(num_bars, 12)
    total = sounding.sum(axis=1)
    path = key_path(sounding / np.maximum(total, 1)[:, None])
    counts = np.zeros((num_sections, 24), dtype=np.int64)
    np.add.at(counts, (section_of[total > 0], path[total > 0]), 1)
    return [Key.numbered(int(count.argmax())) if count.any() else None for count in counts]


def _sounding_at_once(notes: StreamNotes, cell: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """Mean number of notes that sound at once while any does, for each group of notes (`cell`), [size]."""
    begin = (np.cumsum(notes.bar_lengths) - notes.bar_lengths)[notes.bar] + notes.position
    order = np.lexsort((begin, cell))
    begin, cell, end = begin[order], cell[order], (begin + notes.duration)[order]
    # When a group's earlier notes have ended: each group's times are offset by more than any time, to keep them apart.
    apart = cell * (int(end.max(initial=0)) + 1)
    ended = np.concatenate([[0], np.maximum.accumulate(end + apart)[:-1]]) - apart
    busy = np.bincount(cell, weights=np.maximum(0, end - np.maximum(begin, ended)), minlength=size)
    return np.bincount(cell, weights=end - begin, minlength=size) / np.maximum(busy, 1)


def with_directions(
    reader: PartsReader, vocabulary: Vocabulary, ids: NDArray[np.uint16], sections: Iterable[tuple[int, Directions]]
) -> NDArray[np.uint16]:
    """A piece with directions after the line of some bars, given as (number of the bar, directions)."""
    ends = reader.line_ends(ids)
    places, written = [], []
    for bar, directions in sections:
        tokens = directions.tokens(vocabulary)
        places += [int(ends[bar])] * len(tokens)
        written += tokens
    return np.insert(ids, places, np.array(written, dtype=ids.dtype))


def leave_out(directions: Directions, kinds: frozenset[str], random: np.random.Generator) -> Directions:
    """Directions reduced to some of the `DIRECTION_KINDS`.

    Of those, each level of each part is left out with probability `UNTOLD`, independently.
    """
    parts = None
    if directions.parts is not None and "parts" in kinds:
        told = [kind for kind in ("density", "register", "polyphony") if kind in kinds]
        parts = tuple(
            PartDirection(each.part, **{kind: getattr(each, kind) for kind in told if random.random() >= UNTOLD})
            for each in directions.parts
        )
    return Directions(
        parts, directions.ends_in if "ends_in" in kinds else None, directions.key if "key" in kinds else None
    )
