"""Token streams taken apart into bars, positions and events: what cutting holes and naming instruments share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

PAD, BOS = 0, 1
# Whose a token is that belongs to no instrument.
NOBODY = -2
# Kinds that are about a bar or a position as a whole.
_FRAME = frozenset({"Bar", "TimeSig", "Position", "Tempo"})
# Kinds with which an event begins: where events name their instrument, and where they do not.
_BEGINS_NAMED = frozenset({"Program", "Pedal", "PedalOff"})
_BEGINS = frozenset({"Pitch", "PitchDrum", "Pedal", "PedalOff", "PitchBend", "Chord"})


class BarReader:
    """Reads streams of one vocabulary.

    Args:
        tokens: name of each token id, such as "Pitch_60".
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        parsed = [name.partition("_") for name in tokens]
        self._kinds = [kind for kind, _, _ in parsed]
        self._program_ids = {int(value): i for i, (kind, _, value) in enumerate(parsed) if kind == "Program"}
        self._programs = {token: program for program, token in self._program_ids.items()}
        self._begins = _BEGINS_NAMED if self._programs else _BEGINS
        # Whose an event is, by the token with which it begins.
        self._owners = [int(value) if kind in _BEGINS_NAMED and value else NOBODY for kind, _, value in parsed]
        self._bar = self._kinds.index("Bar") if "Bar" in self._kinds else -1
        # The same by token id, for many tokens at once.
        self._is_position, self._is_frame, self._is_begin = (
            np.array([kind in kinds for kind in self._kinds]) for kinds in ({"Position"}, _FRAME, self._begins)
        )
        self._owner_by_id = np.array(self._owners)

    @property
    def has_whole_bars(self) -> bool:
        """Whether this vocabulary counts in bars, and a note is complete where it stands."""
        return self._bar >= 0 and "Duration" in self._kinds and "Rest" not in self._kinds

    @property
    def names_instruments(self) -> bool:
        """Whether this vocabulary tells instruments apart."""
        return bool(self._programs)

    def bars(self, ids: NDArray[np.integer]) -> NDArray[np.int64]:
        """Places of the bar lines."""
        return np.flatnonzero(ids == self._bar)

    def programs(self, ids: NDArray[np.integer]) -> set[int]:
        """Instruments that play, -1 for drums; none where the vocabulary does not tell them apart."""
        return {self._programs[int(i)] for i in np.unique(ids) if int(i) in self._programs}

    def is_bar(self, token: int) -> bool:
        """Whether a token is a bar line."""
        return token == self._bar

    def program_of(self, token: int) -> int | None:
        """The instrument that a token names, -1 for drums; None: it names none."""
        return self._programs.get(token)

    def call(self, programs: Iterable[int]) -> list[int]:
        """PAD and the instruments: names them in front of a bar line."""
        return [PAD, *(self._program_ids[program] for program in sorted(programs))]

    def content(self, ids: NDArray[np.integer]) -> NDArray[np.integer]:
        """A piece without BOS and EOS, where it has them."""
        return ids[int(ids[0] == BOS) : len(ids) - int(self._kinds[int(ids[-1])] == "EOS")]

    def head(self, bar: list[int]) -> int:
        """Tokens of a bar's line: Bar, and the metre where the vocabulary has it."""
        return 2 if len(bar) > 1 and self._kinds[bar[1]] == "TimeSig" else 1

    def divide(self, bar: list[int], programs: Collection[int]) -> tuple[list[int], list[int], list[int]]:
        """A bar's line, and what stands behind it: without these instruments (tempo stays here), and of them alone.

        No instruments stand for all.
        """
        others: list[int] = []
        theirs: list[int] = []
        head = self.head(bar)
        for position, tempo, events in self._positions(bar[head:]):
            inside = [event for event in events if not programs or self._owners[event[0]] in programs]
            outside = [event for event in events if programs and self._owners[event[0]] not in programs]
            if tempo or outside:
                others += [*position, *tempo, *chain.from_iterable(outside)]
            if inside:
                theirs += [*position, *chain.from_iterable(inside)]
        return bar[:head], others, theirs

    def owners(self, ids: NDArray[np.integer]) -> NDArray[np.int64]:
        """Whose event each token belongs to, -1 for drums; `NOBODY` for bar lines, positions, tempo and the like."""
        place = np.arange(len(ids))
        begin = np.maximum.accumulate(np.where(self._is_begin[ids], place, -1))
        group = np.maximum.accumulate(np.where(self._is_position[ids] | (ids == self._bar), place, 0))
        return np.where((begin >= group) & ~self._is_frame[ids], self._owner_by_id[ids[begin]], NOBODY)

    def positions_of_nothing(self, ids: NDArray[np.integer], kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which tokens are positions where nothing of what is kept stands."""
        group = np.cumsum(self._is_position[ids] | (ids == self._bar))
        stands = np.bincount(group, weights=kept & ~self._is_position[ids])
        return self._is_position[ids] & (stands[group] == 0)

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
