"""The tokens that may follow a stream: masks for sampling under which every stream can be decoded.

REMI encodes time by bars and positions, the other encodings by shifts. A note is Pitch, Velocity, Duration in REMI and
TSD, and two events, NoteOn and NoteOff, in MIDILike and Performance.

The grammar accepts every stream that `MusicTokenizer.encode` writes. It rejects what decoding would drop or alter: a
Pitch without Velocity and Duration, a Position that goes back or beyond the bar, a NoteOff for a note that does not
sound or has just begun, and EOS while notes sound.

A mask depends on few things (the kind of the last token, the lowest position left in the bar ...), so each is built
once and cached, and `allowed()` takes microseconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from music_reformer.midi.score import DEFAULT_METRE
from music_reformer.midi.stream import Note, StreamDecoder
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.midi.vocabulary import DRUM_KINDS, DRUMS, NOTE_BEGINNINGS

# Kinds of tokens that end notes.
_ENDS = frozenset({"NoteOff", "DrumOff"})
_TIME = frozenset({"Bar", "TimeShift"})


class Grammar:
    """The rules of one vocabulary.

    Args:
        tokenizer: the tokenizer of the streams.
        programs: instruments that may play, -1 for drums; None: all. A prompt may contain others, whose sounding notes
            may then end.
    """

    def __init__(self, tokenizer: MusicTokenizer, *, programs: set[int] | None = None) -> None:
        self.vocabulary = tokenizer.vocabulary
        self.programs = programs
        ids_of = self.vocabulary.ids_of
        self.follow = _follow(frozenset(ids_of), performance=self.vocabulary.is_performance)
        # Kinds after which a note may begin.
        self.before_start = {kind for kind, kinds in self.follow.items() if kinds & NOTE_BEGINNINGS}
        # Tokens that advance time, to force the end of a bar that does not end by itself.
        self.time_mask = self.mask_of(ids_of["Bar" if self.vocabulary.has_bars else "TimeShift"])
        self._masks: dict[tuple[Any, ...], np.ndarray] = {}

    def start(self, prompt_ids: Iterable[int] = ()) -> GrammarState:
        """The state after the given tokens; BOS and PAD change nothing."""
        state = self._beginning()
        for token in prompt_ids:
            state.advance(int(token))
        return state

    def _beginning(self) -> GrammarState:
        """The state in front of the first token."""
        return GrammarState(self)

    def opening(self, *, tempo: float, metre: tuple[int, int]) -> list[int]:
        """The first tokens of a piece in this tempo and metre, or the nearest ones that the vocabulary has."""
        vocabulary = self.vocabulary
        ids_of = vocabulary.ids_of
        ids = []
        if vocabulary.has_bars:
            ids.append(vocabulary.ids["Bar", None])
        if "TimeSig" in ids_of:
            known = ("TimeSig", metre) in vocabulary.ids
            ids.append(vocabulary.ids["TimeSig", metre if known else DEFAULT_METRE])
        if "Tempo" in ids_of:
            ids += [vocabulary.ids["Position", 0]] if vocabulary.has_bars else []
            ids.append(min(ids_of["Tempo"], key=lambda token: abs(float(vocabulary.values[token] or 0) - tempo)))
        return ids

    def mask_of(self, ids: list[int]) -> np.ndarray:
        """A mask that is true at the given tokens, bool [vocab_size]."""
        mask = np.zeros(len(self.vocabulary.kinds), dtype=bool)
        mask[ids] = True
        return mask

    def mask(self, key: tuple[Any, ...], build: Callable[[], list[int]]) -> np.ndarray:
        """The cached mask of `key`; `build` lists its tokens the first time."""
        if key not in self._masks:
            self._masks[key] = self.mask_of(build())
        return self._masks[key]


class GrammarState(StreamDecoder):
    """The position in one stream, and the tokens that may follow.

    Attributes:
        closing: if set, only time and the ends of sounding notes may follow.
    """

    def __init__(self, grammar: Grammar) -> None:
        super().__init__(grammar.vocabulary)
        self.grammar = grammar
        self.closing = False
        self._held: dict[tuple[int, int], int] = {}

    def copy(self) -> GrammarState:
        """An independent copy, for another variation."""
        other = GrammarState.__new__(GrammarState)
        other.__dict__.update(self.__dict__)
        other.bends, other.presses = list(self.bends), list(self.presses)
        other._down, other._held = dict(self._down), dict(self._held)
        other._sounding = {key: list(notes) for key, notes in self._sounding.items()}
        return other

    def hold(self, program: int, pitch: int, until_tick: int, part: int = 1) -> None:
        """Mark a key as pressed: `allowed` offers no other note of it before `until_tick`.

        `part` matters only where the encoding knows parts (`parts_grammar.py`).
        """
        self._held[program, pitch] = max(until_tick, self._held.get((program, pitch), 0))

    def allowed(self) -> np.ndarray:
        """The tokens that may follow, bool [vocab_size]. The array is shared: do not modify it."""
        grammar = self.grammar
        kinds = grammar.follow[self._last]
        in_bar = (self._floor, self.metre) if "Position" in kinds else None
        role = self._role() if self._last == "Program" else ""
        key = (self._last, in_bar, role, self.closing, not self._sounding)
        mask = grammar.mask(key, lambda: self._list_allowed(kinds, role))
        if self._sounding and ("Program" in kinds or "NoteOff" in kinds):
            ends = self._list_ends(kinds)
            if ends:
                mask = mask.copy()
                mask[ends] = True
        if (self._held or self.vocabulary.is_performance) and self._last in grammar.before_start:
            down = self._list_down()
            if down:
                narrowed = mask.copy()
                narrowed[down] = False
                # If all keys are pressed, allow them: decoding copes with that, but sampling needs a token.
                mask = narrowed if narrowed.any() else mask
        return mask

    def forward(self, tick: int, metre: tuple[int, int] | None = None) -> list[int]:
        """Advance to `tick`, and return the tokens for that. Nothing can be written before it afterwards.

        `metre` matters only where bar lines name theirs (`parts_grammar.py`).
        Call it only when an event is complete. If shifts cannot reach `tick` exactly, they stop at the last point
        before it.
        """
        ids: list[int] = []
        if self.vocabulary.has_bars:
            while self._bar < 0 or self._bar_tick + self.ticks_per_bar <= tick:
                metre = self.metre
                ids += self._take("Bar", None)
                if "TimeSig" in self.vocabulary.ids_of:
                    ids += self._take("TimeSig", metre)
            if tick > self.tick:
                self._floor = max(self._floor, -((self._bar_tick - tick) // self._position_ticks))
                self._last = "FORWARD"
            return ids
        while True:
            lengths, tokens = self.vocabulary.shifts(self._unit)
            index = bisect_right(lengths, tick - self.tick) - 1
            if index < 0:
                return ids
            self.advance(tokens[index])
            ids.append(tokens[index])

    def end_notes(self) -> tuple[list[int], list[Note]]:
        """End all sounding notes at the current position, and return the tokens for that and the notes."""
        ids: list[int] = []
        notes: list[Note] = []
        for program, pitch in sorted(self._sounding):
            while self._may_end((program, pitch)):
                if self.vocabulary.has_programs:
                    ids += self._take("Program", program)
                token = self.vocabulary.ids[self.vocabulary.end_kind(program), pitch]
                notes += self.advance(token)
                ids.append(token)
        return ids, notes

    def _take(self, kind: str, value: Any) -> list[int]:
        token = self.vocabulary.ids[kind, value]
        self.advance(token)
        return [token]

    # The tokens that may follow

    def _role(self) -> str:
        """What the instrument just named may do: play "drums" or "notes", or ("silent") only end sounding notes."""
        if self.grammar.programs is not None and self._program not in self.grammar.programs:
            return "silent"
        return "drums" if self._program == DRUMS and self.vocabulary.has_drum_kinds else "notes"

    def _list_allowed(self, kinds: frozenset[str], role: str) -> list[int]:
        """The tokens that may follow, without the ends of sounding notes, which `allowed` adds."""
        vocabulary, programs = self.vocabulary, self.grammar.programs
        kinds = kinds - _ENDS
        if role == "silent":
            kinds = frozenset()
        elif role == "drums":
            kinds = kinds - (NOTE_BEGINNINGS - DRUM_KINDS)
        elif role == "notes":
            kinds = kinds - DRUM_KINDS
        if self.closing and (self._last == "Program" or kinds & _TIME):  # otherwise an event is incomplete
            kinds = kinds & _TIME
        if self._sounding:
            kinds = kinds - {"EOS"}
        ids = [i for kind in kinds - {"Position"} for i in vocabulary.ids_of[kind]]
        if programs is not None:
            ids = [i for i in ids if vocabulary.kinds[i] != "Program" or vocabulary.values[i] in programs]
        if "Position" in kinds:
            in_bar = range(self._floor, self.ticks_per_bar // self._position_ticks)
            ids += [i for i in vocabulary.ids_of["Position"] if vocabulary.values[i] in in_bar]
        return ids

    def _may_end(self, key: tuple[int, int]) -> bool:
        """Whether the oldest such note began earlier: ending it at once would give a note without length."""
        notes = self._sounding.get(key)
        return notes is not None and len(notes) > 0 and notes[0][0] < self.tick

    def _list_ends(self, kinds: frozenset[str]) -> list[int]:
        vocabulary = self.vocabulary
        keys = [key for key in self._sounding if self._may_end(key)]
        if "Program" in kinds:
            return [vocabulary.ids["Program", program] for program, _ in keys]
        if self._last == "Program":
            keys = [key for key in keys if key[0] == self._program]
        return [vocabulary.ids[vocabulary.end_kind(program), pitch] for program, pitch in keys]

    def _list_down(self) -> list[int]:
        """Tokens that begin notes whose key is already pressed."""
        self._held = {key: until for key, until in self._held.items() if until > self.tick}
        keys = list(self._held)
        if self._last == "Program":
            keys = [key for key in keys if key[0] == self._program]
        if self.vocabulary.is_performance:  # notes of one pitch never overlap in this encoding
            keys += self._sounding
        ids = [self.vocabulary.ids.get((self.vocabulary.start_kind(program), pitch)) for program, pitch in keys]
        return [i for i in ids if i is not None]


def _follow(present: frozenset[str], *, performance: bool) -> dict[str, frozenset[str]]:
    """The kinds that may follow each kind in what `MusicTokenizer.encode` writes."""
    inside = frozenset({"Pitch", "PitchDrum", "NoteOn", "DrumOn", "NoteOff", "DrumOff", "PitchBend", "Chord"})
    if "Program" in present:
        events = frozenset({"Program", "Pedal", "PedalOff"})
    else:
        events = inside | {"Pedal", "PedalOff"} | ({"Velocity"} if performance else set())
    time = frozenset({"Bar", "Position", "TimeShift", "Rest"})
    done = events | time | {"EOS"}
    after_bar = {"TimeSig"} if "TimeSig" in present else {"Position", "Bar", "Rest", "EOS"}
    # A stream begins with a bar, or with a rest if there is neither metre nor tempo at its beginning.
    opening = {"Bar"} if present & {"TimeSig", "Tempo"} else {"Bar", "Rest"}
    has_bars = "Bar" in present
    follow = {
        "START": opening if has_bars else events | {"TimeSig", "Tempo", "TimeShift", "Rest"},
        "Bar": after_bar,
        "TimeSig": {"Position", "Bar", "Rest", "EOS"} if has_bars else done | {"Tempo"},
        "Position": events | {"Tempo"},
        "FORWARD": {"Position", "Bar"},
        "TimeShift": events | {"TimeShift", "TimeSig", "Tempo"},
        "Rest": {"Rest", "Position", "Bar", "TimeSig"} if has_bars else events | time | {"TimeSig", "Tempo"},
        "Tempo": done,
        "Program": inside,
        "Pitch": {"Velocity"},
        "PitchDrum": {"Velocity"},
        "Duration": done,
        "NoteOn": done if performance else {"Velocity"},
        "DrumOn": {"Velocity"},
        "NoteOff": done,
        "DrumOff": done,
        "Velocity": {"NoteOn"} if performance else done if "NoteOn" in present else {"Duration"},
        "PitchBend": done,
        "Pedal": done,
        "PedalOff": done,
        "Chord": events,
        "EOS": {"PAD"},
    }
    return {kind: frozenset(kinds & present) for kind, kinds in follow.items()}
