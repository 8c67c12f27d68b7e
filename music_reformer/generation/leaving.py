"""Leaving: keeps the model's probability of leaving a part when some ways out are forbidden (Parts encoding).

A continuation may not end, change its metre, or go on to a resting part. If such tokens were merely masked, the
likeliest remaining ones would often be further notes of the current part that the model does not want: clusters at the
end of the bar. So their probability is given to the ways out that are allowed.
"""

from __future__ import annotations

import copy

import numpy as np
from numpy.typing import NDArray

from music_reformer.generation.parts_follower import NOBODY, Exits, PartsFollower
from music_reformer.midi.vocabulary import Vocabulary


class Leaving:
    """Follows one stream token by token, from the line of the first new bar on.

    Args:
        vocabulary: of the tokenizer.
        metre: metre of that bar.
    """

    def __init__(self, vocabulary: Vocabulary, *, metre: tuple[int, int]) -> None:
        self._place, self._exits = PartsFollower(vocabulary, metre), Exits(vocabulary)

    def copy(self) -> Leaving:
        """An independent copy at the same place."""
        other = copy.copy(self)
        other._place = self._place.copy()
        return other

    def take(self, token: int) -> None:
        """Note the next token."""
        self._place.follow(token)

    def keep(self, logits_V: NDArray[np.float32], allowed_V: NDArray[np.bool_]) -> None:
        """Distribute, in place, the probability of forbidden ways out over the allowed ones, in proportion to theirs.

        Not before the first part of a bar: if the model wanted to end the piece there, the probability would go to an
        empty bar instead.
        """
        if self._place.part == NOBODY:
            return
        ways = self._exits.behind(self._place.order)
        is_open = allowed_V[ways]
        if is_open.any() and not is_open.all():
            closed = np.logaddexp.reduce(logits_V[ways]) - np.logaddexp.reduce(logits_V[ways[is_open]])
            logits_V[ways[is_open]] += closed
