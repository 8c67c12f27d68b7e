"""Director: tells the model, while it composes, to continue in the manner of the piece (`midi/directions.py`).

Left to itself, a continuation drifts: instruments fall silent, the texture thins out or thickens. So the directions
that describe the last bars before the cut are repeated regularly: which parts play, how densely, in which register, and
how many notes at once; and, if the piece should end, in how many bars.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from music_reformer.generation.cast import Cast
from music_reformer.midi.directions import Directions, PartDirection, describe
from music_reformer.midi.key import Key
from music_reformer.midi.parts import MAX_COUNT
from music_reformer.midi.parts_reader import PartsReader
from music_reformer.midi.vocabulary import Vocabulary

HEARD_BARS = 16  # the directions describe this many bars before the cut
DIRECTED_BARS = 4  # bars after which the directions are repeated


class Director:
    """Follows one stream of the Parts encoding, token by token.

    Args:
        reader: of the vocabulary.
        vocabulary: of the tokenizer.
        prompt: the tokens before the first new one, the bar line of the first new bar included.
        asked: programs of the requested instruments, -1 for drums; empty: those heard in the last bars.
        ends_in: number of new bars after which the piece ends; None: the end is open.
        key: of the new bars; None: as before.
        cast: which parts play the new bars, and how these should differ from the last ones; None: as before.
    """

    def __init__(
        self,
        reader: PartsReader,
        vocabulary: Vocabulary,
        prompt: Sequence[int],
        asked: Collection[int] = (),
        *,
        ends_in: int | None = None,
        key: Key | None = None,
        cast: Cast | None = None,
    ) -> None:
        self._reader, self._vocabulary = reader, vocabulary
        cast = cast or Cast()
        self._prompt, self._asked, self._key = np.array(prompt), asked, key
        self.directions = self._in_manner(heard_bars(reader, self._prompt), cast)
        self._left = ends_in  # bars until the end, including the current one
        self._bars_told = 1

    def _in_manner(self, heard: slice | None, cast: Cast) -> Directions:
        """Directions that describe some bars of the prompt, changed as wished."""
        as_before = _as_before(self._reader, self._prompt, heard, self._asked, cast)
        return replace(_wished(as_before, cast), key=self._key or as_before.key)

    def change_manner(self, heard: slice, cast: Cast) -> list[int]:
        """From this bar line on, describe other bars of the prompt; returns the directions that the model reads now."""
        self.directions, self._bars_told = self._in_manner(heard, cast), 1
        return self.opening()

    def copy(self) -> Director:
        """An independent director in the same state."""
        return copy.copy(self)

    def opening(self) -> list[int]:
        """The directions, which the model reads after the prompt and again every `DIRECTED_BARS` bars."""
        left = self._left if self._left is not None and 1 <= self._left <= MAX_COUNT else None
        return replace(self.directions, ends_in=left).tokens(self._vocabulary)

    def take(self, token: int) -> list[int]:
        """Follow the stream by one token; returns the directions that the model reads after it, usually none."""
        if not self._reader.is_bar(token):
            return []
        if self._left is not None:
            self._left -= 1
        if self._bars_told < DIRECTED_BARS:
            self._bars_told += 1
            return []
        self._bars_told = 1
        return self.opening()


def heard_bars(reader: PartsReader, ids: np.ndarray, num_bars: int = HEARD_BARS) -> slice | None:
    """The tokens of the last `num_bars` bars, counted back from the last one with notes; None if no bar has any."""
    lines, starts = reader.bars(ids), reader.part_starts(ids)
    if not len(starts):
        return None
    end = int(np.searchsorted(lines, starts[-1], side="right"))
    return slice(int(lines[max(0, end - num_bars)]), int(lines[end]) if end < len(lines) else len(ids))


def _as_before(
    reader: PartsReader, ids: np.ndarray, span: slice | None, asked: Collection[int], cast: Cast
) -> Directions:
    """Directions that describe some bars, limited to the requested instruments."""
    (heard,) = describe(reader.notes(ids[span]), [0]) if span is not None else (Directions(),)
    parts = tuple(
        each for each in heard.parts or () if (not asked or each.part[0] in asked) and cast.may_play(each.part)
    )
    unheard = set(asked) - {each.part[0] for each in parts}
    new = {(program, 1) for program in unheard if cast.may_play((program, 1))} | cast.newcomers
    return replace(heard, parts=(*parts, *map(PartDirection, sorted(new))) or None, ends_in=None)


def _wished(directions: Directions, cast: Cast) -> Directions:
    """The directions with the levels of each part raised or lowered by the steps of its wishes."""
    if directions.parts is None:
        return directions

    def wished(each: PartDirection) -> PartDirection:
        wishes = cast.wishes_of(each.part)
        return each.shifted({kind: getattr(wishes, kind) for kind in ("density", "register", "polyphony")})

    return replace(directions, parts=tuple(map(wished, directions.parts)))
