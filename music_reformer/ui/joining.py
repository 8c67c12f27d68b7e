"""A visitor's order to join bars of several variations. Every number comes from the network and is checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from music_reformer.config import Checked, require
from music_reformer.config.checked import bounded
from music_reformer.generation.request import MAX_TRACK
from music_reformer.ui.calls import read_fields
from music_reformer.ui.export import MAX_TICK
from music_reformer.ui.order import MAX_BARS, MAX_ORDERED_VARIATIONS


@dataclass
class JoinFields(Checked):
    """The JSON of a join; `since`, `until`, `programs` and `tracks` say where new notes are, as for an export."""

    # Keys of variations that were composed by one order.
    variations: list[str] = field(default_factory=list)
    # For each new bar, the index in `variations` of the one that it is taken from.
    bars: list[int] = bounded([], 0, MAX_ORDERED_VARIATIONS - 1, size=(1, MAX_BARS))
    since: int = bounded(0, 0, MAX_TICK)
    until: int = bounded(-1, -1, MAX_TICK, hint="-1 means the end")
    programs: list[int] = bounded([], -1, 127, size=(0, 129), hint="-1 means drums")
    tracks: list[int] = bounded([], 0, MAX_TRACK, size=(0, 256))

    @classmethod
    def read(cls, data: Any) -> JoinFields:
        """Parse the JSON that a visitor sent. Raises `UserError` for invalid fields."""
        return read_fields(cls, data, name="join")

    def check(self) -> None:
        """Raise `UserError` for invalid fields, and for a bar of a variation that is not listed."""
        super().check()
        most = MAX_ORDERED_VARIATIONS
        require(2 <= len(self.variations) <= most, f"variations must be the keys of 2 to {most} variations.")
        last = len(self.variations) - 1
        require(max(self.bars) <= last, f"bars ({max(self.bars)}) must be 0 to {last}: places in variations.")
        is_open = self.until < 0
        require(is_open or self.until > self.since, f"until ({self.until}) must come after since ({self.since}).")
