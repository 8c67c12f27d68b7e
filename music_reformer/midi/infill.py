"""Rewrites a piece with a hole so that a causal model fills the hole knowing both sides of it.

    BOS  1  2  [3]  [4]  5  6  EOS    is written    BOS  3' 4' 5 6  BOS  1 2  3 4  EOS

The bars after the hole come first, then the bars before it, then the hole, so that the model continues from the past
as in any other piece (suffix, prefix, middle: arXiv 2207.14255, section 4.3). At the very front stand the bars of the
hole, with a PAD after each bar line (and time signature) in place of the missing notes. No token is new, so weights of
any vocabulary with bars can learn it; the Parts encoding has a token for it, `Hole`.

A hole is a number of whole bars, of all instruments or of some. If it is of some, the notes of the others stay in the
bars 3' 4', and the missing instruments are named in front of the hole, after another PAD.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from music_reformer.midi.bars import BarReader
from music_reformer.midi.parts_reader import Part, PartsReader
from music_reformer.midi.vocabulary import BOS

ALL: frozenset[int] = frozenset()  # stands for all instruments


@dataclass(frozen=True)
class CutOut:
    """The parts of a piece with a hole, as token ids.

    Attributes:
        before: the bars before the hole.
        behind: the bars of the hole without the missing notes, and the bars behind the hole.
        naming: PAD and the missing instruments, to be written in front of the hole; empty if all are missing, and where
            directions name them after the first bar line of the hole.
        hole: the bars of the hole with the missing notes alone.
        opening: the bar line (and time signature or directions) that begins the hole.
    """

    before: list[int]
    behind: list[int]
    naming: list[int]
    hole: list[int]
    opening: list[int]

    @property
    def context(self) -> list[int]:
        """Everything in front of the hole."""
        return [BOS, *self.behind, BOS, *self.before, *self.naming]


def cut_hole(
    reader: BarReader,
    ids: NDArray[np.integer],
    first: int,
    count: int,
    programs: Collection[int] = ALL,
    parts: Collection[Part] = (),
    named: Collection[int] | None = None,
) -> CutOut:
    """Cut bars `first` to `first + count - 1` out of a piece, of the given instruments or of all.

    Args:
        reader: of the vocabulary.
        ids: a piece of at least `first + count` bars, with or without BOS and EOS.
        first: number of the first bar of the hole, counted from 0.
        count: bars of the hole.
        programs: instruments to cut out, -1 for drums.
        parts: of these instruments, the parts to cut out (Parts encoding); none: all.
        named: instruments that are named as those that play in the hole; None: `programs`.
    """
    ids = reader.content(ids)
    lines = reader.bars(ids)
    begin = int(lines[first])
    end = int(lines[first + count]) if first + count < len(lines) else len(ids)
    bars = ids[begin:end]
    if parts:
        assert isinstance(reader, PartsReader)
        kept, taken = reader.divide_parts(bars, parts)
    else:
        kept, taken = reader.divide(bars, programs)
    line_ends = reader.line_ends(bars)
    emptied = np.insert(bars[kept], np.cumsum(kept)[line_ends - 1], reader.hole_mark)
    named = programs if named is None else named
    naming = reader.naming(named) if named else []
    hole, opening = bars[taken].tolist(), bars[: line_ends[0]].tolist()
    if reader.names_behind_line:
        hole, opening, naming = [*opening, *naming, *hole[len(opening) :]], [*opening, *naming], []
    return CutOut(
        before=ids[:begin].tolist(),
        behind=emptied.tolist() + ids[end:].tolist(),
        naming=naming,
        hole=hole,
        opening=opening,
    )


def permuted(
    reader: BarReader, ids: NDArray[np.uint16], first: int, count: int, programs: Collection[int] = ALL
) -> NDArray[np.uint16]:
    """A piece from BOS to EOS written as context, hole, EOS. The arguments are those of `cut_hole`."""
    cut = cut_hole(reader, ids, first, count, programs)
    return np.array([*cut.context, *cut.hole, int(ids[-1])], dtype=np.uint16)
