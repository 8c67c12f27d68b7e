"""MonotonyGuard: keeps every part from playing the same bar over and over (Parts encoding).

`repetition_guard.py` stops groups of bars that all parts repeat exactly. Loops with an occasional small change in one
part or another are just as dull. So a bar of a part may occur a few times within the last bars, or as often as one of
its bars did within as many bars of the prompt: an ostinato may continue, but a tune may not turn into one. Drums are
exempt: a beat is meant to repeat.
"""

from __future__ import annotations

import copy
from collections import Counter, deque
from collections.abc import Iterable
from math import ceil

from music_reformer.generation.parts_follower import NOBODY, PartsFollower
from music_reformer.midi.parts_reader import Part
from music_reformer.midi.vocabulary import DRUMS, NOTE_BEGINNINGS, Vocabulary

# Number of last bars, the current one included, in which equal bars are counted; how many are always allowed.
HORIZON, FEWEST = 16, 3
# Kinds of tokens that make two bars of a part different.
_COMPARED = NOTE_BEGINNINGS | {"Position", "Duration"}


class MonotonyGuard:
    """Follows one stream, token by token.

    Args:
        vocabulary: what the tokens mean.
        prompt: the tokens between the first bar line and the first new one.
        metre: of the first bar.
    """

    def __init__(self, vocabulary: Vocabulary, prompt: Iterable[int], *, metre: tuple[int, int]) -> None:
        self._kinds = vocabulary.kinds
        self._place = PartsFollower(vocabulary, metre)
        # The last bars of each part, as the tokens that are compared; a silent bar is empty.
        self._bars: dict[Part, deque[tuple[int, ...]]] = {}
        self._num_bars = 0
        self._now: dict[Part, list[int]] = {}  # the current bar
        self._stale: list[tuple[int, ...]] = []  # overused bars that the current part may still be playing
        self._most: dict[Part, int] = {}
        heard: dict[Part, int] = {}  # for each part, the largest number of equal bars within the horizon
        for token in prompt:
            self.take(token)
            if self._kinds[token] == "Bar":
                for part, bars in self._bars.items():
                    heard[part] = max(heard.get(part, 0), bars.count(bars[-1]) if bars[-1] else 0)
        # Counts of a prompt shorter than the horizon are scaled up to it.
        scale = (HORIZON - 1) / min(HORIZON - 1, max(1, self._num_bars - 1))
        self._most = {part: max(FEWEST, 1 + ceil((count - 1) * scale)) for part, count in heard.items()}
        self._find_stale()

    def copy(self) -> MonotonyGuard:
        """An independent guard in the same state."""
        other = copy.copy(self)
        other._place, other._stale = self._place.copy(), list(self._stale)
        other._now = {part: list(tokens) for part, tokens in self._now.items()}
        other._bars = {part: bars.copy() for part, bars in self._bars.items()}
        return other

    def take(self, token: int) -> None:
        """Note the next token of the stream."""
        place = self._place
        bar, part = place.bar, place.part
        place.follow(token)
        if place.bar != bar:
            for each in {*self._bars, *self._now}:
                self._bars.setdefault(each, deque(maxlen=HORIZON)).append(tuple(self._now.get(each, ())))
            self._now, self._stale = {}, []
            self._num_bars += 1
        elif place.part != part:
            self._find_stale()
        elif place.part != NOBODY and place.kind in _COMPARED:
            now = self._now.setdefault(place.part, [])
            number = len(now)
            now.append(token)
            self._stale = [each for each in self._stale if number < len(each) and each[number] == token]

    def _find_stale(self) -> None:
        """Find the bars that the current part has played too often and may be playing again."""
        part = self._place.part
        if part[0] == DRUMS:
            self._stale = []
            return
        now, most = tuple(self._now.get(part, ())), self._most.get(part, FEWEST)
        last = list(self._bars.get(part, ()))[1 - HORIZON :]
        self._stale = [bar for bar, count in Counter(last).items() if bar and count >= most and bar[: len(now)] == now]

    def repeating(self) -> list[int]:
        """The tokens of notes that would continue a bar that has been played too often; usually none."""
        place = len(self._now.get(self._place.part, ()))
        next_tokens = {bar[place] for bar in self._stale if place < len(bar)}
        return [token for token in next_tokens if self._kinds[token] in NOTE_BEGINNINGS]
