"""PolyphonyGuard: limits how many notes an instrument begins at once.

Without it, a model that has stacked too many notes on top of each other may go on through all the keys. The limit is
the request's, or what the instrument does in the prompt if that is more. An instrument that has reached it cannot begin
another note before time moves on.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable

from music_reformer.midi.vocabulary import NOTE_BEGINNINGS, Vocabulary

_TIME = frozenset({"Bar", "Position", "TimeShift", "Rest"})


class PolyphonyGuard:
    """Follows one stream, token by token.

    Args:
        vocabulary: what the tokens mean.
        prompt: the tokens before the first new one.
        most: notes that one instrument may begin at once.
    """

    def __init__(self, vocabulary: Vocabulary, prompt: Iterable[int], *, most: int) -> None:
        self._kinds = vocabulary.kinds
        self._has_programs = vocabulary.has_programs
        # Performance writes the velocity first.
        first = NOTE_BEGINNINGS | {"Velocity"} if vocabulary.is_performance else NOTE_BEGINNINGS
        self._first = [i for kind in sorted(first) for i in vocabulary.ids_of.get(kind, [])]
        # Token of the current instrument; -1 in encodings that name none.
        self._program = -1
        self._together: Counter[int] = Counter()
        heard: Counter[int] = Counter()
        for token in prompt:
            self.take(token)
            heard[self._program] = max(heard[self._program], self._together[self._program])
        self._default = most
        self._most = {program: count for program, count in heard.items() if count > most}

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
            self._program = token
        elif kind in NOTE_BEGINNINGS:
            self._together[self._program] += 1

    def excessive(self) -> list[int]:
        """Tokens that would begin one note too many; mostly none."""
        full = [p for p, count in self._together.items() if count >= self._most.get(p, self._default)]
        return full if self._has_programs or not full else self._first
