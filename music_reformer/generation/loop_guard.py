"""Out of the groove: a model that has played the same bars many times in a row finds nothing likelier than once more.

Bars are the same if their tokens are, velocities aside. A bar, a pair or four of bars may come so often in a row as the
request says, or as the prompt itself does, which may be a loop. Then the beginnings of the notes that would repeat it
once more are made unlikely, one after another, until the music goes its own way again.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

from music_reformer.midi.vocabulary import NOTE_BEGINNINGS, Vocabulary

# Bars that may be a loop together.
PERIODS = (1, 2, 4)
# Added to the logits of what would go on with the loop: 150 times rarer, and a bar has several notes.
LOOP_LOGIT = -5.0
_NOT_COMPARED = frozenset({"BOS", "PAD", "Velocity", "Tempo", "TimeSig"})


class LoopGuard:
    """Follows one stream, token by token; encodings without bars are let alone.

    Args:
        vocabulary: what the tokens mean.
        prompt: the tokens before the first new one.
        most: times that the same bars may come in a row.
    """

    def __init__(self, vocabulary: Vocabulary, prompt: Iterable[int], *, most: int) -> None:
        self._kinds = vocabulary.kinds
        self._bar_tokens = vocabulary.ids_of.get("Bar", [])
        self._bars: list[tuple[int, ...]] = []
        self._bar: list[int] | None = None  # the one being played; None before the first
        # By period: how many of the last bars are the same as the one a period before.
        self._same = dict.fromkeys(PERIODS, 0)
        self._most = dict.fromkeys(PERIODS, most)
        # What would be a repetition too many, as long as the bar being played may still become it.
        self._feared: list[tuple[int, ...]] = []
        heard = dict(self._most)
        for token in prompt:
            self.take(token)
            for period in PERIODS:
                heard[period] = max(heard[period], self._same[period] // period + 1)
        self._most = heard
        self._fear()

    def copy(self) -> LoopGuard:
        """Another one at the same place."""
        other = copy.copy(self)
        other._bars, other._same, other._feared = list(self._bars), dict(self._same), list(self._feared)
        other._bar = None if self._bar is None else list(self._bar)
        return other

    def take(self, token: int) -> None:
        """A token has been played."""
        kind = self._kinds[token]
        if kind == "Bar":
            if self._bar is not None:
                self._bars.append(tuple(self._bar))
                for period in PERIODS:
                    same = len(self._bars) > period and self._bars[-1] == self._bars[-1 - period]
                    self._same[period] = self._same[period] + 1 if same else 0
            self._bar = []
            self._fear()
        elif self._bar is not None and kind not in _NOT_COMPARED:
            place = len(self._bar)
            self._bar.append(token)
            self._feared = [bar for bar in self._feared if place < len(bar) and bar[place] == token]

    def discouraged(self) -> list[int]:
        """Tokens that would go on with a loop; mostly none."""
        if not self._feared or self._bar is None:
            return []
        place = len(self._bar)
        found = []
        for bar in self._feared:
            if not bar:  # silence, bar after bar
                found += self._bar_tokens
            elif place < len(bar) and self._kinds[bar[place]] in NOTE_BEGINNINGS:
                found.append(bar[place])
        return found

    def _fear(self) -> None:
        self._feared = [
            self._bars[-period]
            for period in PERIODS
            if len(self._bars) >= period and (self._same[period] + 1) // period + 1 > self._most[period]
        ]
