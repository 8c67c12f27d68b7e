"""Names the instruments that play from a bar on, in front of that bar.

    BOS  1  2  3  4  5  6  EOS    is written    BOS  1'  PAD Flute Drums  2' 3' 4'  PAD Flute Piano  5' 6'  EOS

The names are those of the instruments that play in the next `NAMED_BARS` bars. In training, a piece is divided into
sections, and different instruments are removed from each. From this the model learns to bring in an instrument that was
named, even one that has not played before, and to continue without one that was not. The names follow a PAD, as in
front of a hole (`infill.py`); no token is new.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from music_reformer.midi.bars import BarReader
from music_reformer.midi.vocabulary import BOS

NAMED_BARS = 8


@dataclass(frozen=True)
class Section:
    """Consecutive bars of a piece.

    Attributes:
        bar: number of the first of them, counted from 0.
        programs: the instruments to keep, -1 for drums.
        named: whether to name them in front of the section.
    """

    bar: int
    programs: frozenset[int]
    named: bool = True


def can_name(reader: BarReader) -> bool:
    """Whether a vocabulary has both whole bars and programs, and no directions to name them in."""
    return reader.has_whole_bars and reader.names_instruments and not reader.names_behind_line


def arrange(reader: BarReader, ids: NDArray[np.uint16], sections: Sequence[Section]) -> NDArray[np.uint16]:
    """Keep only the instruments of each section in it, and name them in front of it.

    Args:
        reader: of the vocabulary.
        ids: a piece from BOS to EOS.
        sections: in order; the first begins at bar 0. A section in which nothing plays gets no names.
    """
    content = reader.content(ids)
    lines = reader.bars(content)
    firsts = [section.bar for section in sections]
    bar_of = np.repeat(np.arange(len(lines)), np.diff([*lines, len(content)]))
    section_of = np.searchsorted(firsts, bar_of, side="right") - 1
    # Columns 0 to 127 are programs. Drums (-1) and NOBODY (-2) index the last two; NOBODY's tokens are never silent.
    silent_SP = np.zeros((len(sections), 130), dtype=np.bool_)
    for program in reader.programs(content):
        silent_SP[:, program] = [program not in section.programs for section in sections]
    changed_S: NDArray[np.bool_] = np.logical_or.reduce(silent_SP, axis=1)

    bars = content[lines[0] :]
    kept: NDArray[np.bool_] = ~silent_SP[section_of, reader.owners(bars)]
    kept &= ~(reader.empty_positions(bars, kept) & changed_S[section_of])

    written: list[NDArray[np.integer] | list[int]] = [[BOS], content[: lines[0]]]
    for section, until in zip(sections, [*firsts[1:], len(lines)], strict=True):
        of_section = slice(*np.searchsorted(bar_of, [section.bar, until]))
        near = slice(of_section.start, np.searchsorted(bar_of, min(section.bar + NAMED_BARS, until)))
        named = reader.programs(bars[near][kept[near]]) if section.named else set()
        written += [reader.naming(named) if named else [], bars[of_section][kept[of_section]]]
    return np.concatenate([np.array(part, dtype=np.uint16) for part in [*written, ids[-1:]]])


def with_names(reader: BarReader, ids: Sequence[int], programs: Collection[int]) -> list[int]:
    """Insert the names of instruments in front of the last bar line of a prompt."""
    last = int(reader.bars(np.array(ids))[-1])
    return [*ids[:last], *reader.naming(programs), *ids[last:]]
