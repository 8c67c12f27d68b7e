"""No chord without end: a model that has put one note on top of another too often goes on through all the keys.

Each instrument may begin so many notes at once as the request says, or as many as it does in the prompt; then it may
not be named again before time has moved on.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable

from music_reformer.midi.vocabulary import NOTE_BEGINNINGS, Vocabulary

_TIME = frozenset({"Bar", "Position", "TimeShift", "Rest"})


class ChordGuard:
    """Follows one stream, token by token.

    Args:
        vocabulary: what the tokens mean.
        prompt: the tokens before the first new one.
        most: notes of one instrument that may begin at once.
    """

    def __init__(self, vocabulary: Vocabulary, prompt: Iterable[int], *, most: int) -> None:
        self._kinds = vocabulary.kinds
        self._has_programs = vocabulary.has_programs
        # Performance writes the velocity first.
        first = NOTE_BEGINNINGS | {"Velocity"} if vocabulary.is_performance else NOTE_BEGINNINGS
        self._first = [i for kind in sorted(first) for i in vocabulary.ids_of.get(kind, [])]
        # By the token that names the instrument; -1 where none does.
        self._program = -1
        self._together: Counter[int] = Counter()
        heard: Counter[int] = Counter()
        for token in prompt:
            self.take(token)
            heard[self._program] = max(heard[self._program], self._together[self._program])
        self._default = most
        self._most = {program: count for program, count in heard.items() if count > most}

    def copy(self) -> ChordGuard:
        """Another one at the same place."""
        other = copy.copy(self)
        other._together = Counter(self._together)
        return other

    def take(self, token: int) -> None:
        """A token has been played."""
        kind = self._kinds[token]
        if kind in _TIME:
            self._together.clear()
        elif kind == "Program":
            self._program = token
        elif kind in NOTE_BEGINNINGS:
            self._together[self._program] += 1

    def full(self) -> list[int]:
        """Tokens that would begin a note too many; mostly none."""
        full = [p for p, count in self._together.items() if count >= self._most.get(p, self._default)]
        return full if self._has_programs or not full else self._first
