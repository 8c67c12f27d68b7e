"""PartsFollower: where a stream of the Parts encoding is: in which bar, which part, and at which position."""

from __future__ import annotations

import copy
from typing import Self

from music_reformer.midi.parts import bar_length
from music_reformer.midi.parts_reader import Part
from music_reformer.midi.vocabulary import NOTE_BEGINNINGS, Vocabulary

NOBODY: Part = (0, 0)
# Kinds behind which the rest of a note follows.
WITHIN_A_NOTE = frozenset({"Position", "Velocity", "Duration"})


class PartsFollower:
    """Follows one stream from the line of a bar on, token by token.

    Args:
        vocabulary: of the tokenizer.
        metre: of the bar.

    Attributes:
        bar: bars since then, from 0.
        metre, length: of the bar, the length in positions.
        part: the current one; `NOBODY` in front of the first.
        position: where the next note of the part would begin.
        kind, value: of the last token.
        duration: of the part's notes, in positions, as stated last.
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
    def begins_note(self) -> bool:
        """Whether the last token began a note."""
        return self.kind in NOTE_BEGINNINGS
