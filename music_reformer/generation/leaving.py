"""Leaving: leaves every part as often as the model would, whichever ways out are closed (Parts encoding).

A continuation may not end, nor change its metre, nor go on to a part that rests. Where the model would do so, it takes
one of the ways that are open. If these were only forbidden, the likeliest of what is left would often be notes of the
current part that the model does not want: clusters at the end of the bar.
"""

from __future__ import annotations

import copy

import numpy as np
from numpy.typing import NDArray

from music_reformer.generation.parts_follower import NOBODY, Exits, PartsFollower
from music_reformer.midi.vocabulary import Vocabulary


class Leaving:
    """Follows one stream from the line of the first new bar on, token by token.

    Args:
        vocabulary: of the tokenizer.
        metre: of that bar.
    """

    def __init__(self, vocabulary: Vocabulary, *, metre: tuple[int, int]) -> None:
        self._place, self._exits = PartsFollower(vocabulary, metre), Exits(vocabulary)

    def copy(self) -> Leaving:
        """An independent one at the same place."""
        other = copy.copy(self)
        other._place = self._place.copy()
        return other

    def take(self, token: int) -> None:
        """Note the next token."""
        self._place.follow(token)

    def keep(self, logits_V: NDArray[np.float32], allowed_V: NDArray[np.bool_]) -> None:
        """Give, in place, the probability of ways out that are closed to the open ones, in proportion.

        In front of the first part of a bar there is nothing to leave: where the model would end the piece there, an
        empty bar would be wrong.
        """
        if self._place.part == NOBODY:
            return
        ways = self._exits.behind(self._place.order)
        is_open = allowed_V[ways]
        if is_open.any() and not is_open.all():
            closed = np.logaddexp.reduce(logits_V[ways]) - np.logaddexp.reduce(logits_V[ways[is_open]])
            logits_V[ways[is_open]] += closed
