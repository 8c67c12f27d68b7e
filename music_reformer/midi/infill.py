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

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

PAD, BOS = 0, 1
ALL: frozenset[int] = frozenset()  # stands for all instruments
# Kinds that are about a bar or a position as a whole.
_FRAME = frozenset({"Bar", "TimeSig", "Position", "Tempo"})
# Kinds with which an event begins where events do not name their instrument.
_BEGINS = frozenset({"Pitch", "PitchDrum", "Pedal", "PedalOff", "PitchBend", "Chord"})


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


class HoleCutter:
    """Takes bars, or instruments of bars, out of token streams of one vocabulary.

    Args:
        tokens: name of each token id, such as "Pitch_60".
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self._kinds = [name.partition("_")[0] for name in tokens]
        self._programs = {
            i: int(name.partition("_")[2]) for i, name in enumerate(tokens) if name.startswith("Program_")
        }
        self._program_ids = {program: token for token, program in self._programs.items()}
        self._bar = self._kinds.index("Bar") if "Bar" in self._kinds else -1
        self._begins = frozenset({"Program"}) if self._programs else _BEGINS

    @property
    def can_cut(self) -> bool:
        """Whether this vocabulary counts in bars, and a note is complete where it stands."""
        return self._bar >= 0 and "Duration" in self._kinds and "Rest" not in self._kinds

    def bars(self, ids: NDArray[np.integer]) -> NDArray[np.int64]:
        """Places of the bar lines."""
        return np.flatnonzero(ids == self._bar)

    def programs(self, ids: NDArray[np.integer]) -> set[int]:
        """Instruments that play, -1 for drums; none where the vocabulary does not tell them apart."""
        return {self._programs[int(i)] for i in np.unique(ids) if int(i) in self._programs}

    def cut(self, ids: NDArray[np.integer], first: int, count: int, programs: Collection[int] = ALL) -> CutOut:
        """Take out bars `first` to `first + count - 1` (the first bar is 0), of the given instruments or of all.

        Args:
            ids: BOS (or not), a piece, EOS (or not), of at least `first + count` bars.
        """
        ids = ids[int(ids[0] == BOS) : len(ids) - int(self._kinds[int(ids[-1])] == "EOS")]
        lines = self.bars(ids)
        begin = int(lines[first])
        end = int(lines[first + count]) if first + count < len(lines) else len(ids)
        behind: list[int] = []
        hole: list[int] = []
        for bar in np.split(ids[begin:end], lines[first + 1 : first + count] - begin):
            kept, taken = self._part(bar.tolist(), programs)
            behind += kept
            hole += taken
        return CutOut(
            before=ids[:begin].tolist(),
            behind=behind + ids[end:].tolist(),
            call=[PAD, *(self._program_ids[program] for program in sorted(programs))] if programs else [],
            hole=hole,
            opening=ids[begin : begin + self._head(ids[begin:end].tolist())].tolist(),
        )

    def permuted(
        self, ids: NDArray[np.uint16], first: int, count: int, programs: Collection[int] = ALL
    ) -> NDArray[np.uint16]:
        """A piece from BOS to EOS written as context, hole, EOS."""
        cut = self.cut(ids, first, count, programs)
        return np.array([*cut.context, *cut.hole, int(ids[-1])], dtype=np.uint16)

    def _head(self, bar: list[int]) -> int:
        """Tokens of the bar line: Bar, and the metre where the vocabulary has it."""
        return 2 if len(bar) > 1 and self._kinds[bar[1]] == "TimeSig" else 1

    def _part(self, bar: list[int], programs: Collection[int]) -> tuple[list[int], list[int]]:
        """One bar as it stands in the context and in the hole."""
        head = self._head(bar)
        kept, taken = [*bar[:head], PAD], bar[:head]
        for position, tempo, events in self._positions(bar[head:]):
            inside = [event for event in events if self._is_missing(event, programs)]
            outside = [event for event in events if not self._is_missing(event, programs)]
            if tempo or outside:
                kept += [*position, *tempo, *chain.from_iterable(outside)]
            if inside:
                taken += [*position, *chain.from_iterable(inside)]
        return kept, taken

    def _is_missing(self, event: list[int], programs: Collection[int]) -> bool:
        return not programs or self._programs.get(event[0]) in programs

    def _positions(self, tokens: list[int]) -> Iterator[tuple[list[int], list[int], list[list[int]]]]:
        """(position, tempo, events) of a bar in turn; each event is all of its tokens."""
        position: list[int] = []
        tempo: list[int] = []
        events: list[list[int]] = []
        for token in tokens:
            kind = self._kinds[token]
            if kind == "Position":
                if position or tempo or events:
                    yield position, tempo, events
                position, tempo, events = [token], [], []
            elif kind in _FRAME:
                tempo.append(token)
            elif kind in self._begins or not events:  # nothing but an event's beginning comes first in sound streams
                events.append([token])
            else:
                events[-1].append(token)
        if position or tempo or events:
            yield position, tempo, events
