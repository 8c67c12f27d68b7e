"""Decodes a stream one token at a time.

`MusicTokenizer.decode` turns a whole stream into a score. Generation reports notes while it composes and must know its
position in the music, so `StreamDecoder` decodes token by token; tests compare the two. The Parts encoding has a
decoder of its own (`parts_stream.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from music_reformer.midi.performance import NUM_VELOCITIES
from music_reformer.midi.score import DEFAULT_METRE
from music_reformer.midi.vocabulary import DRUMS, Vocabulary, ticks

DEFAULT_TEMPO = 120.0


@dataclass(slots=True)
class Note:
    """A decoded note. Ticks are on the tokenizer's grid, from the start of the stream. Drums have program 0.

    `part` is the number of the track among those of its program, always 1 where the encoding knows no parts.
    """

    program: int
    drum: bool
    pitch: int
    velocity: int
    start_tick: int
    end_tick: int
    part: int = 1


@dataclass(slots=True)
class Bend:
    """A decoded pitch bend, -8192 to 8191. Program -1 stands for drums."""

    program: int
    tick: int
    value: int


@dataclass(slots=True)
class Press:
    """A decoded press of the sustain pedal. Program -1 stands for drums."""

    program: int
    start_tick: int
    end_tick: int


class StreamDecoder:
    """Decodes one stream and keeps track of the position in the music.

    Args:
        vocabulary: of the tokenizer.

    Attributes:
        tick: the current position in ticks of the tokenizer's grid.
        metre: (beats, unit) in force.
        ticks_per_bar: of that metre.
        bends, presses: decoded so far (notes are returned by `advance`).
    """

    handlers: ClassVar[dict[str, Callable[[Any, Any], list[Note] | None]]]  # by kind of token; set below

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.tick = 0
        self.bends: list[Bend] = []
        self.presses: list[Press] = []
        self._last = "START"  # kind of the last token
        self._bar = -1
        self._bar_tick = 0
        self._metre_bar = 0
        self._metre_tick = 0
        self._floor = 0  # lowest Position allowed in the rest of this bar
        self._tempo = DEFAULT_TEMPO
        self._tempo_tick = 0
        self._tempo_seconds = 0.0
        self._program = 0
        self._pitch = 0
        self._velocity = 64
        self._notes_end = 0  # tick from which a rest counts
        self._down: dict[int, int] = {}  # program -> tick at which its pedal was pressed
        # (program, pitch) -> [(start, velocity) ...]; a NoteOff ends the oldest, as in `MusicTokenizer.decode`.
        self._sounding: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self._set_metre(DEFAULT_METRE)

    @property
    def bar(self) -> int:
        """Number of bars begun, computed from ticks and metre if the encoding has no bar tokens."""
        if self.vocabulary.has_bars:
            return self._bar + 1
        return self._metre_bar + (self.tick - self._metre_tick) // self.ticks_per_bar + 1

    @property
    def seconds(self) -> float:
        """The current position in seconds, by the tempos so far."""
        beats = (self.tick - self._tempo_tick) / self.vocabulary.ticks_per_beat
        return self._tempo_seconds + beats * 60.0 / self._tempo

    @property
    def sounding(self) -> set[tuple[int, int]]:
        """(program, pitch) of the notes without a NoteOff so far."""
        return set(self._sounding)

    def sounds_since(self, tick: int) -> bool:
        """Whether a note that began at or after `tick` has no NoteOff so far."""
        return any(start >= tick for notes in self._sounding.values() for start, _ in notes)

    def advance(self, token: int) -> list[Note]:
        """Decode one token, and return the notes that it completes (mostly none). BOS and PAD change nothing."""
        kind = self.vocabulary.kinds[token]
        if kind == "PAD" or kind == "BOS":
            return []
        notes = self.handlers[kind](self, self.vocabulary.values[token])
        self._last = kind
        return notes or []

    def _set_metre(self, metre: tuple[int, int]) -> None:
        self.metre = metre
        self._unit = self.vocabulary.unit(metre[1])
        self.ticks_per_bar = self._unit * metre[0]
        self._position_ticks = max(1, self._unit // self.vocabulary.positions_per_beat)

    def _on_bar(self, _: None) -> None:
        self._bar += 1
        if self._bar > 0:
            self.tick = self._bar_tick + self.ticks_per_bar
        self._bar_tick = self.tick
        self._floor = 0

    def _on_position(self, position: int) -> None:
        self._bar = max(self._bar, 0)
        self.tick = self._bar_tick + position * self._position_ticks
        self._floor = position + 1

    def _on_time_shift(self, length: Any) -> None:
        self.tick += ticks(length, self._unit)

    def _on_rest(self, length: Any) -> None:
        if not self.vocabulary.notes_are_pairs:
            self.tick = max(self.tick, self._notes_end)
        self.tick += ticks(length, self._unit)
        if self.vocabulary.has_bars:
            bar = self._metre_bar + (self.tick - self._metre_tick) // self.ticks_per_bar
            if bar > self._bar:
                self._bar = max(self._bar, 0)
                self._bar_tick += (bar - self._bar) * self.ticks_per_bar
                self._bar = bar
            self._floor = -((self._bar_tick - self.tick) // self._position_ticks)

    def _on_time_signature(self, metre: tuple[int, int]) -> None:
        if metre != self.metre:
            self._metre_bar = self._bar if self.vocabulary.has_bars else self.bar - 1
            self._metre_tick = self._bar_tick if self.vocabulary.has_bars else self.tick
            self._set_metre(metre)

    def _on_tempo(self, tempo: float) -> None:
        self._tempo_seconds, self._tempo_tick, self._tempo = self.seconds, self.tick, tempo
        if self.vocabulary.has_bars:
            self._notes_end = max(self._notes_end, self.tick)

    def _on_program(self, program: int) -> None:
        self._program = program

    def _on_pitch(self, pitch: int) -> None:
        self._pitch = pitch

    def _on_velocity(self, velocity: int) -> None:
        if self.vocabulary.is_performance:  # one of 32 steps, in force for the following notes
            self._velocity = velocity * 128 // NUM_VELOCITIES + 64 // NUM_VELOCITIES
            return
        self._velocity = velocity
        if self._last == "NoteOn" or self._last == "DrumOn":
            self._begin_note()

    def _on_note_on(self, pitch: int) -> None:
        self._pitch = pitch
        if self.vocabulary.is_performance and (self._program, pitch) not in self._sounding:
            self._begin_note()

    def _begin_note(self) -> None:
        self._sounding.setdefault((self._program, self._pitch), []).append((self.tick, self._velocity))

    def _on_duration(self, length: Any) -> list[Note]:
        end = self.tick + ticks(length, self._unit)
        self._notes_end = max(self._notes_end, end)
        return [self._note(self._pitch, self.tick, end, self._velocity)]

    def _on_note_off(self, pitch: int) -> list[Note]:
        notes = self._sounding.get((self._program, pitch))
        if not notes:
            return []
        start, velocity = notes.pop(0)
        if not notes:
            del self._sounding[self._program, pitch]
        return [self._note(pitch, start, self.tick, velocity)]

    def _note(self, pitch: int, start: int, end: int, velocity: int) -> Note:
        drum = self._program == DRUMS
        return Note(0 if drum else self._program, drum, pitch, velocity, start, end)

    def _on_bend(self, value: int) -> None:
        self.bends.append(Bend(self._program, self.tick, value))

    def _on_pedal(self, program: int) -> None:
        self._down.setdefault(program, self.tick)

    def _on_pedal_off(self, program: int) -> None:
        if program in self._down:
            self.presses.append(Press(program, self._down.pop(program), self.tick))

    def _on_other(self, _: Any) -> None:
        """Chords and EOS do not affect decoding."""


StreamDecoder.handlers = {
    "Bar": StreamDecoder._on_bar,
    "Position": StreamDecoder._on_position,
    "TimeShift": StreamDecoder._on_time_shift,
    "Rest": StreamDecoder._on_rest,
    "TimeSig": StreamDecoder._on_time_signature,
    "Tempo": StreamDecoder._on_tempo,
    "Program": StreamDecoder._on_program,
    "Pitch": StreamDecoder._on_pitch,
    "PitchDrum": StreamDecoder._on_pitch,
    "Velocity": StreamDecoder._on_velocity,
    "Duration": StreamDecoder._on_duration,
    "NoteOn": StreamDecoder._on_note_on,
    "DrumOn": StreamDecoder._on_note_on,
    "NoteOff": StreamDecoder._on_note_off,
    "DrumOff": StreamDecoder._on_note_off,
    "PitchBend": StreamDecoder._on_bend,
    "Pedal": StreamDecoder._on_pedal,
    "PedalOff": StreamDecoder._on_pedal_off,
    "Chord": StreamDecoder._on_other,
    "EOS": StreamDecoder._on_other,
}
