"""The tokens that may follow a stream of the Parts encoding (`parts.py`).

The grammar accepts every stream that `MusicTokenizer.encode` writes and offers nothing that such a stream cannot have:
positions and, at one position, pitches rise; the parts of a bar come in their order, each at most once and never empty;
a velocity or duration is stated only where it changes. So every sampled stream decodes, and encoding what was decoded
gives the same tokens (but for part numbers that were left out, and a first tempo, which encoding always states).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from music_reformer.midi.grammar import Grammar, GrammarState
from music_reformer.midi.parts import LONGEST, MAX_DURATION, MAX_PARTS, METRES, bar_length, nearest_tempo, part_order
from music_reformer.midi.parts_reader import Part
from music_reformer.midi.parts_stream import PartsDecoder
from music_reformer.midi.score import DEFAULT_METRE
from music_reformer.midi.stream import Note
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.midi.vocabulary import DRUMS

HIGHEST_PITCH = 127


def grammar_for(
    tokenizer: MusicTokenizer,
    *,
    programs: set[int] | None = None,
    num_parts: Mapping[int, int] | None = None,
    parts: Collection[Part] = (),
    keeps_tempo: bool = False,
) -> Grammar:
    """The grammar of a tokenizer's streams.

    Args:
        tokenizer: the tokenizer.
        programs: instruments that may play, -1 for drums; None: all.
        num_parts: tracks of each program, where the encoding tells them apart; a program that is not there has one.
            None: any number.
        parts: those that may play, where the encoding tells them apart; none: all of `programs`.
        keeps_tempo: whether the tempo must not change; other encodings ignore it.
    """
    if tokenizer.vocabulary.part_by_part:
        return PartsGrammar(tokenizer, programs=programs, num_parts=num_parts, parts=parts, keeps_tempo=keeps_tempo)
    return Grammar(tokenizer, programs=programs)


class PartsGrammar(Grammar):
    """The rules of the Parts encoding; the arguments are those of `grammar_for`."""

    def __init__(
        self,
        tokenizer: MusicTokenizer,
        *,
        programs: set[int] | None = None,
        num_parts: Mapping[int, int] | None = None,
        parts: Collection[Part] = (),
        keeps_tempo: bool = False,
    ) -> None:
        super().__init__(tokenizer, programs=programs)
        self.keeps_tempo = keeps_tempo
        self._num_parts, self.parts = num_parts, frozenset(parts)
        self._numbers: dict[int, list[int]] = {}  # numbers of the parts of each program that may play
        for program, number in sorted(parts):
            self._numbers.setdefault(program, []).append(number)
        # A group of consecutive ids for each kind of token: its first id, the first value, and how many there are.
        values = self.vocabulary.values
        self.range_of = {kind: (ids[0], values[ids[0]], len(ids)) for kind, ids in self.vocabulary.ids_of.items()}
        self.programs_in_order = [
            (program, self.vocabulary.ids["Program", program], part_order(program, 0))
            for program in range(DRUMS, 128)
            if programs is None or program in programs
        ]

    def numbers(self, program: int) -> list[int]:
        """The numbers that parts of a program may have, ascending."""
        return self._numbers.get(program) or list(range(1, self._most_parts(program) + 1))

    def last_number(self, program: int) -> int:
        """The highest number that a part of a program may have."""
        return self._numbers[program][-1] if program in self._numbers else self._most_parts(program)

    def _most_parts(self, program: int) -> int:
        return MAX_PARTS if self._num_parts is None else min(MAX_PARTS, max(1, self._num_parts.get(program, 1)))

    def _beginning(self) -> PartsState:
        return PartsState(self)

    def opening(self, *, tempo: float, metre: tuple[int, int]) -> list[int]:
        """The first tokens of a piece in this tempo and metre, or the nearest ones that the vocabulary has."""
        ids = self.vocabulary.ids_of["Tempo"]
        line = self.vocabulary.ids["Bar", metre if metre in METRES else DEFAULT_METRE]
        return [line, ids[nearest_tempo(tempo)]]


class PartsState(PartsDecoder, GrammarState):
    """The position in one stream of the Parts encoding, and the tokens that may follow."""

    grammar: PartsGrammar

    def __init__(self, grammar: PartsGrammar) -> None:
        PartsDecoder.__init__(self, grammar.vocabulary)
        self.grammar = grammar
        self.closing = False
        self._keys_held: dict[tuple[int, int, int], int] = {}  # (program, part, pitch) -> until which tick

    def copy(self) -> PartsState:
        """An independent copy, for another variation."""
        other = PartsState.__new__(PartsState)
        other.__dict__.update(self.__dict__)
        other.tempos, other.bars, other._keys_held = list(self.tempos), list(self.bars), dict(self._keys_held)
        return other

    def hold(self, program: int, pitch: int, until_tick: int, part: int = 1) -> None:
        """Mark a key as pressed: `allowed` offers no other note of it before `until_tick`."""
        key = program, part, pitch
        self._keys_held[key] = max(until_tick, self._keys_held.get(key, 0))

    def allowed(self) -> NDArray[np.bool_]:
        """The tokens that may follow, bool [vocab_size]."""
        may = np.zeros(len(self.vocabulary), dtype=np.bool_)
        if self._place == "directions":
            for kind in _IN_DIRECTIONS[self._last]:
                self._allow(may, kind)
        else:
            _FOLLOW[self._last](self, may)
        return may

    def forward(self, tick: int, metre: tuple[int, int] | None = None) -> list[int]:
        """Write empty bars up to `tick`, and the line of the bar that begins there, in `metre` (None: as before)."""
        ids: list[int] = []
        while self._bar < 0 or self.tick + self.ticks_per_bar <= tick:
            begin = 0 if self._bar < 0 else self.tick + self.ticks_per_bar
            new = metre is not None and metre in METRES and begin == tick
            ids += self._take("Bar", metre if new else self.metre)
        return ids

    def end_notes(self) -> tuple[list[int], list[Note]]:
        """Nothing: every note of this encoding is complete."""
        return [], []

    # The tokens that may follow, by the kind of the last one

    def _allow(self, may: NDArray[np.bool_], kind: str, *, above: int | None = None, below: int | None = None) -> None:
        """Allow the tokens of a kind: all, or those with values above and below the given ones."""
        first, value, count = self.grammar.range_of[kind]
        low = 0 if above is None else max(0, above + 1 - value)
        high = count if below is None else min(count, below - value)
        may[first + low : first + max(low, high)] = True

    def _after_bar(self, may: NDArray[np.bool_]) -> None:
        self._allow(may, "Cut")
        self._after_cut(may)

    def _after_cut(self, may: NDArray[np.bool_]) -> None:
        self._allow(may, "Hole")
        self._after_hole(may)

    def _after_hole(self, may: NDArray[np.bool_]) -> None:
        self._allow(may, "Directions")
        self._after_music(may)

    def _after_music(self, may: NDArray[np.bool_]) -> None:
        if not self.grammar.keeps_tempo:
            self._allow(may, "Tempo")
        self._after_tempo(may)

    def _after_tempo(self, may: NDArray[np.bool_]) -> None:
        self._begin_chord(may)
        if self.grammar.keeps_tempo:
            self._leave(may)
        else:  # the position is that of a later tempo
            self._go_on(may)

    def _begin_chord(self, may: NDArray[np.bool_]) -> None:
        self._allow(may, "ChordRoot")
        self._allow(may, "NoChord")

    def _after_quality(self, may: NDArray[np.bool_]) -> None:
        self._allow(may, "ChordBass")
        may[self.vocabulary.ids["ChordBass", self._root]] = False
        self._go_on(may)

    def _go_on(self, may: NDArray[np.bool_]) -> None:
        """A later position, or whatever follows."""
        self._allow(may, "Position", above=self._position, below=self.ticks_per_bar)
        self._leave(may)

    def _leave(self, may: NDArray[np.bool_]) -> None:
        """Another part, the next bar, or the end."""
        for program, token, order in self.grammar.programs_in_order:
            number = max(1, self._order - order + 1)
            may[token] = number <= self.grammar.last_number(program)
        self._allow(may, "Bar")
        self._allow(may, "EOS")

    def _end_of_bar(self, may: NDArray[np.bool_]) -> None:
        self._allow(may, "Position", above=0, below=bar_length(self.metre))

    def _after_position(self, may: NDArray[np.bool_]) -> None:
        if self._place == "part":
            self._note_here(may)
        elif self._place == "chord":
            self._begin_chord(may)
        elif self._position:
            self._allow(may, "Tempo")
        else:  # where a bar is cut short
            self._after_cut(may)

    def _after_root(self, may: NDArray[np.bool_]) -> None:
        self._allow(may, "ChordQuality")

    def _after_program(self, may: NDArray[np.bool_]) -> None:
        least = max(1, self._done - part_order(self._program, 0) + 1)
        numbers = [number for number in self.grammar.numbers(self._program) if number >= least]
        may[[self.vocabulary.ids["Part", number] for number in numbers if number > 1]] = True
        if 1 in numbers:
            self._after_part(may)

    def _after_part(self, may: NDArray[np.bool_]) -> None:
        self._allow(may, "Position", above=0, below=self.ticks_per_bar)
        self._allow(may, "Velocity")

    def _note_here(self, may: NDArray[np.bool_]) -> None:
        """A note at the current position."""
        self._allow(may, "Velocity")
        if self._velocity:
            may[self.vocabulary.ids["Velocity", self._velocity]] = False
            self._after_velocity(may)

    def _after_velocity(self, may: NDArray[np.bool_]) -> None:
        self._allow(may, "Duration")
        if self._duration:
            same = self.vocabulary.ids.get(("Duration", self._duration))
            if same is not None and self._duration != LONGEST:  # the longest may begin a longer one
                may[same] = False
            self._pitches(may)

    def _after_duration(self, may: NDArray[np.bool_]) -> None:
        if self._last_duration == LONGEST and self._duration < MAX_DURATION:
            self._allow(may, "Duration")
        self._pitches(may)

    def _after_pitch(self, may: NDArray[np.bool_]) -> None:
        self._go_on(may)
        if self._last_pitch < HIGHEST_PITCH:
            self._note_here(may)

    def _pitches(self, may: NDArray[np.bool_]) -> None:
        kind = "PitchDrum" if self._program == DRUMS else "Pitch"
        self._allow(may, kind, above=self._last_pitch)
        first, value, count = self.grammar.range_of[kind]
        pitches = may[first : first + count]
        free = pitches.copy()
        free[[pitch - value for pitch in self._pitches_held()]] = False
        if free.any():  # else allow pressed keys: decoding copes with them, but sampling needs a token
            pitches[:] = free

    def _pitches_held(self) -> list[int]:
        now = self.tick + self._position
        program, part = self._program, self._part
        return [key[2] for key, until in self._keys_held.items() if key[:2] == (program, part) and until > now]


_ATTRIBUTES = ("Density", "Register", "Polyphony")
_WHOLE = ("Key", "Section", "SectionBars", "EndsIn")
_IN_DIRECTIONS: dict[str, tuple[str, ...]] = {
    "Directions": (*_WHOLE, "Program", "Music"),
    **{kind: (*_WHOLE[i + 1 :], "Program", "Music") for i, kind in enumerate(_WHOLE)},
    "Program": ("Part", *_ATTRIBUTES, "Program", "Music"),
    "Part": (*_ATTRIBUTES, "Program", "Music"),
    **{kind: (*_ATTRIBUTES[i + 1 :], "Program", "Music") for i, kind in enumerate(_ATTRIBUTES)},
}
_FOLLOW: dict[str, Callable[[PartsState, NDArray[np.bool_]], None]] = {
    "START": lambda state, may: state._allow(may, "Bar"),
    "Bar": PartsState._after_bar,
    "Cut": PartsState._end_of_bar,
    "Hole": PartsState._after_hole,
    "Music": PartsState._after_music,
    "Tempo": PartsState._after_tempo,
    "NoChord": PartsState._go_on,
    "ChordRoot": PartsState._after_root,
    "ChordQuality": PartsState._after_quality,
    "ChordBass": PartsState._go_on,
    "Position": PartsState._after_position,
    "Program": PartsState._after_program,
    "Part": PartsState._after_part,
    "Velocity": PartsState._after_velocity,
    "Duration": PartsState._after_duration,
    "Pitch": PartsState._after_pitch,
    "PitchDrum": PartsState._after_pitch,
    "EOS": lambda state, may: state._allow(may, "PAD"),
}
