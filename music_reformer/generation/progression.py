"""Progression: leads the chords of the new bars on as those of the piece went on (Parts encoding).

The model writes the chords of a bar before its notes. Left alone, it settles on one chord after some bars: what it has
written last is what it finds likeliest next. So the chords of the next bar lean to those that followed like chords in
the piece before the cut: the longer the roots of the last bars agree with those in front of an earlier bar, the more
the chords of that bar count. In a piece that goes round in four chords the new bars do so, too; in one that repeats
nothing, each chord leads on to one that followed it. The model's own preference still counts. From nothing, the new
bars take the place of the piece, and a chord that has stayed for some bars becomes rarer.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from music_reformer.generation.parts_follower import NOBODY, PartsFollower
from music_reformer.midi.vocabulary import Vocabulary

CHORD_KINDS = ("ChordRoot", "NoChord", "ChordQuality", "ChordBass")
# The most bars that are compared, and how much more an earlier bar counts for each that agrees in a piece of so many
# bars. In a shorter piece it is less, for that would only be repeated as it is.
LONGEST_CONTEXT, PER_BAR, ENOUGH_BARS = 8, 4.0, 32
# What tokens that never followed share; and what remains of the model's own logits, which by themselves stay on a chord
# that they have stayed on for some bars.
NEVER_FOLLOWED, OWN = 0.1, 0.25
# The same from nothing, where little has been heard; and what remains there of the share of a root for each further bar
# that it has stayed.
NEVER_FOLLOWED_FROM_NOTHING, STAYING = 1.0, 0.5
# A chord as a bar's context: its root, or no chord, or a bar without chords.
NO_ROOT, NOT_WRITTEN = -1, -2
END = -1  # stands for all tokens that end the chords of a bar


class Progression:
    """Follows one stream from the line of the first new bar on, token by token.

    Args:
        vocabulary: of the tokenizer.
        prompt: the tokens before the first new one, the line of the first new bar included.
        metre: of that bar.
        semitones: how much higher the new bars are than the old ones.
        weight: of what is added to logits; 0: the model is only held to writing chords where the piece has them.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        prompt: Sequence[int],
        *,
        metre: tuple[int, int],
        semitones: int = 0,
        weight: float = 1.0,
    ) -> None:
        self._kinds, self._values, self._weight = vocabulary.kinds, vocabulary.values, min(1.0, weight)
        ids_of = vocabulary.ids_of
        self._ends = np.array([*ids_of["Program"], *ids_of["Bar"]])  # tokens that end the chords of a bar
        self._choices = np.array([i for kind in (*CHORD_KINDS, "Position") for i in ids_of[kind]])
        bars = _chords_of_bars(vocabulary, prompt)
        self._written = [_moved(vocabulary, chords, semitones) for chords in bars[:-1]]
        self._heard = [self._root(chords) for chords in self._written]
        self._roots = list(self._heard)
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

    def _root(self, chords: Sequence[int]) -> int:
        if not chords:
            return NOT_WRITTEN
        return self._values[chords[0]] if self._kinds[chords[0]] == "ChordRoot" else NO_ROOT

    def _find_expected(self) -> list[tuple[float, tuple[int, ...]]]:
        """The chords of each earlier bar that has any, and how much they count."""
        recent, expected = self._roots[-LONGEST_CONTEXT:][::-1], []
        per_bar = PER_BAR if self._from_nothing else PER_BAR ** min(1.0, len(self._written) / ENOUGH_BARS)
        for bar, chords in enumerate(self._written):
            if chords:
                before = self._heard[max(0, bar - LONGEST_CONTEXT) : bar][::-1]
                agree = [mine == theirs for mine, theirs in zip(recent, before, strict=False)]
                length = agree.index(False) if False in agree else len(agree)
                expected.append((per_bar**length, chords))
        return expected

    def _stayed(self, root: int) -> int:
        """For how many of the last bars a root has been that of the bar."""
        differs = (number for number, other in enumerate(reversed(self._roots)) if other != root)
        return next(differs, len(self._roots))

    def take(self, token: int) -> None:
        """Note the next token."""
        place = self._place
        place.follow(token)
        if place.kind == "Bar":
            self._roots.append(self._root(self._now))
            if self._from_nothing:
                self._written, self._heard = [*self._written, tuple(self._now)], self._roots
                self._is_written = self._is_written or bool(self._now)
            self._now = []
            self._expected = self._find_expected()
        elif place.part == NOBODY and place.kind in (*CHORD_KINDS, "Position"):
            self._now.append(token)

    def narrowed(self, allowed_V: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The allowed tokens without those that would begin the notes of a bar before its chords are written."""
        if not self._is_written or self._place.part != NOBODY or self._now:
            return allowed_V
        narrowed_V = allowed_V.copy()
        narrowed_V[self._ends] = False
        return narrowed_V if narrowed_V.any() else allowed_V

    def lean(self, logits_V: NDArray[np.float32], allowed_V: NDArray[np.bool_]) -> None:
        """Lead, in place, to chords that followed like ones in the piece.

        Other tokens than chords and what ends them keep their probability, and so do programs among each other.
        """
        written = tuple(self._now)
        following: dict[int, float] = defaultdict(float)
        for amount, chords in self._expected:
            if chords[: len(written)] == written:
                following[chords[len(written)] if len(chords) > len(written) else END] += amount
        if not self._weight or self._place.part != NOBODY or not following:
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


def _chords_of_bars(vocabulary: Vocabulary, ids: Sequence[int]) -> list[tuple[int, ...]]:
    """The tokens of the chords of each bar, positions included."""
    bars: list[list[int]] = []
    at: list[int] = []  # the token that says where the next chord begins, if one does
    in_front, directed, last = False, False, ""
    for token in ids:
        kind = vocabulary.kinds[token]
        if kind in ("Directions", "Music"):
            directed = kind == "Directions"
        elif directed:
            continue
        elif kind == "Bar":
            bars.append([])
            in_front, at = True, []
        elif kind == "Program":
            in_front = False
        elif in_front and kind in CHORD_KINDS:
            bars[-1] += [*at, token]
            at = []
        elif in_front:
            at = [token] if kind == "Position" and last != "Cut" else []
        last = kind
    return [tuple(chords) for chords in bars]


def _moved(vocabulary: Vocabulary, chords: tuple[int, ...], semitones: int) -> tuple[int, ...]:
    """The tokens of chords, moved up by `semitones`."""

    def moved(token: int) -> int:
        kind, value = vocabulary.kinds[token], vocabulary.values[token]
        return vocabulary.ids[kind, (value + semitones) % 12] if kind in ("ChordRoot", "ChordBass") else token

    return tuple(map(moved, chords))
