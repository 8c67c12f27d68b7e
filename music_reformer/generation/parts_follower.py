"""Tracks the place of a Parts token stream (bar, part, position), and lists the tokens that leave a part."""

from __future__ import annotations

import copy
from typing import Self

import numpy as np
from numpy.typing import NDArray

from music_reformer.generation.sampling import hand_over
from music_reformer.midi.parts import MAX_PARTS, bar_length, part_order
from music_reformer.midi.parts_reader import Part
from music_reformer.midi.vocabulary import DRUMS, NOTE_BEGINNINGS, Vocabulary

NOBODY: Part = (0, 0)
# The end of a bar in the order of parts (`part_order`): after all parts.
END_OF_BAR = part_order(DRUMS, MAX_PARTS) + 1
# Kinds of tokens that are followed by the rest of a note.
WITHIN_A_NOTE = frozenset({"Position", "Velocity", "Duration"})


class PartsFollower:
    """Follows a stream token by token, starting at a bar line.

    Args:
        vocabulary: of the tokenizer.
        metre: metre of the first bar.

    Attributes:
        bar: number of the current bar; 0 is the first bar followed.
        metre, length: metre of the current bar, and its length in positions.
        part: the current part; `NOBODY` before the first.
        position: position at which the next note of the part would begin.
        kind, value: of the last token.
        duration: last duration stated in the part, in positions.
    """

    def __init__(self, vocabulary: Vocabulary, metre: tuple[int, int]) -> None:
        self._kinds, self._values = vocabulary.kinds, vocabulary.values
        self.bar, self.kind = -1, ""
        self.follow(vocabulary.ids["Bar", metre])

    def copy(self) -> Self:
        """An independent follower at the same place."""
        return copy.copy(self)

    def follow(self, token: int) -> None:
        """Note the next token."""
        kind, value = self._kinds[token], self._values[token]
        if kind == "Bar":
            self.bar += 1
            self.metre, self.length = value, bar_length(value)
            self.part, self.position, self.duration = NOBODY, 0, 0
        elif kind == "Program":
            self.part, self.position, self.duration = (value, 1), 0, 0
        elif kind == "Part":
            self.part = self.part[0], value
        elif kind == "Position":
            self.position = value
        elif kind == "Duration":
            self.duration = value + (self.duration if self.kind == "Duration" else 0)
        self.kind, self.value = kind, value

    @property
    def order(self) -> int:
        """The current part's place in the order of parts; 0 before the first."""
        return part_order(*self.part) if self.part != NOBODY else 0

    @property
    def begins_note(self) -> bool:
        """Whether the last token began a note."""
        return self.kind in NOTE_BEGINNINGS


class Exits:
    """The tokens that leave a part: bar lines, the end, and the programs of later parts.

    Args:
        vocabulary: of the tokenizer.

    Attributes:
        ways: all these tokens, in stream order.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        ids_of = vocabulary.ids_of
        programs = sorted((part_order(vocabulary.values[token], 0), token) for token in ids_of["Program"])
        ends = [(END_OF_BAR, token) for token in (*ids_of["Bar"], *ids_of["EOS"])]
        self._orders, self.ways = np.array([*programs, *ends]).T

    def narrow(self, narrowed_V: NDArray[np.bool_], due: int) -> None:
        """Forbid, in place, the tokens that would skip a due part; `due` is its place in the order of parts."""
        narrowed_V[self._past(due)] = False

    def lead(self, logits_V: NDArray[np.float32], due: int) -> None:
        """Move, in place, the probability of skipping a due part to its program; `due` as in `narrow`."""
        hand_over(logits_V, self._past(due), self.ways[np.searchsorted(self._orders, due, side="right") - 1])

    def behind(self, order: int) -> NDArray[np.int64]:
        """The tokens that can leave the part at place `order`; its own program counts, for parts of a higher number."""
        return self._past(order - MAX_PARTS)

    def _past(self, order: int) -> NDArray[np.int64]:
        return self.ways[np.searchsorted(self._orders, order, side="right") :]
