"""Finds bars and parts in streams of the Parts encoding (`parts.py`), and gives parts other programs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from music_reformer.midi.bars import NOBODY, BarReader
from music_reformer.midi.parts import part_order
from music_reformer.midi.vocabulary import Vocabulary

Part = tuple[int, int]  # program (-1 for drums), and number among the tracks of that program


def reader_for(vocabulary: Vocabulary) -> BarReader:
    """The reader of a vocabulary's streams."""
    return PartsReader(vocabulary) if vocabulary.part_by_part else BarReader(vocabulary)


class PartsReader(BarReader):
    """Reads streams of the Parts encoding.

    An event is a note here, with the tokens of its part that stand in front of it. Parts are divided from one another
    as a whole, so no position is left empty.
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
        """The directions that name instruments, to be written behind a bar line."""
        return [self._directions, *(self._program_ids[program] for program in sorted(programs)), self._music]

    def part_starts(self, ids: NDArray[np.integer]) -> NDArray[np.int64]:
        """Indices of the tokens at which a part of a bar begins; those that only name it in directions do not count."""
        named = np.cumsum(ids == self._directions) > np.cumsum(ids == self._music)
        return np.flatnonzero(self._is_program[ids] & ~named)

    def divide(
        self, ids: NDArray[np.integer], programs: Collection[int]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Divide whole bars into what some instruments play and what the others play, as `BarReader.divide` does."""
        is_event, owner = self._events_and_owners(ids)
        theirs = np.isin(owner, list(programs)) if programs else is_event
        lines = np.zeros(len(ids), dtype=np.bool_)
        for begin, end in zip(self.bars(ids), self.line_ends(ids), strict=True):
            lines[begin:end] = True
        return ~theirs, theirs | lines

    def empty_positions(self, ids: NDArray[np.integer], kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """None: positions belong to the notes behind them."""
        return np.zeros(len(ids), dtype=np.bool_)

    def parts(self, ids: NDArray[np.integer]) -> list[Part]:
        """All parts, in the order of `part_order`."""
        starts = self.part_starts(ids)
        found = np.unique(np.stack([self._program[ids[starts]], self._numbers(ids, starts)]), axis=1)
        return sorted(((int(program), int(number)) for program, number in found.T), key=lambda part: part_order(*part))

    def reassigned(self, ids: NDArray[np.uint16], new: Mapping[Part, Part]) -> NDArray[np.uint16]:
        """The piece with other programs for some parts, in each bar in the order that these have.

        Args:
            ids: a piece, with or without BOS and EOS.
            new: by old part; different parts stay different.
        """
        starts, lines = self.part_starts(ids), self.bars(ids)
        numbers = self._numbers(ids, starts)
        last = len(ids) - int(self._is_end[ids[-1]])
        ends = np.minimum.reduce([
            np.append(starts[1:], last), np.append(lines, last)[np.searchsorted(lines, starts, side="right")]
        ])  # fmt: skip
        old = list(zip(self._program[ids[starts]].tolist(), numbers.tolist(), strict=True))
        parts = [new.get(part, part) for part in old]
        bar = np.searchsorted(lines, starts, side="right")
        order = np.lexsort((np.array([part_order(*part) for part in parts]), bar))
        written: list[NDArray[np.uint16]] = []
        done, bars_done = 0, 0
        for place in order.tolist():
            if bar[place] != bars_done:  # everything up to the first part of this bar
                first = int(starts[np.searchsorted(bar, bar[place])])
                written.append(ids[done:first])
                bars_done = int(bar[place])
                done = int(ends[np.searchsorted(bar, bar[place], side="right") - 1])
            content = ids[starts[place] + 1 + (numbers[place] > 1) : ends[place]]
            written += [np.array(self._name(parts[place]), dtype=np.uint16), content]
        return np.concatenate([*written, ids[done:]])

    def _name(self, part: Part) -> list[int]:
        program, number = part
        return [self._program_ids[program], *([self._part_ids[number]] if number > 1 else [])]

    def _numbers(self, ids: NDArray[np.integer], starts: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._number[ids[np.minimum(starts + 1, len(ids) - 1)]]

    def _events_and_owners(self, ids: NDArray[np.integer]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which tokens belong to a part, and the program of each, `NOBODY` where there is none."""
        index = np.arange(len(ids))
        begins = np.zeros(len(ids), dtype=np.bool_)
        begins[self.part_starts(ids)] = True
        begin = np.maximum.accumulate(np.where(begins, index, -1))
        line = np.maximum.accumulate(np.where(self._is_bar[ids] | self._is_end[ids], index, -1))
        is_event = begin > line
        return is_event, np.where(is_event, self._program[ids[begin]], NOBODY)


def _pairs(vocabulary: Vocabulary) -> Iterable[tuple[str, Any]]:
    return zip(vocabulary.kinds, vocabulary.values, strict=True)
