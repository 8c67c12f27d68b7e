"""A visitor's order to remove, add and change single notes. Every number comes from the network and is checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from music_reformer.config import Checked, require
from music_reformer.config.checked import bounded
from music_reformer.midi.edit import MAX_TICK, Change, FileNote
from music_reformer.midi.score import KEPT_LIMITS
from music_reformer.ui.calls import read_fields

# So many changes fit into a request with room to spare.
MAX_CHANGES = 800
# The numbers that identify a note, and their ranges. An existing note may have length 0.
NUMBERS = ("track", "tick", "length", "pitch", "velocity")
LOWEST = (0, 0, 1, 0, 1)
HIGHEST = (KEPT_LIMITS.max_instruments, MAX_TICK // 2, MAX_TICK // 2, 127, 127)


@dataclass
class EditFields(Checked):
    """The JSON of an edit; a note is [track, tick, length, pitch, velocity], `track` its "index" in the roll."""

    piece: str = ""
    removed: list[list[int]] = bounded([], 0, MAX_TICK, size=(0, MAX_CHANGES))
    added: list[list[int]] = bounded([], 0, MAX_TICK, size=(0, MAX_CHANGES))
    # Ten numbers each: the old note, then the new one.
    changed: list[list[int]] = bounded([], 0, MAX_TICK, size=(0, MAX_CHANGES))

    @classmethod
    def read(cls, data: Any) -> EditFields:
        """Parse the JSON that a visitor sent. Raises `UserError` for invalid fields."""
        return read_fields(cls, data, name="edit")

    def check(self) -> None:
        """Raise `UserError` for invalid fields, for too many changes, and for none."""
        super().check()
        num_changes = len(self.removed) + len(self.added) + len(self.changed)
        require(num_changes > 0, "The edit changes nothing; name notes in removed, added or changed.")
        require(
            num_changes <= MAX_CHANGES,
            f"The edit changes {num_changes:,} notes; at most {MAX_CHANGES} can be changed at a time.",
        )
        for name in ("removed", "added", "changed"):
            for row in getattr(self, name):
                size = len(NUMBERS) * (2 if name == "changed" else 1)
                require(
                    len(row) == size,
                    f"A note in {name} has {len(row)} numbers, not {size}: {', '.join(NUMBERS)}"
                    f"{', and the same of what it becomes' if name == 'changed' else ''}.",
                )
        for _, new in self.changes():
            if new is not None:
                _check_note(new)

    def changes(self) -> Iterator[Change]:
        """The edit, note by note."""
        for row in self.removed:
            yield FileNote(*row), None
        for row in self.added:
            yield None, FileNote(*row)
        for row in self.changed:
            yield FileNote(*row[: len(NUMBERS)]), FileNote(*row[len(NUMBERS) :])


def _check_note(note: FileNote) -> None:
    for name, low, high in zip(NUMBERS, LOWEST, HIGHEST, strict=True):
        number = getattr(note, name)
        require(low <= number <= high, f"The {name} of a note ({number}) must be {low} to {high:,}.")
