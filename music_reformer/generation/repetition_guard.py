"""RepetitionGuard: breaks endless repetitions of the same bars.

The more often a model has played the same bars in a row, the more likely it finds another repetition. Bars count as
equal if their tokens are, apart from velocities. Groups of one, two or four bars may be repeated in a row as often as
the request allows, or as often as in the prompt, which may be a loop itself. After that, the guard lists the tokens
that would begin notes of another repetition, and `Variation` lowers their logits until the music leaves the pattern.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

from music_reformer.midi.vocabulary import NOTE_BEGINNINGS, Vocabulary

# Numbers of bars that are compared as one group.
PERIODS = (1, 2, 4)
_NOT_COMPARED = frozenset({"BOS", "PAD", "Velocity", "Tempo", "TimeSig"})


class RepetitionGuard:
    """Follows one stream token by token. Does nothing in encodings without bars.

    Args:
        vocabulary: what the tokens mean.
        prompt: the tokens before the first new one.
        most: how often the same bars may be played in a row.
    """

    def __init__(self, vocabulary: Vocabulary, prompt: Iterable[int], *, most: int) -> None:
        self._kinds = vocabulary.kinds
        self._bar_tokens = vocabulary.ids_of.get("Bar", [])
        self._bars: list[tuple[int, ...]] = []
        self._bar: list[int] | None = None  # the current bar; None before the first
        # By period: how many of the last bars equal the bar one period earlier.
        self._num_equal = dict.fromkeys(PERIODS, 0)
        self._most = dict.fromkeys(PERIODS, most)
        # Bars that would be one repetition too many, as long as the current bar may still become one of them.
        self._forbidden: list[tuple[int, ...]] = []
        heard = dict(self._most)
        for token in prompt:
            self.take(token)
            for period in PERIODS:
                heard[period] = max(heard[period], self._num_equal[period] // period + 1)
        self._most = heard
        self._forbidden = self._find_forbidden()

    def copy(self) -> RepetitionGuard:
        """An independent guard in the same state."""
        other = copy.copy(self)
        other._bars, other._num_equal = list(self._bars), dict(self._num_equal)
        other._forbidden = list(self._forbidden)
        other._bar = None if self._bar is None else list(self._bar)
        return other

    def take(self, token: int) -> None:
        """Note the next token of the stream."""
        kind = self._kinds[token]
        if kind == "Bar":
            if self._bar is not None:
                self._bars.append(tuple(self._bar))
                for period in PERIODS:
                    equal = len(self._bars) > period and self._bars[-1] == self._bars[-1 - period]
                    self._num_equal[period] = self._num_equal[period] + 1 if equal else 0
            self._bar = []
            self._forbidden = self._find_forbidden()
        elif self._bar is not None and kind not in _NOT_COMPARED:
            place = len(self._bar)
            self._bar.append(token)
            self._forbidden = [bar for bar in self._forbidden if place < len(bar) and bar[place] == token]

    def repeating(self) -> list[int]:
        """Tokens that would continue a repetition; usually none."""
        if not self._forbidden or self._bar is None:
            return []
        place = len(self._bar)
        found = []
        for bar in self._forbidden:
            if not bar:  # silent bars repeat
                found += self._bar_tokens
            elif place < len(bar) and self._kinds[bar[place]] in NOTE_BEGINNINGS:
                found.append(bar[place])
        return found

    def _find_forbidden(self) -> list[tuple[int, ...]]:
        """Bars that, played next, would exceed the limit of a period."""
        return [
            self._bars[-period]
            for period in PERIODS
            if len(self._bars) >= period and (self._num_equal[period] + 1) // period + 1 > self._most[period]
        ]
