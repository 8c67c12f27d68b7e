"""Finds bars, positions and the owners of events in token streams.

Cutting holes (`infill.py`) and naming instruments (`instrumentation.py`) share it. All of it works on whole arrays of
token ids; `tests/reference/bars.py` takes bars apart token by token, and the tests compare the two.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from music_reformer.midi.vocabulary import BOS, EOS, PAD, Vocabulary

# Owner of tokens that belong to no instrument.
NOBODY = -2
# Kinds of tokens that describe a bar or a position as a whole.
_FRAME = ("Bar", "TimeSig", "Position", "Tempo")
# Kinds of tokens that begin an event, where events name their instrument and where they do not.
_BEGINS_NAMED = ("Program", "Pedal", "PedalOff")
_BEGINS = ("Pitch", "PitchDrum", "Pedal", "PedalOff", "PitchBend", "Chord")


class BarReader:
    """Reads streams of one vocabulary.

    Args:
        vocabulary: of the tokenizer.
    """

    names_behind_line = False  # whether directions stand after the bar line; otherwise names stand in front of it

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.hole_mark = PAD  # stands for the notes that are missing from a bar
        kinds = vocabulary.ids_of
        self._program_ids = {vocabulary.values[token]: token for token in kinds.get("Program", [])}
        self._programs = {token: program for program, token in self._program_ids.items()}
        self._bar = kinds["Bar"][0] if vocabulary.has_bars else -1
        # Tables by token id.
        self._is_metre = vocabulary.is_kind("TimeSig")
        self._is_position = vocabulary.is_kind("Position")
        self._is_frame = vocabulary.is_kind(*_FRAME)
        self._begins_event = vocabulary.is_kind(*(_BEGINS_NAMED if self._programs else _BEGINS))
        self._owner = np.full(len(vocabulary), NOBODY)
        for kind in _BEGINS_NAMED:
            for token in kinds.get(kind, []):
                self._owner[token] = NOBODY if vocabulary.values[token] is None else vocabulary.values[token]
        self._has_whole_bars = vocabulary.has_bars and "Duration" in kinds and "Rest" not in kinds

    @property
    def has_whole_bars(self) -> bool:
        """Whether streams are divided into bars and a note's tokens say when it ends."""
        return self._has_whole_bars

    @property
    def names_instruments(self) -> bool:
        """Whether streams tell instruments apart."""
        return bool(self._programs)

    def bars(self, ids: NDArray[np.integer]) -> NDArray[np.int64]:
        """Indices of the bar lines."""
        return np.flatnonzero(ids == self._bar)

    def line_ends(self, ids: NDArray[np.integer]) -> NDArray[np.int64]:
        """Index after each bar line and the time signature that belongs to it."""
        after = self.bars(ids) + 1
        return after + self._is_metre[ids[np.minimum(after, len(ids) - 1)]]

    def programs(self, ids: NDArray[np.integer]) -> set[int]:
        """Instruments that play, -1 for drums; empty if the vocabulary has no programs."""
        return {self._programs[int(i)] for i in np.unique(ids) if int(i) in self._programs}

    def is_bar(self, token: int) -> bool:
        """Whether a token is a bar line."""
        return token == self._bar

    def program_of(self, token: int) -> int | None:
        """The instrument that a token names, -1 for drums; None if it names none."""
        return self._programs.get(token)

    def naming(self, programs: Iterable[int]) -> list[int]:
        """The tokens that name instruments in front of a bar line: PAD, then each program."""
        return [PAD, *(self._program_ids[program] for program in sorted(programs))]

    def content(self, ids: NDArray[np.integer]) -> NDArray[np.integer]:
        """A piece without its BOS and EOS, if it has them."""
        return ids[int(ids[0] == BOS) : len(ids) - int(ids[-1] == EOS)]

    def owners(self, ids: NDArray[np.integer]) -> NDArray[np.int64]:
        """Program of the event that each token belongs to, -1 for drums.

        `NOBODY` for bar lines, positions and tempos, and for all tokens if the vocabulary has no programs.
        """
        return self._events_and_owners(ids)[1]

    def divide(
        self, ids: NDArray[np.integer], programs: Collection[int]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Divide whole bars into what some instruments play and what the others play.

        Args:
            ids: begins with a bar line.
            programs: the instruments; empty stands for all.

        Returns:
            Masks of the tokens to write for the others and for the instruments. Both have the bar lines, and a position
            where one of their tokens stands; tempos are with the others.
        """
        is_event, owner = self._events_and_owners(ids)
        theirs = np.isin(owner, list(programs)) if programs else is_event
        others = ~theirs
        others &= ~self.empty_positions(ids, others)
        lines = (ids == self._bar) | self._is_metre[ids]
        theirs |= self._is_position[ids] & ~self.empty_positions(ids, theirs)
        return others, theirs | lines

    def empty_positions(self, ids: NDArray[np.integer], kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which tokens are positions at which none of the kept tokens stands."""
        is_position = self._is_position[ids]
        group = np.cumsum(is_position | (ids == self._bar))
        num_kept = np.bincount(group, weights=kept & ~is_position)
        return is_position & (num_kept[group] == 0)

    def _events_and_owners(self, ids: NDArray[np.integer]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which tokens belong to an event, and the program of each, `NOBODY` where there is none."""
        index = np.arange(len(ids))
        begin = np.maximum.accumulate(np.where(self._begins_event[ids], index, -1))
        group = np.maximum.accumulate(np.where(self._is_position[ids] | (ids == self._bar), index, 0))
        is_event = (begin >= group) & ~self._is_frame[ids]
        return is_event, np.where(is_event, self._owner[ids[begin]], NOBODY)
