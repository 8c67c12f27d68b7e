"""Who plays from a bar on, named in front of it.

    BOS  1  2  3  4  EOS        is written        BOS  1' 2'  PAD Flute Drums  3' 4'  EOS

Named are the instruments that play in the next `NAMED_BARS` bars. In training some of them are taken out of what comes
before, others out of what comes behind (1' 2' 3' 4'), so that the model learns to bring in, at once, an instrument that
is asked for and has not been heard, and to go on without one that was. As in front of a hole (`infill.py`), they stand
behind a PAD; no token is new.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from music_reformer.midi.bars import BOS, BarReader

NAMED_BARS = 8


class InstrumentNamer(BarReader):
    """Names instruments in token streams of one vocabulary."""

    @property
    def can_name(self) -> bool:
        """Whether this vocabulary has bars to name them in front of, and instruments to name."""
        return self.has_whole_bars and self.names_instruments

    def name(
        self, ids: NDArray[np.uint16], bar: int, *, before: Collection[int], behind: Collection[int]
    ) -> NDArray[np.uint16]:
        """Name the instruments in front of a bar (the first is 0); keep only some of them before and behind it.

        Args:
            ids: a piece from BOS to EOS, of more than `bar` bars.
            before, behind: instruments that are kept there, -1 for drums.

        Returns:
            The piece so written; without a name where nothing plays in the next bars.
        """
        content = self.content(ids)
        lines = self.bars(content)
        parts = np.split(content, lines)  # what stands before the first bar line, then the bars
        playing = self.programs(content)
        early = [self._without(part.tolist(), playing - set(before)) for part in parts[1 : bar + 1]]
        late = [self._without(part.tolist(), playing - set(behind)) for part in parts[bar + 1 :]]
        named = self.programs(np.array([*chain.from_iterable(late[:NAMED_BARS])]))
        written = [
            [BOS, *parts[0].tolist()],
            *early,
            self.call(named) if named else [],
            *late,
            [int(ids[-1])],
        ]
        return np.array([*chain.from_iterable(written)], dtype=np.uint16)

    def named(self, ids: Sequence[int], programs: Collection[int]) -> list[int]:
        """A prompt of which the last bar is the first to come: the instruments named in front of its line."""
        last = int(self.bars(np.array(ids))[-1])
        return [*ids[:last], *self.call(programs), *ids[last:]]

    def _without(self, bar: list[int], programs: Collection[int]) -> list[int]:
        if not programs:
            return bar
        others, _ = self.divide(bar, programs)
        return [*bar[: self.head(bar)], *others]
