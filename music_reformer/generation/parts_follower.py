"""Where a stream of the Parts encoding is (in which bar, which part, at which position), and the ways out of a part."""

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
# The order of the end of a bar, after all parts.
END_OF_BAR = part_order(DRUMS, MAX_PARTS) + 1
# Kinds of tokens after which the rest of a note follows.
WITHIN_A_NOTE = frozenset({"Position", "Velocity", "Duration"})


class PartsFollower:
    """Follows one stream from the line of a bar on, token by token.

    Args:
        vocabulary: of the tokenizer.
        metre: of the bar.

    Attributes:
        bar: bars since then, from 0.
        metre, length: of the bar, the length in positions.
        part: the current one; `NOBODY` before the first.
        position: where the next note of the part would begin.
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
        """The place of the current part in the bar; 0 before the first."""
        return part_order(*self.part) if self.part != NOBODY else 0

    @property
    def begins_note(self) -> bool:
        """Whether the last token began a note."""
        return self.kind in NOTE_BEGINNINGS


class Exits:
    """The tokens that leave a part: the bar line, the end, and the programs of the parts after it.

    Args:
        vocabulary: of the tokenizer.

    Attributes:
        ways: all of them, in the order of the stream.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        ids_of = vocabulary.ids_of
        programs = sorted((part_order(vocabulary.values[token], 0), token) for token in ids_of["Program"])
        ends = [(END_OF_BAR, token) for token in (*ids_of["Bar"], *ids_of["EOS"])]
        self._orders, self.ways = np.array([*programs, *ends]).T

    def narrow(self, narrowed_V: NDArray[np.bool_], due: int) -> None:
        """Forbid, in place, the tokens that would skip the part that is due (given by its order)."""
        narrowed_V[self._past(due)] = False

    def lead(self, logits_V: NDArray[np.float32], due: int) -> None:
        """Move the probability of skipping the part that is due (given by its order) to its program; in place."""
        hand_over(logits_V, self._past(due), self.ways[np.searchsorted(self._orders, due, side="right") - 1])

    def behind(self, order: int) -> NDArray[np.int64]:
        """The tokens that can leave a part (given by its order), with its own program for a part of a higher number."""
        return self._past(order - MAX_PARTS)

    def _past(self, order: int) -> NDArray[np.int64]:
        return self.ways[np.searchsorted(self._orders, order, side="right") :]
