"""Progression: lets the chords of the new bars follow one another as they did in the piece (Parts encoding).

The model writes the chords of a bar before its notes. Left alone, it stays on one chord after some bars, because it
finds the last chord the likeliest next one. So the next bar is led to chords that followed similar chords before the
cut: the more of the last bars agree in their roots with those before an earlier bar, the more the chords of that bar
count. A piece that repeats four chords continues to do so; in one without repetition, each chord leads to one that has
followed it. The model's own preference still counts. From nothing, the new bars serve as the piece, and a chord becomes
the rarer the longer it stays.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from music_reformer.generation.chord_tokens import CHORD_KINDS, chords_of_bars, modulated_chords
from music_reformer.generation.parts_follower import NOBODY, PartsFollower
from music_reformer.midi.modulation import UNCHANGED, Modulation
from music_reformer.midi.vocabulary import Vocabulary

# The most bars that are compared; the factor by which an earlier bar counts more for each bar that agrees; and the
# number of bars of a piece from which that factor holds. It is smaller in a shorter piece, which would be copied.
LONGEST_CONTEXT, PER_BAR, ENOUGH_BARS = 8, 4.0, 32
# Weight that all tokens share, even if they never followed, beside a weight of 1 for those that did; and the factor of
# the model's own logits, which alone would stay on one chord.
NEVER_FOLLOWED, OWN = 0.1, 0.25
# From nothing: the same weight, larger because there are few bars to follow; and the factor of a root's share for each
# bar that it has stayed.
NEVER_FOLLOWED_FROM_NOTHING, STAYING = 1.0, 0.5
# In place of the root of a bar: it begins without a chord; it has no chord tokens.
NO_ROOT, NOT_WRITTEN = -1, -2
END = -1  # stands for all tokens that end the chords of a bar


class Progression:
    """Follows one stream from the line of the first new bar on, token by token.

    Args:
        vocabulary: of the tokenizer.
        prompt: the tokens before the first new one, the line of the first new bar included.
        metre: of that bar.
        modulation: from the key of the old bars to that of the new ones.
        weight: how much the piece counts against the model's own logits, from 0 (not at all); 1 and more count as 1.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        prompt: Sequence[int],
        *,
        metre: tuple[int, int],
        modulation: Modulation = UNCHANGED,
        weight: float = 1.0,
    ) -> None:
        self._kinds, self._values, self._weight = vocabulary.kinds, vocabulary.values, min(1.0, weight)
        ids_of = vocabulary.ids_of
        self._ends = np.array([*ids_of["Program"], *ids_of["Bar"]])  # tokens that end the chords of a bar
        self._choices = np.array([i for kind in (*CHORD_KINDS, "Position") for i in ids_of[kind]])
        bars = list(chords_of_bars(vocabulary, prompt))
        self._written = [modulated_chords(vocabulary, chords, modulation) for chords in bars[:-1]]
        self._roots = [self._root(chords) for chords in self._written]  # and those of the new bars
        self._from_nothing = not self._written
        self._is_written = any(self._written[-LONGEST_CONTEXT:])
        self._place = PartsFollower(vocabulary, metre)
        self._now: list[int] = []  # tokens of the chords of the current bar
        self._expected = self._find_expected()

    def copy(self) -> Progression:
        """An independent progression at the same place."""
        other = copy.copy(self)
        other._place, other._roots, other._now = self._place.copy(), list(self._roots), list(self._now)
        return other

    def go_on_from(self, bar: int) -> None:
        """Continue, at a bar line, as if the bars of the piece before `bar` had just been played."""
        self._roots += self._roots[max(0, bar - LONGEST_CONTEXT) : bar]
        self._expected = self._find_expected()

    def _root(self, chords: Sequence[int]) -> int:
        if not chords:
            return NOT_WRITTEN
        return self._values[chords[0]] if self._kinds[chords[0]] == "ChordRoot" else NO_ROOT

    def _find_expected(self) -> list[tuple[float, tuple[int, ...]]]:
        """How much each earlier bar with chords counts, and its chords."""
        recent, expected = self._roots[-LONGEST_CONTEXT:][::-1], []
        per_bar = PER_BAR if self._from_nothing else PER_BAR ** min(1.0, len(self._written) / ENOUGH_BARS)
        for bar, chords in enumerate(self._written):
            if chords:
                before = self._roots[max(0, bar - LONGEST_CONTEXT) : bar][::-1]
                agree = [mine == theirs for mine, theirs in zip(recent, before, strict=False)]
                length = agree.index(False) if False in agree else len(agree)
                expected.append((per_bar**length, chords))
        return expected

    def _stayed(self, root: int) -> int:
        """How many of the last bars had this root, without a break."""
        differs = (number for number, other in enumerate(reversed(self._roots)) if other != root)
        return next(differs, len(self._roots))

    def take(self, token: int) -> None:
        """Note the next token."""
        place = self._place
        place.follow(token)
        if place.kind == "Bar":
            self._roots.append(self._root(self._now))
            if self._from_nothing:
                self._written = [*self._written, tuple(self._now)]
                self._is_written = self._is_written or bool(self._now)
            self._now = []
            self._expected = self._find_expected()
        elif place.part == NOBODY and place.kind in (*CHORD_KINDS, "Position"):
            self._now.append(token)

    def narrowed(self, allowed_V: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The allowed tokens without those that would end the chords of a bar before the first is written."""
        if not self._is_written or self._place.part != NOBODY or self._now:
            return allowed_V
        narrowed_V = allowed_V.copy()
        narrowed_V[self._ends] = False
        return narrowed_V if narrowed_V.any() else allowed_V

    def lean(self, logits_V: NDArray[np.float32], allowed_V: NDArray[np.bool_]) -> None:
        """Raise, in place, the logits of chords that followed similar ones in the piece.

        Chord tokens and the tokens that end the chords of a bar keep their total probability; all other tokens keep
        theirs, and so do programs relative to one another.
        """
        if self._place.part != NOBODY:
            return
        written = tuple(self._now)
        following: dict[int, float] = defaultdict(float)
        for amount, chords in self._expected:
            if chords[: len(written)] == written:
                following[chords[len(written)] if len(chords) > len(written) else END] += amount
        if not following:
            return
        never, total = NEVER_FOLLOWED, sum(following.values())
        if self._from_nothing:
            never = NEVER_FOLLOWED_FROM_NOTHING
            for token in following if not written else ():
                if self._kinds[token] == "ChordRoot":
                    following[token] *= STAYING ** self._stayed(self._values[token])
        choices, ends = self._choices[allowed_V[self._choices]], self._ends[allowed_V[self._ends]]
        end = np.logaddexp.reduce(logits_V[ends]) if len(ends) else np.float32(-np.inf)
        own = np.append(logits_V[choices], end)
        counts = np.array([following.get(token, 0.0) for token in (*choices.tolist(), END)])
        shares = never / len(counts) + counts / total
        new = self._weight * np.log(shares) + (1 - self._weight * (1 - OWN)) * own
        new += np.logaddexp.reduce(own) - np.logaddexp.reduce(new)
        logits_V[choices] = new[:-1]
        if len(ends):
            logits_V[ends] += new[-1] - end
