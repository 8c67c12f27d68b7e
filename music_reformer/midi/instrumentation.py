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
    lines = reader.bars(content)
    firsts = [section.bar for section in sections]
    bar_of = np.repeat(np.arange(len(lines)), np.diff([*lines, len(content)]))
    section_of = np.searchsorted(firsts, bar_of, side="right") - 1
    # Columns are programs; the last two, which -1 and NOBODY find, are drums and what is always kept.
    silent_SP = np.zeros((len(sections), 130), dtype=np.bool_)
    for program in reader.programs(content):
        silent_SP[:, program] = [program not in section.programs for section in sections]
    changed_S: NDArray[np.bool_] = np.logical_or.reduce(silent_SP, axis=1)

    bars = content[lines[0] :]
    kept: NDArray[np.bool_] = ~silent_SP[section_of, reader.owners(bars)]
    kept &= ~(reader.positions_of_nothing(bars, kept) & changed_S[section_of])

    written: list[NDArray[np.integer] | list[int]] = [[BOS], content[: lines[0]]]
    for section, until in zip(sections, [*firsts[1:], len(lines)], strict=True):
        of_section = slice(*np.searchsorted(bar_of, [section.bar, until]))
        near = slice(of_section.start, np.searchsorted(bar_of, min(section.bar + NAMED_BARS, until)))
        named = reader.programs(bars[near][kept[near]]) if section.named else set()
        written += [reader.call(named) if named else [], bars[of_section][kept[of_section]]]
    return np.concatenate([np.array(part, dtype=np.uint16) for part in [*written, ids[-1:]]])


def with_names(reader: BarReader, ids: Sequence[int], programs: Collection[int]) -> list[int]:
    """A prompt of which the last bar is the first to come: the instruments named in front of its line."""
    last = int(reader.bars(np.array(ids))[-1])
    return [*ids[:last], *reader.call(programs), *ids[last:]]
