"""Decodes a stream of the Parts encoding (`parts.py`) one token at a time.

Time does not rise steadily in such a stream: each part of a bar starts at the bar line again. Only bar lines are in
order, so `tick` is where the current bar begins; everything before it is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import symusic

from music_reformer.midi.parts import bar_length, part_order
from music_reformer.midi.stream import Note, StreamDecoder
from music_reformer.midi.vocabulary import DRUMS, Vocabulary


class PartsDecoder(StreamDecoder):
    """Decodes one stream of the Parts encoding.

    Attributes:
        tick: where the current bar begins.
        ticks_per_bar: length of the current bar, which may be cut short.
        tempos: (tick, quarters a minute) so far.
        bars: (tick, metre, whether it is cut short) so far.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        StreamDecoder.__init__(self, vocabulary)  # not super(): `PartsState` has two parents
        self.tempos: list[tuple[int, float]] = []
        self.bars: list[tuple[int, tuple[int, int], bool]] = []
        self._position = 0
        self._part = 1
        self._order = 0  # `part_order` of the current part; 0 before the first
        self._done = 0  # that of the part before it
        self._duration = 0  # 0 until it is stated, as the velocity is
        self._velocity = 0
        self._last_pitch = -1  # the last at this position
        self._last_duration = 0  # value of the last token that states one
        self._place = "head"  # in the bar: "head", "directions", "chord" or "part"
        self._root = -1  # of the last chord; -1: no chord

    @classmethod
    def score(cls, vocabulary: Vocabulary, ids: Iterable[int]) -> symusic.Score:
        """The score of a stream, in ticks of the grid; a track for each part, in the order of the parts."""
        decoder = cls(vocabulary)
        score = symusic.Score(vocabulary.ticks_per_beat)
        tracks: dict[tuple[int, int], symusic.core.TrackTick] = {}
        for token in ids:
            for note in decoder.advance(token):
                program = DRUMS if note.drum else note.program
                if (program, note.part) not in tracks:
                    tracks[program, note.part] = symusic.Track("", note.program, note.drum)
                tracks[program, note.part].notes.append(
                    symusic.Note(note.start_tick, note.end_tick - note.start_tick, note.pitch, note.velocity)
                )
        for key in sorted(tracks, key=lambda key: part_order(*key)):
            tracks[key].notes.sort(key=lambda note: (note.time, note.pitch), inplace=True)
            score.tracks.append(tracks[key])
        for tick, tempo in decoder.tempos:
            score.tempos.append(symusic.Tempo(tick, tempo))
        stated = None
        for tick, metre, is_cut in decoder.bars:
            if metre != stated:
                score.time_signatures.append(symusic.TimeSignature(tick, *metre))
            stated = None if is_cut else metre  # a metre that is stated again begins a bar
        return score

    @property
    def bar(self) -> int:
        """Number of bars begun."""
        return self._bar + 1

    def _on_bar(self, metre: Any) -> None:
        self._bar += 1
        self.tick = self._bar_tick = self.tick + (self.ticks_per_bar if self._bar > 0 else 0)
        self.metre, self.ticks_per_bar = metre, bar_length(metre)
        self.bars.append((self.tick, metre, False))
        self._position, self._order, self._done, self._place = 0, 0, 0, "head"

    def _on_cut(self, _: None) -> None:
        """The position that follows ends the bar."""

    def _on_position(self, position: int) -> None:
        if self._last == "Cut":
            self.ticks_per_bar = position
            self.bars[-1] = (*self.bars[-1][:2], True)
            return
        self._position = position
        self._last_pitch = -1

    def _on_tempo(self, tempo: float) -> None:
        tick = self.tick + self._position
        beats = (tick - self._tempo_tick) / self.vocabulary.ticks_per_beat
        self._tempo_seconds += beats * 60.0 / self._tempo
        self._tempo_tick, self._tempo = tick, tempo
        self.tempos.append((tick, tempo))

    def _on_directions(self, _: Any) -> None:
        self._place = "directions"

    def _on_music(self, _: None) -> None:
        self._place = "head"

    def _on_chord(self, root: int | None) -> None:
        if self._place != "chord":
            self._position, self._place = 0, "chord"
        self._root = -1 if root is None else root

    def _on_program(self, program: int) -> None:
        if self._place == "directions":
            return
        self._place = "part"
        self._program, self._part = program, 1
        self._done, self._order = self._order, part_order(program)
        self._position, self._last_pitch, self._velocity, self._duration = 0, -1, 0, 0

    def _on_part(self, number: int) -> None:
        if self._place != "directions":
            self._part, self._order = number, part_order(self._program, number)

    def _on_velocity(self, velocity: int) -> None:
        self._velocity = velocity

    def _on_length(self, length: int) -> None:
        self._duration = length + (self._duration if self._last == "Duration" else 0)
        self._last_duration = length

    def _on_note(self, pitch: int) -> list[Note]:
        self._last_pitch = pitch
        start, drum = self.tick + self._position, self._program == DRUMS
        program = 0 if drum else self._program
        return [Note(program, drum, pitch, self._velocity, start, start + self._duration, self._part)]

    handlers: ClassVar[dict[str, Callable[[Any, Any], list[Note] | None]]] = {
        "Bar": _on_bar,
        "Cut": _on_cut,
        "Position": _on_position,
        "Tempo": _on_tempo,
        "Directions": _on_directions,
        "Music": _on_music,
        "NoChord": _on_chord,
        "ChordRoot": _on_chord,
        "Program": _on_program,
        "Part": _on_part,
        "Velocity": _on_velocity,
        "Duration": _on_length,
        "Pitch": _on_note,
        "PitchDrum": _on_note,
        **dict.fromkeys(
            ("Hole", "ChordQuality", "ChordBass", "Key", "Section", "SectionBars", "EndsIn", "Density", "Register",
             "Polyphony", "EOS"),
            lambda _decoder, _value: None,
        ),
    }  # fmt: skip
