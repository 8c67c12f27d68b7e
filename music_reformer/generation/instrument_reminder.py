"""InstrumentReminder: repeats the names of the instruments while the model composes (`midi/instrumentation.py`).

Names given at the cut lose their effect: some instruments never enter, others drop out. So they are repeated before a
bar line that the model has written, as training has them before every section: once the bars that the last naming
covers are over, or as soon as a requested instrument has been silent for a bar.
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
        asked: requested instruments, -1 for drums; empty: those heard in the last bars.
    """

    def __init__(self, reader: BarReader, prompt: Iterable[int], asked: Iterable[int] = ()) -> None:
        self._reader = reader
        self._asked = frozenset(asked)
        self._bars: list[frozenset[int]] = []  # instruments that played in each complete bar
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
        """Note the next token; returns tokens that the model should read before it, usually none."""
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
