"""The token names of a tokenizer, parsed once: "Pitch_60" is of kind "Pitch" and has the value 60.

Everything that needs to know what a token means asks `MusicTokenizer.vocabulary` (or `IntegerTokenizer.vocabulary`);
no other module takes token names apart.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.errors import UserError

SPECIAL = ["PAD", "BOS", "EOS"]
PAD, BOS, EOS = range(len(SPECIAL))
DRUMS = -1  # the program number of drums, in token names and throughout the package
NOTE_BEGINNINGS = frozenset({"Pitch", "PitchDrum", "NoteOn", "DrumOn"})  # kinds of tokens that begin a note
DRUM_KINDS = frozenset({"PitchDrum", "DrumOn", "DrumOff"})


def program_of(track: symusic.core.TrackTick) -> int:
    """The program of a track as token names have it: `DRUMS` for a drum track."""
    return DRUMS if track.is_drum else track.program


def is_selected(
    track: symusic.core.TrackTick, index: int, *, programs: Collection[int], tracks: Collection[int] = ()
) -> bool:
    """Whether a track has one of these programs (empty: any) and its index is one of `tracks` (empty: any)."""
    return (not programs or program_of(track) in programs) and (not tracks or index in tracks)


class Vocabulary:
    """Kinds and values of all tokens.

    Args:
        tokens: name of each token id; the first three are `SPECIAL`.
        ticks_per_beat: ticks per quarter note of decoded scores.
        positions_per_beat: values of "Position" per beat.

    Attributes:
        kinds, values: by token id. The value is an int for most kinds, a float for "Tempo", (beats, unit) for
            "TimeSig" and for "Bar" in the Parts encoding, (beats, parts, parts per beat) for lengths of time (in the
            Parts encoding an int, in positions), a string for "Chord", and None for "Bar" and the special tokens.
        ids: token id by (kind, value).
        ids_of: token ids by kind.
        has_bars, has_programs, has_drum_kinds: whether there are tokens for bar lines, for instruments, and for drums
            apart from pitches.
        notes_are_pairs: whether a note is two events, NoteOn and NoteOff.
        is_performance: whether this is the Performance encoding, whose time shifts count absolute time.
        part_by_part: whether this is the Parts encoding, in whose bars one part follows another.

    Raises:
        UserError: a name cannot be parsed.
    """

    def __init__(self, tokens: Sequence[str], *, ticks_per_beat: int = 1, positions_per_beat: int = 1) -> None:
        self.ticks_per_beat, self.positions_per_beat = ticks_per_beat, positions_per_beat
        parsed = [_parse(name) for name in tokens]
        self.kinds = [kind for kind, _ in parsed]
        self.values = [value for _, value in parsed]
        self.ids = {pair: i for i, pair in enumerate(parsed)}
        self.ids_of: dict[str, list[int]] = {}
        for i, kind in enumerate(self.kinds):
            self.ids_of.setdefault(kind, []).append(i)
        self.has_bars = "Bar" in self.ids_of
        self.has_programs = "Program" in self.ids_of
        self.has_drum_kinds = bool(DRUM_KINDS & self.ids_of.keys())
        self.notes_are_pairs = "NoteOn" in self.ids_of
        self.is_performance = any(isinstance(self.values[i], int) for i in self.ids_of.get("TimeShift", []))
        self.part_by_part = "Part" in self.ids_of
        self._shifts: dict[int, tuple[list[int], list[int]]] = {}

    def __len__(self) -> int:
        """Number of token ids."""
        return len(self.kinds)

    def is_kind(self, *kinds: str) -> NDArray[np.bool_]:
        """Which token ids are of one of these kinds; bool [vocab_size]."""
        found = np.zeros(len(self), dtype=np.bool_)
        for kind in kinds:
            found[self.ids_of.get(kind, [])] = True
        return found

    def is_given(self, ids: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which tokens of a piece are input only, never predicted: PAD, marks of holes, and directions."""
        given: NDArray[np.bool_] = ids == PAD
        if self.part_by_part:
            given |= ids == self.ids["Hole", None]
            opened = np.cumsum(ids == self.ids["Directions", None])
            closed = np.cumsum(np.concatenate([[False], ids[:-1] == self.ids["Music", None]]))
            given |= opened > closed
        return given

    def unit(self, denominator: int) -> int:
        """Ticks of one beat of a metre with this denominator; durations and shifts count in such beats."""
        return self.ticks_per_beat * 4 // denominator

    def shifts(self, unit: int) -> tuple[list[int], list[int]]:
        """Lengths in ticks of all time shifts, ascending, and their token ids."""
        if unit not in self._shifts:
            pairs = sorted((ticks(self.values[i], unit), i) for i in self.ids_of["TimeShift"])
            self._shifts[unit] = ([length for length, _ in pairs], [token for _, token in pairs])
        return self._shifts[unit]

    def start_kind(self, program: int) -> str:
        """The kind of token that begins a note of this instrument."""
        if program == DRUMS and self.has_drum_kinds:
            return "DrumOn" if self.notes_are_pairs else "PitchDrum"
        return "NoteOn" if self.notes_are_pairs else "Pitch"

    def end_kind(self, program: int) -> str:
        """The kind of token that ends a note of this instrument, where notes are pairs of events."""
        return "DrumOff" if program == DRUMS and self.has_drum_kinds else "NoteOff"


def ticks(length: int | tuple[int, int, int], unit: int) -> int:
    """A length of time in ticks.

    Args:
        length: value of a "Duration", "TimeShift" or "Rest" token: (beats, parts, parts per beat), or a number of ticks
            in the Performance encoding.
        unit: ticks of one beat.
    """
    if isinstance(length, int):
        return length
    beats, parts, resolution = length
    return (beats * resolution + parts) * unit // resolution


def _parse(name: str) -> tuple[str, Any]:
    """Kind and value of a token's name.

    Raises:
        UserError: the text after the kind is not a value of that kind.
    """
    kind, _, text = name.partition("_")
    if kind == "Chord":
        return kind, text
    if text in ("", "None"):
        return kind, None
    try:
        if kind in ("TimeSig", "Bar"):
            beats, unit = text.split("/")
            return kind, (int(beats), int(unit))
        if kind == "Tempo":
            return kind, float(text)
        if "." in text:
            whole, parts, resolution = text.split(".")
            return kind, (int(whole), int(parts), int(resolution))
        return kind, int(text)
    except ValueError as error:
        raise UserError(f"{name!r} is not the name of a token; the tokenizer's file is damaged") from error
