"""GivenNotes: leads the model through notes of recomposed bars that are locked (Parts encoding).

The model writes these bars from the first note to the last, locked notes included, so that the notes it adds take them
into account. Tokens that would skip a locked note are forbidden: a later position, a higher pitch, another part, the
next bar. The model's copies of locked notes are not added to the piece, which keeps the original events.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from music_reformer.generation.parts_follower import Exits, PartsFollower
from music_reformer.generation.recall import BarMusic, RecalledNote
from music_reformer.generation.sampling import hand_over
from music_reformer.midi.parts import MAX_PARTS, part_order
from music_reformer.midi.parts_reader import Part
from music_reformer.midi.vocabulary import DRUMS, Vocabulary

# Added to the logits of a locked note's velocity and duration when the note is next.
AS_IT_IS_LOGIT = 4.0


class GivenNotes:
    """Follows one stream token by token, from the line of the first recomposed bar on.

    Args:
        vocabulary: of the tokenizer.
        bars: the locked notes of each recomposed bar.
        metre: metre of these bars.

    Attributes:
        wrote_one: whether the last token was a locked note.
    """

    def __init__(self, vocabulary: Vocabulary, bars: Sequence[BarMusic], *, metre: tuple[int, int]) -> None:
        ids_of = vocabulary.ids_of
        self._ids, self._bars = vocabulary.ids, bars
        self._place = PartsFollower(vocabulary, metre)
        self._exits = Exits(vocabulary)
        self._numbers = np.array(ids_of["Part"])  # tokens of the numbers 2, 3, ...
        self._positions = np.array(ids_of["Position"])
        self._position_values = np.array([vocabulary.values[token] for token in ids_of["Position"]])
        self._pitches, self._drums = np.array(ids_of["Pitch"]), np.array(ids_of["PitchDrum"])
        self.wrote_one = False
        self._begin_bar()

    def copy(self) -> GivenNotes:
        """An independent copy at the same place."""
        other = copy.copy(self)
        other._place, other._left = self._place.copy(), dict(self._left)
        return other

    def _begin_bar(self) -> None:
        number = self._place.bar
        # The locked notes that are still to come in this bar, by part.
        self._left: dict[Part, tuple[RecalledNote, ...]] = (
            dict(self._bars[number].parts) if number < len(self._bars) else {}
        )
        self._before = 0  # order of the part before the current one
        self._velocity = 0  # of the current part

    def take(self, token: int) -> None:
        """Note the next token."""
        place = self._place
        bar, order = place.bar, place.order
        place.follow(token)
        self.wrote_one = False
        if place.bar != bar:
            self._begin_bar()
        elif place.kind == "Program":
            self._before, self._velocity = order, 0
        elif place.kind == "Velocity":
            self._velocity = place.value
        elif place.begins_note and (note := self._next()) is not None:
            self.wrote_one = (note.position, note.pitch) == (place.position, place.value)
            if self.wrote_one:
                self._left[place.part] = self._left[place.part][1:]

    def _next(self) -> RecalledNote | None:
        """The next locked note of the current part; None if there is none."""
        return next(iter(self._left.get(self._place.part, ())), None)

    def narrowed(self, allowed_V: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The allowed tokens without those that would skip a locked note."""
        place, note = self._place, self._next()
        if not any(self._left.values()):
            return allowed_V
        narrowed_V = allowed_V.copy()
        if place.kind == "Program" and self._narrow_numbers(narrowed_V):
            return narrowed_V
        if note is None:
            if (due := self._next_part()) is not None:
                self._exits.narrow(narrowed_V, due)
            return narrowed_V
        narrowed_V[self._exits.ways] = False
        narrowed_V[self._positions[self._position_values > note.position]] = False
        if place.position == note.position:
            pitches = self._drums if place.part[0] == DRUMS else self._pitches
            narrowed_V[pitches[note.pitch + 1 :]] = False
            # Allowed even if an earlier note was written to last until after it, so that the key counts as down.
            narrowed_V[pitches[note.pitch]] = bool(allowed_V[pitches].any())
        return narrowed_V

    def _narrow_numbers(self, narrowed_V: NDArray[np.bool_]) -> bool:
        """After a program, forbid part numbers beyond the next part with locked notes.

        Returns:
            Whether a part number must follow, because the next part with locked notes is not the first of its program.
        """
        program = self._place.part[0]
        due = [order for order in self._due() if self._before < order <= part_order(program, MAX_PARTS)]
        numbers = [order - part_order(program, 0) for order in due]
        if not numbers:
            return False
        first = numbers[0]
        narrowed_V[self._numbers[max(0, first - 1) :]] = False
        return first > 1

    def _due(self) -> list[int]:
        """The parts with locked notes still to come, as places in the order of parts, sorted."""
        return sorted(part_order(*part) for part, notes in self._left.items() if notes)

    def _next_part(self) -> int | None:
        """The next such part after the current one, as its place in the order; None if there is none."""
        return next((order for order in self._due() if order > self._place.order), None)

    def lean(self, logits_V: NDArray[np.float32]) -> None:
        """Raise, in place, the logits of tokens that lead to the next locked note, and of its velocity and duration."""
        place, note = self._place, self._next()
        if note is None:
            if place.kind != "Program" and (due := self._next_part()) is not None:
                self._exits.lead(logits_V, due)
        elif place.position < note.position:
            later = self._positions[self._position_values > note.position]
            hand_over(logits_V, [*self._exits.ways, *later], self._ids["Position", note.position])
        elif place.position == note.position and place.kind != "Duration":
            if self._velocity != note.velocity:
                wanted = self._ids["Velocity", note.velocity] if place.kind != "Velocity" else None
            else:
                wanted = self._ids.get(("Duration", note.duration)) if place.duration != note.duration else None
            if wanted is not None:
                logits_V[wanted] += AS_IT_IS_LOGIT
