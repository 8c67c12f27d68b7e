"""Augmentation of whole pieces: transposition, tempo, instruments, holes and named instruments.

Most changes are a table from token id to token id, so that a piece costs one look-up. Changing the tempo of the
Performance encoding is different: it means rewriting all time shifts.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from music_reformer.config import AugmentConfig, require
from music_reformer.midi.directions import DIRECTION_KINDS, describe, leave_out, with_directions
from music_reformer.midi.infill import ALL, permuted
from music_reformer.midi.instrumentation import Section, arrange, can_name
from music_reformer.midi.parts import MAX_PARTS
from music_reformer.midi.parts_reader import Part, PartsReader, reader_for
from music_reformer.midi.vocabulary import DRUMS, Vocabulary

MAX_HOLE_BARS = 16
# The longest section of a piece is one of these. If all sections have one or two bars, only the names tell which
# instruments play, so such pieces teach the model to read them (docs/decisions/008).
LONGEST_SECTIONS_BARS = (1, 2, 4, 16)
# Of pieces with directions: the share from which parts are taken away, and how often a kind, or a section, is stated.
THINNED = 0.3
GIVEN = 0.85
_PITCH_KINDS = ("Pitch", "NoteOn", "NoteOff")


class Augmenter:
    """Draws changes of a piece and applies them.

    Args:
        vocabulary: of the tokenizer.
        config: augmentation settings.

    Raises:
        UserError: a setting is impossible for the vocabulary.
    """

    def __init__(self, vocabulary: Vocabulary, config: AugmentConfig) -> None:
        self._reader = reader_for(vocabulary)
        self._vocabulary = vocabulary
        self._parts = self._reader if isinstance(self._reader, PartsReader) else None
        require(
            not config.infill or self._reader.has_whole_bars,
            f"augment.infill ({config.infill}) must be 0 for a tokenizer without bars or durations, or with rests",
        )
        require(
            not config.named or can_name(self._reader) or vocabulary.part_by_part,
            f"augment.named ({config.named}) must be 0 for a tokenizer without bars, durations or programs, or with "
            "rests",
        )
        self.config = config
        self.num_ids = len(vocabulary)
        self.drums_id = vocabulary.ids.get(("Program", DRUMS), -1)
        ids_of, values = vocabulary.ids_of, vocabulary.values
        # Pitch to token id for each kind of token that has one: note-offs are transposed with their note-ons.
        self._pitch_kinds = {
            kind: {values[token]: token for token in ids_of[kind]} for kind in _PITCH_KINDS if kind in ids_of
        }
        self.pitch_of_id = np.full(self.num_ids, -1)  # -1: no melodic pitch
        for id_of_pitch in self._pitch_kinds.values():
            self.pitch_of_id[list(id_of_pitch.values())] = list(id_of_pitch)
        self.has_durations = "Duration" in ids_of
        self.tempo_ids = np.array(ids_of.get("Tempo", []), dtype=np.int64)
        self.tempo_values = np.array([values[token] for token in self.tempo_ids])
        melodic = [token for token in ids_of.get("Program", []) if values[token] != DRUMS]
        self.program_ids = np.array(melodic, dtype=np.int64)
        self._program_of_id = {token: int(values[token]) for token in melodic}
        self._pitch_classes = _pitch_class_groups(vocabulary)
        shifts = ids_of.get("TimeShift", []) if vocabulary.is_performance else []
        self.id_of_shift = {values[token]: token for token in shifts}
        self.shift_of_id = np.zeros(self.num_ids, dtype=np.int64)
        self.shift_of_id[shifts] = list(self.id_of_shift)
        pitches = [pitch for kind in self._pitch_kinds.values() for pitch in kind]
        self.pitch_range = (min(pitches), max(pitches)) if pitches else (0, 0)

    @property
    def keeps_length(self) -> bool:
        """Whether changes never alter the number of tokens of a piece."""
        config = self.config
        changes_parts = self._parts is not None and config.without_chords
        changes_time = config.tempo and self.id_of_shift
        return not (changes_parts or changes_time or config.one_program or config.infill or config.named)

    def __call__(self, tokens: NDArray[np.uint16], random: np.random.Generator) -> NDArray[np.uint16]:
        """A changed copy of the tokens of a piece, which depends on the random draws alone."""
        config = self.config
        # Draws are made whether used or not, so that changing one setting does not alter the draws of the others.
        key, speed, replace = random.random(3)
        holes, names, chords = random.spawn(3)
        tokens = self.transpose(tokens, key)
        if self._parts is not None and chords.random() < config.without_chords:
            tokens = self._parts.without_chords(tokens)
        if config.tempo:
            tokens = self.change_tempo(tokens, 1 + config.tempo * (2 * speed - 1))
        if replace < config.programs:
            tokens = self.change_programs(tokens, random)
        elif replace < config.programs + config.one_program:
            tokens = self.merge_programs(tokens, random)
        if holes.random() < config.infill:
            return self.permute(tokens, holes)
        return self.name_instruments(tokens, names) if names.random() < config.named else tokens

    def permute(self, tokens: NDArray[np.uint16], random: np.random.Generator) -> NDArray[np.uint16]:
        """Move some bars to the end, of all instruments or (half of the time, if there are several) of one."""
        num_bars = len(self._reader.bars(tokens))
        if num_bars < 2:
            return tokens
        count = int(random.integers(1, min(MAX_HOLE_BARS, num_bars - 1) + 1))
        first = int(random.integers(0, num_bars - count + 1))
        playing = sorted(self._reader.programs(tokens))
        one = len(playing) > 1 and random.random() < 0.5
        return permuted(self._reader, tokens, first, count, {int(random.choice(playing))} if one else ALL)

    def name_instruments(self, tokens: NDArray[np.uint16], random: np.random.Generator) -> NDArray[np.uint16]:
        """Divide a piece into sections, keep a random set of instruments in each, and name them in front of it.

        Half of the time the first section has no names, because a prompt mostly has none either.
        """
        if self._parts is not None:
            return self._direct(self._parts, tokens, random)
        playing = sorted(self._reader.programs(tokens))
        num_bars = len(self._reader.bars(tokens))
        if not playing:
            return tokens
        sections: list[Section] = []
        bar, longest = 0, int(random.choice(LONGEST_SECTIONS_BARS))
        while bar < num_bars:
            count = len(playing) if random.random() < 0.25 else int(random.integers(1, len(playing) + 1))
            kept = frozenset(int(program) for program in random.permutation(playing)[:count])
            sections.append(Section(bar, kept, named=bool(sections) or random.random() < 0.5))
            bar += int(random.integers(1, longest + 1))
        return arrange(self._reader, tokens, sections)

    def _direct(
        self, reader: PartsReader, tokens: NDArray[np.uint16], random: np.random.Generator
    ) -> NDArray[np.uint16]:
        """Divide a piece into sections with directions; from some pieces, parts are taken away in each section."""
        parts, num_bars = reader.parts(tokens), len(reader.bars(tokens))
        if not parts:
            return tokens
        firsts = [0]
        longest = int(random.choice(LONGEST_SECTIONS_BARS))
        while firsts[-1] < num_bars:
            firsts.append(firsts[-1] + int(random.integers(1, longest + 1)))
        firsts.pop()
        if random.random() < THINNED:
            tokens = reader.without(tokens, self._drawn_silences(parts, [*firsts, num_bars], random))
        kinds = frozenset(kind for kind in DIRECTION_KINDS if random.random() < GIVEN)
        told = [
            (first, leave_out(directions, kinds, random))
            for first, directions in zip(firsts, describe(reader.notes(tokens), firsts), strict=True)
            if random.random() < GIVEN and (first or random.random() < 0.5)
        ]
        return with_directions(reader, self._vocabulary, tokens, told)

    def _drawn_silences(
        self, parts: list[Part], firsts: list[int], random: np.random.Generator
    ) -> set[tuple[int, Part]]:
        """(bar, part) of parts that are silent: in each section, a random number of them keeps playing."""
        silent = set()
        for first, until in pairwise(firsts):
            kept = int(random.integers(1, len(parts) + 1))
            gone = [parts[i] for i in random.permutation(len(parts))[kept:]]
            silent |= {(bar, part) for bar in range(first, until) for part in gone}
        return silent

    def transpose(self, tokens: NDArray[np.uint16], draw: float) -> NDArray[np.uint16]:
        """Transpose all melodic notes, chords and keys.

        `draw` in [0, 1) chooses among the shifts that keep all pitches in range.
        """
        melodic = self._melodic(tokens)
        if not self.config.transpose or not melodic.any():
            return tokens
        pitches = self.pitch_of_id[tokens[melodic]]
        lowest = max(-self.config.transpose, self.pitch_range[0] - int(pitches.min()))
        highest = min(self.config.transpose, self.pitch_range[1] - int(pitches.max()))
        semitones = lowest + int(draw * (highest - lowest + 1))
        changed = tokens.copy()
        changed[melodic] = self._shifted(semitones)[tokens[melodic]]
        if self._pitch_classes:
            table = self._identity()
            for group in self._pitch_classes:
                table[group] = np.roll(group, -semitones)
            changed = table[changed]
        return changed

    def change_tempo(self, tokens: NDArray[np.uint16], factor: float) -> NDArray[np.uint16]:
        """Make a piece `factor` times as fast."""
        if len(self.tempo_ids):
            table = self._identity()
            faster = self.tempo_values * factor
            nearest = np.abs(self.tempo_values[None, :] - faster[:, None]).argmin(axis=1)
            table[self.tempo_ids] = self.tempo_ids[nearest]
            return table[tokens]
        return self._stretch(tokens, 1 / factor) if self.id_of_shift else tokens

    def change_programs(self, tokens: NDArray[np.uint16], random: np.random.Generator) -> NDArray[np.uint16]:
        """Replace at least one melodic instrument, each half of the time. Different instruments stay different."""
        table = self._identity()
        playing = np.intersect1d(tokens, self.program_ids)
        if not len(playing):
            return tokens
        used = random.permutation(playing)
        count = max(1, int((random.random(len(used)) < 0.5).sum()))
        replaced = used[:count]
        others = np.setdiff1d(self.program_ids, used)
        if len(others) < len(replaced):  # Too many instruments: they are exchanged among themselves.
            others = replaced
        table[replaced] = random.permutation(others)[: len(replaced)]
        if self._parts is None:
            return table[tokens]
        program = {self._program_of_id[token]: self._program_of_id[table[token]] for token in self.program_ids}
        return self._parts.reassigned(
            tokens, {part: (program[part[0]], part[1]) for part in self._parts.parts(tokens) if part[0] != DRUMS}
        )

    def merge_programs(self, tokens: NDArray[np.uint16], random: np.random.Generator) -> NDArray[np.uint16]:
        """Give all melodic notes to one instrument: a piano two times in three, else any. Drums stay drums.

        Notes that begin together are sorted by pitch and duplicates are removed, as if the part of one player had been
        tokenized. Encodings in which a note is not Program, Pitch, Velocity, Duration are left unchanged.
        """
        if self._parts is not None:
            return self._as_tracks_of_one_program(self._parts, tokens, random)
        begins = np.flatnonzero(np.isin(tokens[:-1], self.program_ids))
        begins = begins[self.pitch_of_id[tokens[begins + 1]] >= 0]  # A program may also belong to a pedal.
        if not self.has_durations or not len(begins):
            return tokens
        piano = bool(random.random() < 2 / 3)
        program = self.program_ids[0] if piano else random.choice(self.program_ids)
        notes = tokens[begins[:, None] + np.arange(4)]
        notes[:, 0] = program
        together = np.cumsum(np.diff(begins, prepend=begins[0]) != 4)
        pitch = self.pitch_of_id[notes[:, 1]]
        order = np.lexsort((pitch, together))
        same = np.zeros(len(order), dtype=bool)
        same[1:] = (np.diff(pitch[order]) == 0) & (np.diff(together[order]) == 0)
        changed = tokens.copy()
        changed[begins[:, None] + np.arange(4)] = notes[order]
        keep = np.ones(len(tokens), dtype=bool)
        keep[(begins[same][:, None] + np.arange(4)).ravel()] = False
        return changed[keep]

    def _as_tracks_of_one_program(
        self, reader: PartsReader, tokens: NDArray[np.uint16], random: np.random.Generator
    ) -> NDArray[np.uint16]:
        """All melodic parts as tracks of one program: of a piano two times in three, else of any."""
        program = 0 if random.random() < 2 / 3 else int(random.integers(128))
        melodic = [part for part in reader.parts(tokens) if part[0] != DRUMS]
        if len(melodic) > MAX_PARTS:
            return tokens
        return reader.reassigned(tokens, {part: (program, number) for number, part in enumerate(melodic, start=1)})

    def _identity(self) -> NDArray[np.uint16]:
        return np.arange(self.num_ids, dtype=np.uint16)

    def _melodic(self, tokens: NDArray[np.uint16]) -> NDArray[np.bool_]:
        """Which tokens are pitches of melodic instruments. A pitch after the program of drums is a drum."""
        melodic = self.pitch_of_id[tokens] >= 0
        if self.drums_id >= 0:
            melodic[1:] &= tokens[:-1] != self.drums_id
        return melodic

    def _shifted(self, semitones: int) -> NDArray[np.uint16]:
        table = self._identity()
        for id_of_pitch in self._pitch_kinds.values():
            for pitch, token_id in id_of_pitch.items():
                table[token_id] = id_of_pitch.get(pitch + semitones, token_id)
        return table

    def _stretch(self, tokens: NDArray[np.uint16], factor: float) -> NDArray[np.uint16]:
        """Make all time shifts `factor` times as long. Points in time are rounded, so that errors do not add up."""
        shift = self.shift_of_id[tokens]
        events = np.flatnonzero(shift == 0)
        time = np.rint(np.cumsum(shift)[events] * factor).astype(np.int64)
        gap = np.diff(time, prepend=0)
        longest = max(self.id_of_shift)
        # As the tokenizer does, each gap is written as longest shifts, then the rest.
        whole, rest = gap // longest, gap % longest
        per_event = whole + (rest > 0) + 1
        ends = np.cumsum(per_event)
        changed = np.full(ends[-1] if len(ends) else 0, self.id_of_shift[longest], dtype=np.uint16)
        id_of_units = np.zeros(longest + 1, dtype=np.uint16)
        id_of_units[list(self.id_of_shift)] = list(self.id_of_shift.values())
        rests = ends[rest > 0] - 2
        changed[rests] = id_of_units[rest[rest > 0]]
        changed[ends - 1] = tokens[events]
        return changed


def _pitch_class_groups(vocabulary: Vocabulary) -> list[NDArray[np.int64]]:
    """Groups of twelve consecutive ids for the pitch classes: of roots and basses of chords, and of keys."""
    if not vocabulary.part_by_part:
        return []
    firsts = [vocabulary.ids[kind, 0] for kind in ("ChordRoot", "ChordBass", "Key")]
    return [np.arange(first, first + 12) for first in (*firsts, firsts[-1] + 12)]
