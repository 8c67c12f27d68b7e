"""Music with a hole in it, written so that a causal model fills the hole with both sides in view.

    BOS  1  2  [3]  [4]  5  6  EOS        is written        BOS  3' 4' 5 6  BOS  1 2  3 4  EOS

What lies behind the hole comes first; then what lies before it; then the hole, which so goes on from its own past, as
all music does that the model knows (suffix, prefix, middle: arXiv 2207.14255, section 4.3). In front of all stand the
bars of the hole with PAD behind each bar line (and metre) for what is missing. No token is new, so any weights of this
vocabulary can learn it.

A hole is whole bars, and all instruments or some of them. What the others play in these bars stays in 3' 4', and the
missing ones are named in front of the hole, behind another PAD.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from music_reformer.midi.bars import BOS, PAD, BarReader

ALL: frozenset[int] = frozenset()  # stands for all instruments


@dataclass(frozen=True)
class CutOut:
    """A piece in parts.

    Attributes:
        before: the bars before the hole.
        behind: the bars of the hole with PAD for what is missing there, and the bars behind it.
        call: in front of the hole: PAD and the missing instruments; nothing where all are missing.
        hole: the bars of the hole with what is missing, and nothing else.
        opening: the bar line with which the hole begins.
    """

    before: list[int]
    behind: list[int]
    call: list[int]
    hole: list[int]
    opening: list[int]

    @property
    def context(self) -> list[int]:
        """All in front of the hole."""
        return [BOS, *self.behind, BOS, *self.before, *self.call]


def cut_hole(
    reader: BarReader, ids: NDArray[np.integer], first: int, count: int, programs: Collection[int] = ALL
) -> CutOut:
    """Take out bars `first` to `first + count - 1` (the first bar is 0), of the given instruments or of all.

    Args:
        reader: of the vocabulary.
        ids: BOS (or not), a piece, EOS (or not), of at least `first + count` bars.
    """
    ids = reader.content(ids)
    lines = reader.bars(ids)
    begin = int(lines[first])
    end = int(lines[first + count]) if first + count < len(lines) else len(ids)
    behind: list[int] = []
    hole: list[int] = []
    for bar in np.split(ids[begin:end], lines[first + 1 : first + count] - begin):
        line, kept, taken = reader.divide(bar.tolist(), programs)
        behind += [*line, PAD, *kept]
        hole += [*line, *taken]
    return CutOut(
        before=ids[:begin].tolist(),
        behind=behind + ids[end:].tolist(),
        call=reader.call(programs) if programs else [],
        hole=hole,
        opening=ids[begin : begin + reader.head(ids[begin:end].tolist())].tolist(),
    )


def permuted(
    reader: BarReader, ids: NDArray[np.uint16], first: int, count: int, programs: Collection[int] = ALL
) -> NDArray[np.uint16]:
    """A piece from BOS to EOS written as context, hole, EOS; arguments as those of `cut_hole`."""
    cut = cut_hole(reader, ids, first, count, programs)
    return np.array([*cut.context, *cut.hole, int(ids[-1])], dtype=np.uint16)
