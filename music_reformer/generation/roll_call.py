"""Who is to play, told to the model again while it composes (`midi/instrumentation.py`).

Names in front of the cut wear off: a model lets some of the instruments never come in, and others go. So they are named
once more in front of a bar line that it has written, as in training in front of every section: when the bars are over
that a name holds for, or as soon as one that was asked for is silent for a bar.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

from music_reformer.midi.bars import BarReader
from music_reformer.midi.instrumentation import NAMED_BARS


class RollCall:
    """Follows one stream, token by token.

    Args:
        reader: of a vocabulary with bars and instruments.
        prompt: the tokens before the first new one; its last bar line is that of the first bar to come.
        asked: instruments that were asked for, -1 for drums; none: those that were heard lately go on.
    """

    def __init__(self, reader: BarReader, prompt: Iterable[int], asked: Iterable[int] = ()) -> None:
        self._reader = reader
        self._asked = frozenset(asked)
        self._bars: list[frozenset[int]] = []  # who played in each bar so far, the one being played left out
        self._playing: set[int] = set()
        for token in prompt:
            self._hear(token)
        self._called = len(self._bars)  # bars when they were last named

    def copy(self) -> RollCall:
        """Another one at the same place."""
        other = copy.copy(self)
        other._bars, other._playing = list(self._bars), set(self._playing)
        return other

    def names(self) -> frozenset[int]:
        """Who is to play now."""
        return self._asked or frozenset().union(*self._bars[-NAMED_BARS:])

    def take(self, token: int) -> list[int]:
        """A token has been played; what the model is to read in front of it: mostly nothing."""
        if not self._hear(token):
            return []
        since = self._bars[self._called :]
        if len(since) < NAMED_BARS and self._asked <= frozenset().union(*since):
            return []
        self._called = len(self._bars)
        return self._reader.naming(self.names()) if self.names() else []

    def _hear(self, token: int) -> bool:
        """Note a token; whether it is a bar line."""
        program = self._reader.program_of(token)
        if program is not None:
            self._playing.add(program)
        if not self._reader.is_bar(token):
            return False
        self._bars.append(frozenset(self._playing))
        self._playing.clear()
        return True
