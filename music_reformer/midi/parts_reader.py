"""Finds bars and parts in streams of the Parts encoding (`parts.py`), and gives parts other programs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from music_reformer.midi.bars import NOBODY, BarReader
from music_reformer.midi.parts import bar_length, part_order
from music_reformer.midi.vocabulary import Vocabulary

Part = tuple[int, int]  # program (-1 for drums), and number among the tracks of that program


def reader_for(vocabulary: Vocabulary) -> BarReader:
    """The reader of a vocabulary's streams."""
    return PartsReader(vocabulary) if vocabulary.part_by_part else BarReader(vocabulary)


@dataclass(frozen=True)
class StreamNotes:
    """The notes of a piece, in the order of the stream.

    Attributes:
        bar, part, position, duration, pitch: of each note; the part is an index into `parts`, times are in positions.
        parts: all parts, in their order.
        bar_lengths: of every bar, in positions.
    """

    bar: NDArray[np.int64]
    part: NDArray[np.int64]
    position: NDArray[np.int64]
    duration: NDArray[np.int64]
    pitch: NDArray[np.int64]
    parts: list[Part]
    bar_lengths: NDArray[np.int64]


class PartsReader(BarReader):
    """Reads streams of the Parts encoding.

    An event is a note with the tokens of its part that come before it. Parts are separated as a whole, which leaves no
    empty positions.
    """

    names_behind_line = True

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary)
        ids, ids_of = vocabulary.ids, vocabulary.ids_of
        self.hole_mark = ids["Hole", None]
        self._is_end = vocabulary.is_kind("EOS", "BOS")
        self._is_bar = vocabulary.is_kind("Bar")
        self._is_program = vocabulary.is_kind("Program")
        self._cut = ids["Cut", None]
        self._directions, self._music = ids["Directions", None], ids["Music", None]
        self._program = np.array([value if kind == "Program" else NOBODY for kind, value in _pairs(vocabulary)])
        self._number = np.array([value if kind == "Part" else 1 for kind, value in _pairs(vocabulary)])
        self._begins_chord = vocabulary.is_kind("NoChord", "ChordRoot")
        self._goes_on_chord = vocabulary.is_kind("ChordQuality", "ChordBass")
        self._is_pitch = vocabulary.is_kind("Pitch", "PitchDrum")
        self._is_duration = vocabulary.is_kind("Duration")
        self._value = np.array([value if isinstance(value, int) else 0 for _, value in _pairs(vocabulary)])
        self._bar_length = np.array([bar_length(value) if kind == "Bar" else 0 for kind, value in _pairs(vocabulary)])
        self._part_ids = {vocabulary.values[token]: token for token in ids_of["Part"]}

    def bars(self, ids: NDArray[np.integer]) -> NDArray[np.int64]:
        """Indices of the bar lines."""
        return np.flatnonzero(self._is_bar[ids])

    def line_ends(self, ids: NDArray[np.integer]) -> NDArray[np.int64]:
        """Index after each bar line, and after the place where the bar is cut short."""
        after = self.bars(ids) + 1
        return after + 2 * (ids[np.minimum(after, len(ids) - 1)] == self._cut)

    def is_bar(self, token: int) -> bool:
        """Whether a token is a bar line."""
        return bool(self._is_bar[token])

    def programs(self, ids: NDArray[np.integer]) -> set[int]:
        """Instruments that play, -1 for drums."""
        return {int(program) for program in np.unique(self._program[ids[self.part_starts(ids)]])}

    def naming(self, programs: Iterable[int]) -> list[int]:
        """The directions that name instruments, to be written after a bar line."""
        return [self._directions, *(self._program_ids[program] for program in sorted(programs)), self._music]

    def part_starts(self, ids: NDArray[np.integer]) -> NDArray[np.int64]:
        """Indices of the tokens at which a part of a bar begins; those that only name it in directions do not count."""
        named = np.cumsum(ids == self._directions) > np.cumsum(ids == self._music)
        return np.flatnonzero(self._is_program[ids] & ~named)

    def divide(
        self, ids: NDArray[np.integer], programs: Collection[int]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Divide whole bars into what some instruments play and what the others play, as `BarReader.divide` does.

        Chords go with the others, or with the notes if all instruments are chosen.
        """
        is_event, owner = self._events_and_owners(ids)
        theirs = np.isin(owner, list(programs)) if programs else is_event | self._chords(ids)
        return ~theirs, theirs | self._lines(ids)

    def divide_parts(
        self, ids: NDArray[np.integer], parts: Collection[Part]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """As `divide`, by parts, so that two tracks of one program can be separated."""
        theirs = np.zeros(len(ids), dtype=np.bool_)
        for start, end, _, part in zip(*self._blocks(ids), strict=True):
            if part in parts:
                theirs[start:end] = True
        return ~theirs, theirs | self._lines(ids)

    def _lines(self, ids: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which tokens are bar lines, or say where a bar is cut short."""
        lines = np.zeros(len(ids), dtype=np.bool_)
        for begin, end in zip(self.bars(ids), self.line_ends(ids), strict=True):
            lines[begin:end] = True
        return lines

    def empty_positions(self, ids: NDArray[np.integer], kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """None: positions belong to the notes after them."""
        return np.zeros(len(ids), dtype=np.bool_)

    def without_chords(self, ids: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """The piece without its chords."""
        return ids[~self._chords(ids)]

    def _chords(self, ids: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which tokens state a chord, or its position; the position at which a bar is cut short is none."""
        names = self._begins_chord[ids]
        names[:-1] |= self._is_position[ids[:-1]] & names[1:]
        names[1:] &= ids[:-1] != self._cut
        return names | self._goes_on_chord[ids]

    def parts(self, ids: NDArray[np.integer]) -> list[Part]:
        """All parts, in the order of `part_order`."""
        return _in_order(self._blocks(ids)[3])

    def notes(self, ids: NDArray[np.integer]) -> StreamNotes:
        """The notes of a piece. After a hole or in permuted bars, bars are counted in the order of the stream."""
        index = np.arange(len(ids))
        starts, _, _, part_of_start = self._blocks(ids)
        place = np.flatnonzero(self._is_pitch[ids])
        # The last position and duration before each token; a part begins at 0.
        begins = np.zeros(len(ids), dtype=np.bool_)
        begins[starts] = True
        position = np.maximum.accumulate(np.where(self._is_position[ids] | begins, index, 0))
        states_duration = self._is_duration[ids]
        duration = np.maximum.accumulate(np.where(states_duration, index, 0))
        length = np.where(states_duration, self._value[ids], 0)
        for again in np.flatnonzero(states_duration[1:] & states_duration[:-1]) + 1:  # rare: more than 32 quarters
            length[again] += length[again - 1]
        parts = _in_order(part_of_start)
        number = {part: i for i, part in enumerate(parts)}
        of_start = np.array([number[part] for part in part_of_start], dtype=np.int64)
        return StreamNotes(
            bar=np.searchsorted(self.bars(ids), place, side="right") - 1,
            part=of_start[np.searchsorted(starts, place, side="right") - 1] if len(place) else place,
            position=np.where(begins[position[place]], 0, self._value[ids[position[place]]]),
            duration=length[duration[place]],
            pitch=self._value[ids[place]],
            parts=parts,
            bar_lengths=self._bar_lengths(ids),
        )

    def _bar_lengths(self, ids: NDArray[np.integer]) -> NDArray[np.int64]:
        lines = self.bars(ids)
        cut = np.flatnonzero(ids[np.minimum(lines + 1, len(ids) - 1)] == self._cut)
        lengths = self._bar_length[ids[lines]]
        lengths[cut] = self._value[ids[lines[cut] + 2]]
        return lengths

    def reassigned(self, ids: NDArray[np.uint16], new: Mapping[Part, Part]) -> NDArray[np.uint16]:
        """The piece with other programs for some parts; the parts of each bar are sorted again.

        Args:
            ids: a piece, with or without BOS and EOS.
            new: the new part for each old one; no two parts become one.
        """
        starts, ends, bar, old = self._blocks(ids)
        numbers = self._numbers(ids, starts)
        parts = [new.get(part, part) for part in old]
        order = np.lexsort((np.array([part_order(*part) for part in parts]), bar))
        written: list[NDArray[np.uint16]] = []
        done, bars_done = 0, -1
        for place in order.tolist():
            if bar[place] != bars_done:  # everything up to the first part of this bar
                first = int(starts[np.searchsorted(bar, bar[place])])
                written.append(ids[done:first])
                bars_done = int(bar[place])
                done = int(ends[np.searchsorted(bar, bar[place], side="right") - 1])
            content = ids[starts[place] + 1 + (numbers[place] > 1) : ends[place]]
            written += [np.array(self._name(parts[place]), dtype=np.uint16), content]
        return np.concatenate([*written, ids[done:]])

    def without(self, ids: NDArray[np.uint16], silent: Collection[tuple[int, Part]]) -> NDArray[np.uint16]:
        """The piece without what some parts play in some bars, given as (number of the bar, part)."""
        kept = np.ones(len(ids), dtype=np.bool_)
        for start, end, bar, part in zip(*self._blocks(ids), strict=True):
            if (int(bar), part) in silent:
                kept[start:end] = False
        return ids[kept]

    def _blocks(
        self, ids: NDArray[np.integer]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], list[Part]]:
        """Where each part of each bar begins and ends, the number of its bar, from 0, and the part."""
        starts, lines = self.part_starts(ids), self.bars(ids)
        last = len(ids) - int(self._is_end[ids[-1]])
        bar = np.searchsorted(lines, starts, side="right") - 1
        ends = np.minimum(np.append(starts[1:], last)[: len(starts)], np.append(lines, last)[bar + 1])
        programs, numbers = self._program[ids[starts]].tolist(), self._numbers(ids, starts).tolist()
        return starts, ends, bar, list(zip(programs, numbers, strict=True))

    def _name(self, part: Part) -> list[int]:
        program, number = part
        return [self._program_ids[program], *([self._part_ids[number]] if number > 1 else [])]

    def _numbers(self, ids: NDArray[np.integer], starts: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._number[ids[np.minimum(starts + 1, len(ids) - 1)]]

    def _events_and_owners(self, ids: NDArray[np.integer]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which tokens belong to a part, and the program of each (`NOBODY` if there is none)."""
        index = np.arange(len(ids))
        begins = np.zeros(len(ids), dtype=np.bool_)
        begins[self.part_starts(ids)] = True
        begin = np.maximum.accumulate(np.where(begins, index, -1))
        line = np.maximum.accumulate(np.where(self._is_bar[ids] | self._is_end[ids], index, -1))
        is_event = begin > line
        return is_event, np.where(is_event, self._program[ids[begin]], NOBODY)


def _in_order(parts: Iterable[Part]) -> list[Part]:
    return sorted(set(parts), key=lambda part: part_order(*part))


def _pairs(vocabulary: Vocabulary) -> Iterable[tuple[str, Any]]:
    return zip(vocabulary.kinds, vocabulary.values, strict=True)
