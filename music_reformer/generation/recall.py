"""Recall: brings back bars of the piece where the new bars should repeat them (Parts encoding).

Before each token is drawn, the token that would continue the earlier bar gets a higher logit. If the model plays
another note, it is led back to the next note of the earlier bar. So notes that it finds very unlikely here are left
out, and the rest returns: note for note or, with less weight, varied.
"""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from music_reformer.generation.cast import Cast
from music_reformer.generation.chord_tokens import chords_of_bars, modulated_chords
from music_reformer.generation.parts_follower import NOBODY, WITHIN_A_NOTE, PartsFollower
from music_reformer.midi.form_plan import RecalledBar
from music_reformer.midi.modulation import Modulation
from music_reformer.midi.parts import LONGEST, part_order
from music_reformer.midi.parts_reader import Part
from music_reformer.midi.vocabulary import DRUMS, Vocabulary

# Added to the logit of the token that came next in the earlier bar, for exact and for varied returns.
EXACT_LOGIT, VARIED_LOGIT = 6.0, 3.0


@dataclass(frozen=True, order=True, slots=True)
class RecalledNote:
    """A note within its bar; position and duration in grid positions, velocity as its token's value."""

    position: int
    pitch: int
    duration: int
    velocity: int


@dataclass(frozen=True)
class BarMusic:
    """The contents of a bar: the tokens of its chords, and each part's notes in stream order."""

    chords: tuple[int, ...]
    parts: Mapping[Part, tuple[RecalledNote, ...]]


def read_bars(vocabulary: Vocabulary, ids: Sequence[int], numbers: set[int]) -> dict[int, BarMusic]:
    """Read some bars of a piece.

    Args:
        vocabulary: of the tokenizer.
        ids: the whole piece, without BOS and directions.
        numbers: numbers of the bars, from 0; bars beyond the end of the piece are returned empty.

    Returns:
        The music of each bar, by its number.
    """
    num_read = max(numbers, default=-1) + 1
    chords = dict(enumerate(islice(chords_of_bars(vocabulary, ids), num_read)))
    parts: dict[int, dict[Part, list[RecalledNote]]] = {number: {} for number in numbers}
    place = PartsFollower(vocabulary, vocabulary.values[ids[0]])
    velocity = 0
    for token in ids[1:]:
        place.follow(token)
        if place.bar >= num_read:
            break
        if place.bar not in numbers:
            continue
        if place.kind == "Velocity":
            velocity = place.value
        elif place.begins_note:
            note = RecalledNote(place.position, place.value, place.duration, velocity)
            parts[place.bar].setdefault(place.part, []).append(note)
    return {
        number: BarMusic(chords.get(number, ()), {part: tuple(notes) for part, notes in parts[number].items()})
        for number in numbers
    }


def modulated(music: BarMusic, modulation: Modulation, vocabulary: Vocabulary) -> BarMusic:
    """A bar in another key, with its chords; drums stay. Notes outside the range of MIDI are dropped."""
    if not modulation.changes_key:
        return music
    parts = {
        part: notes
        if part[0] == DRUMS
        else tuple(
            RecalledNote(note.position, modulation.pitch(note.pitch), note.duration, note.velocity)
            for note in notes
            if 0 <= modulation.pitch(note.pitch) < 128
        )
        for part, notes in music.parts.items()
    }
    return BarMusic(modulated_chords(vocabulary, music.chords, modulation), parts)


class Recall:
    """Follows one stream from the line of the first new bar on, token by token.

    Args:
        vocabulary: of the tokenizer.
        plan: the bar of the piece that returns in each new bar; None: nothing returns, as in all bars after the plan.
        music: the returning bars, by their number.
        metre: of the first new bar.
        writes_chords: whether chords are written in the new bars.
        cast: which parts play the new bars; None: all.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        plan: Sequence[RecalledBar | None],
        music: Mapping[int, BarMusic],
        *,
        metre: tuple[int, int],
        writes_chords: bool = True,
        cast: Cast | None = None,
    ) -> None:
        self._ids, self._plan, self._music = vocabulary.ids, plan, music
        self._writes_chords, self._cast = writes_chords, cast or Cast()
        self._place = PartsFollower(vocabulary, metre)
        self._bar_lines = vocabulary.ids_of["Bar"]
        self._begin_bar()

    def copy(self) -> Recall:
        """An independent recall at the same place."""
        other = copy.copy(self)
        other._place, other._due = self._place.copy(), list(self._due)
        return other

    @property
    def active(self) -> bool:
        """Whether a bar of the piece returns in the current bar."""
        return self._bar is not None

    @property
    def is_exact(self) -> bool:
        """Whether it returns exactly, not varied."""
        return self._planned is not None and not self._planned.varied

    def _begin_bar(self) -> None:
        number = self._place.bar
        planned = self._planned = self._plan[number] if number < len(self._plan) else None
        self._bar = self._music.get(planned.bar) if planned is not None else None
        self._weight = np.float32(VARIED_LOGIT if planned is not None and planned.varied else EXACT_LOGIT)
        self._due: list[int] = []  # tokens of chords that are not yet written
        self._parts: list[Part] = []
        if self._bar is not None:
            self._due = list(self._bar.chords) if self._writes_chords else []
            playing = (part for part in self._bar.parts if self._cast.may_play(part))
            self._parts = sorted(playing, key=lambda part: part_order(*part))
        self._before = 0  # order of the part before the current one
        self._velocity, self._last = 0, (-1, -1)  # of the current part; `_last`: position and pitch of its last note

    def take(self, token: int) -> None:
        """Note the next token."""
        place = self._place
        bar, order = place.bar, place.order
        place.follow(token)
        if place.bar != bar:
            self._begin_bar()
        elif place.kind == "Program":
            self._before = order
            self._due, self._velocity, self._last = [], 0, (-1, -1)
        elif place.kind == "Velocity":
            self._velocity = place.value
        elif place.begins_note:
            self._last = (place.position, place.value)
        elif place.part == NOBODY:
            # Once the model writes another chord, it is not led to the bar's further chords.
            self._due = self._due[1:] if self._due[:1] == [token] else []

    def lean(self, logits_V: NDArray[np.float32]) -> None:
        """Raise, in place, the logit of what came next in the returning bar."""
        logits_V[self.wanted()] += self._weight

    def wanted(self) -> list[int]:
        """Tokens that would continue the returning bar: one, or at its end all bar lines.

        Empty in bars where nothing returns, and within a note that the returning bar does not have.
        """
        place = self._place
        if self._bar is None:
            return []
        if self._due:
            return self._due[:1]
        if place.part == NOBODY:
            return self._next_part(0)
        if place.kind == "Program":
            following = self._after(self._before)
            if following is not None and following[0] == place.part[0] and following[1] > 1:
                return [self._ids["Part", following[1]]]
        notes = self._bar.parts.get(place.part, ())
        index = bisect_right(notes, self._last, key=lambda note: (note.position, note.pitch))
        if index < len(notes):
            return self._towards(notes[index])
        return [] if place.kind in WITHIN_A_NOTE else self._next_part(place.order)

    def _towards(self, note: RecalledNote) -> list[int]:
        """The next token towards a note of the current part; empty within another note."""
        place, ids = self._place, self._ids
        if note.position != place.position:
            comes = note.position > place.position and place.kind not in WITHIN_A_NOTE
            return [ids["Position", note.position]] if comes else []
        if self._velocity != note.velocity and place.kind not in ("Velocity", "Duration"):
            return [ids["Velocity", note.velocity]]
        # A long duration is written as several that add up.
        written = place.duration if place.kind == "Duration" else 0
        if place.duration != note.duration and written < note.duration and written % LONGEST == 0:
            return [ids["Duration", min(note.duration - written, LONGEST)]]
        return [ids["PitchDrum" if place.part[0] == DRUMS else "Pitch", note.pitch]]

    def _after(self, order: int) -> Part | None:
        """The first part of the returning bar after a place in the order of parts; None if there is none."""
        index = bisect_right(self._parts, order, key=lambda part: part_order(*part))
        return self._parts[index] if index < len(self._parts) else None

    def _next_part(self, order: int) -> list[int]:
        part = self._after(order)
        return self._bar_lines if part is None else [self._ids["Program", part[0]]]
