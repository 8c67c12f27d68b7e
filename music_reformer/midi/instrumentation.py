"""Who plays from a bar on, named in front of it.

    BOS  1  2  3  4  5  6  EOS    is written    BOS  1'  PAD Flute Drums  2' 3' 4'  PAD Flute Piano  5' 6'  EOS

Named are the instruments that play in the next `NAMED_BARS` bars. In training a piece is divided into sections, and in
each of them other instruments are taken out, so that the model learns to bring in, at once, an instrument that is asked
for and has not been heard, and to go on without one that was. As in front of a hole (`infill.py`), they stand behind a
PAD; no token is new.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from music_reformer.midi.bars import BOS, BarReader

NAMED_BARS = 8


@dataclass(frozen=True)
class Section:
    """Some bars of a piece.

    Attributes:
        bar: the first of them (the first of the piece is 0).
        programs: instruments that are kept, -1 for drums.
        named: whether they are named in front.
    """

    bar: int
    programs: frozenset[int]
    named: bool = True


def can_name(reader: BarReader) -> bool:
    """Whether a vocabulary has bars to name instruments in front of, and instruments to name."""
    return reader.has_whole_bars and reader.names_instruments


def arrange(reader: BarReader, ids: NDArray[np.uint16], sections: Sequence[Section]) -> NDArray[np.uint16]:
    """Keep only the instruments of each section in it, and name them in front of it.

    Args:
        reader: of the vocabulary.
        ids: a piece from BOS to EOS.
        sections: in order; the first begins with bar 0. Nothing is named where nothing plays.
    """
    content = reader.content(ids)
    head, *bars = np.split(content, reader.bars(content))  # what stands before the first bar line, then the bars
    playing = reader.programs(content)
    written = [[BOS, *head.tolist()]]
    for section, until in zip(sections, [*(section.bar for section in sections[1:]), len(bars)], strict=True):
        kept = [_without(reader, bar.tolist(), playing - section.programs) for bar in bars[section.bar : until]]
        named = reader.programs(np.array([*chain.from_iterable(kept[:NAMED_BARS])], dtype=np.int64))
        written += [reader.call(named) if section.named and named else [], *kept]
    return np.array([*chain.from_iterable(written), int(ids[-1])], dtype=np.uint16)


def with_names(reader: BarReader, ids: Sequence[int], programs: Collection[int]) -> list[int]:
    """A prompt of which the last bar is the first to come: the instruments named in front of its line."""
    last = int(reader.bars(np.array(ids))[-1])
    return [*ids[:last], *reader.call(programs), *ids[last:]]


def _without(reader: BarReader, bar: list[int], programs: Collection[int]) -> list[int]:
    if not programs:
        return bar
    line, others, _ = reader.divide(bar, programs)
    return [*line, *others]
