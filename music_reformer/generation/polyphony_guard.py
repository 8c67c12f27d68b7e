"""PolyphonyGuard: limits how many notes an instrument begins at once.

Without it, a model that has stacked too many notes may add all the other keys. The limit is that of the request, or
what the instrument does in the prompt if that is more. In encodings with parts, a part that has been heard begins no
more notes at once than it did before: a flute plays no chords. An instrument at its limit cannot begin another note
before time advances.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable

from music_reformer.generation.cast import Cast
from music_reformer.midi.vocabulary import NOTE_BEGINNINGS, Vocabulary

# A part that has begun fewer notes has not yet shown what it can do.
FEWEST_NOTES = 8

_TIME = frozenset({"Bar", "Position", "TimeShift", "Rest"})


class PolyphonyGuard:
    """Follows one stream, token by token.

    Args:
        vocabulary: what the tokens mean.
        prompt: the tokens before the first new one.
        most: notes that one instrument may begin at once.
        cast: wishes for more polyphony raise the limits of their parts; None: no wishes.
    """

    def __init__(self, vocabulary: Vocabulary, prompt: Iterable[int], *, most: int, cast: Cast | None = None) -> None:
        self._kinds = vocabulary.kinds
        # Whether every note begins with its program, so that forbidding the program forbids the note.
        self._has_programs = vocabulary.has_programs and not vocabulary.part_by_part
        self._part_by_part = vocabulary.part_by_part
        # A note begins with its velocity in Performance, and with velocity or duration in Parts.
        first = NOTE_BEGINNINGS | ({"Velocity"} if vocabulary.is_performance else set())
        first |= {"Velocity", "Duration"} if vocabulary.part_by_part else set()
        self._first = [i for kind in sorted(first) for i in vocabulary.ids_of.get(kind, [])]
        # Tokens that name the current instrument, or part; none in encodings that name none.
        self._player: tuple[int, ...] = ()
        self._together: Counter[tuple[int, ...]] = Counter()
        heard: Counter[tuple[int, ...]] = Counter()
        num_notes: Counter[tuple[int, ...]] = Counter()
        for token in prompt:
            self.take(token)
            num_notes[self._player] += self._kinds[token] in NOTE_BEGINNINGS
            heard[self._player] = max(heard[self._player], self._together[self._player])
        self._default = most
        self._most = {
            player: count + self._more(player, cast, vocabulary)
            for player, count in heard.items()
            if count > most or (self._part_by_part and num_notes[player] >= FEWEST_NOTES)
        }

    @staticmethod
    def _more(player: tuple[int, ...], cast: Cast | None, vocabulary: Vocabulary) -> int:
        """Number of notes by which a part may exceed its polyphony in the prompt."""
        if cast is None or not player:
            return 0
        program, number = vocabulary.values[player[0]], vocabulary.values[player[1]] if len(player) > 1 else 1
        return max(0, cast.wishes_of((program, number)).polyphony)

    def copy(self) -> PolyphonyGuard:
        """An independent guard in the same state."""
        other = copy.copy(self)
        other._together = Counter(self._together)
        return other

    def take(self, token: int) -> None:
        """Note the next token of the stream."""
        kind = self._kinds[token]
        if kind in _TIME:
            self._together.clear()
        elif kind == "Program":
            self._player = (token,)
            if self._part_by_part:
                self._together.clear()
        elif kind == "Part":
            self._player = (*self._player, token)
        elif kind in NOTE_BEGINNINGS:
            self._together[self._player] += 1

    def excessive(self) -> list[int]:
        """Tokens that would begin one note too many; usually none."""
        full = [player for player, count in self._together.items() if count >= self._most.get(player, self._default)]
        return [player[0] for player in full] if self._has_programs or not full else self._first
