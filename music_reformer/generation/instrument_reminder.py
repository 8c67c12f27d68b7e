"""InstrumentReminder: tells the model again who plays, while it composes (`midi/instrumentation.py`).

The names in front of the cut lose their effect: some instruments never come in, others drop out. So they are named
again in front of a bar line that the model has written, as in training in front of every section: when the bars that
the last naming covers are over, or as soon as an instrument that was asked for has been silent for a bar.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

from music_reformer.midi.bars import BarReader
from music_reformer.midi.instrumentation import NAMED_BARS


class InstrumentReminder:
    """Follows one stream, token by token.

    Args:
        reader: of a vocabulary with bars and instruments.
        prompt: the tokens before the first new one, the bar line of the first new bar included.
        asked: instruments that were asked for, -1 for drums; none: those heard in the last bars go on.
    """

    def __init__(self, reader: BarReader, prompt: Iterable[int], asked: Iterable[int] = ()) -> None:
        self._reader = reader
        self._asked = frozenset(asked)
        self._bars: list[frozenset[int]] = []  # who played in each complete bar
        self._playing: set[int] = set()
        for token in prompt:
            self._hear(token)
        self._last_named = len(self._bars)  # number of bars when they were last named

    def copy(self) -> InstrumentReminder:
        """An independent reminder in the same state."""
        other = copy.copy(self)
        other._bars, other._playing = list(self._bars), set(self._playing)
        return other

    def names(self) -> frozenset[int]:
        """Instruments that should play now."""
        return self._asked or frozenset().union(*self._bars[-NAMED_BARS:])

    def take(self, token: int) -> list[int]:
        """Note the next token; returns what the model reads in front of it, which is mostly nothing."""
        if not self._hear(token):
            return []
        since = self._bars[self._last_named :]
        if len(since) < NAMED_BARS and self._asked <= frozenset().union(*since):
            return []
        self._last_named = len(self._bars)
        return self._reader.naming(self.names()) if self.names() else []

    def _hear(self, token: int) -> bool:
        """Note a token; returns whether it is a bar line."""
        program = self._reader.program_of(token)
        if program is not None:
            self._playing.add(program)
        if not self._reader.is_bar(token):
            return False
        self._bars.append(frozenset(self._playing))
        self._playing.clear()
        return True
