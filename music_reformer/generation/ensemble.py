"""Ensemble: holds a continuation to the parts of the piece and their manner of playing (Parts encoding).

A part that played in the last bars before the cut does not fall silent for longer than it did there, and one that never
rested there hardly rests. No bar is empty unless one was. Every part stays near the pitches and in the rhythm that it
has played, and holds no note for much longer than it did. Pitch classes and roots of chords that the piece hardly uses
stay rare. A new instrument begins in the first bar, rests for one bar at most, and stays in its usual range.
Which parts must play, and when, are strict rules; all else only lowers logits, so that the model can still write what
it strongly prefers.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from music_reformer.generation.cast import Cast
from music_reformer.generation.director import heard_bars
from music_reformer.generation.parts_follower import END_OF_BAR, NOBODY, Exits, PartsFollower
from music_reformer.generation.polyphony_guard import FEWEST_NOTES
from music_reformer.midi.chords import QUALITIES, Chord
from music_reformer.midi.directions import key_of
from music_reformer.midi.key import Key
from music_reformer.midi.modulation import UNCHANGED, Modulation
from music_reformer.midi.parts import GRID, part_order
from music_reformer.midi.parts_reader import Part, PartsReader, StreamNotes
from music_reformer.midi.playing_ranges import usual_range
from music_reformer.midi.vocabulary import DRUMS, Vocabulary

# A part may be silent for one bar longer than it ever was before the cut, and always for this many bars.
SHORTEST_REST = 2
# A part that sounded in all bars before the cut, if there were at least this many, plays in as many new bars without a
# break; then it may rest for one.
STEADY_BARS = 4
# A note that began in an earlier bar counts as played in a bar if it sounds for at least this many positions of it.
SOUNDING = GRID
# Bars for which a new part may be silent; and the factor of what is added where it leaves its usual range. That factor
# is above 1 because no notes show where else the part could play.
REST_OF_NEWCOMERS, RANGE_OF_NEWCOMERS = 1, 2.0
# Semitones beyond a part's lowest and highest pitch that cost nothing; what each further one adds to the logit of a
# pitch; and the lowest sum.
MARGIN, PER_SEMITONE, LOWEST_LOGIT = 2, -0.5, -6.0
# Semitones in one step of a wish for another register.
SEMITONES_PER_STEP = 4.0
# Added to the logit of a drum that the part has not played.
NEW_DRUM_LOGIT = -2.0
# Added to the logit of a position in the bar at which the part has begun no note: if another part has, and if none has.
OTHERS_POSITION_LOGIT, NEW_POSITION_LOGIT = -1.0, -2.0
# Added to the logit of a duration for each doubling beyond twice the longest note of the part.
LONGER_LOGIT = -4.0
# If the share of a pitch class (in sounding time) or root (among chords) is below USUAL_SHARE, its logit gets
# SHARE_WEIGHT * log(share / USUAL_SHARE) added; shares below SMALLEST_SHARE count as that.
USUAL_SHARE, SMALLEST_SHARE, SHARE_WEIGHT = 0.03, 0.002, 0.7
# If the new bars are in another key: the weight with which logits of pitch classes and roots are moved to their
# counterparts in that key; and what is added to the logit of a chord with notes outside it.
MODULATION_WEIGHT, FOREIGN_CHORD_LOGIT = 0.3, -4.0


def modulation_to(key: Key | None, notes: StreamNotes) -> Modulation:
    """How notes get into a key; `UNCHANGED` if it is None, or if there are no pitched notes."""
    heard = key_of(notes) if key is not None else None
    return Modulation(heard, key) if key is not None and heard is not None else UNCHANGED


def _foreign_chords(key: Key | None) -> NDArray[np.float32]:
    """What is added to the logits of chords with notes outside the key: [12 roots, qualities without "N"]."""
    qualities = [quality for quality in QUALITIES if quality != "N"]
    if key is None:
        return np.zeros((12, len(qualities)), np.float32)
    leaves = [
        [not Chord(root, each, root).pitch_classes <= key.pitch_classes for each in qualities] for root in range(12)
    ]
    return FOREIGN_CHORD_LOGIT * np.array(leaves, np.float32)


class Ensemble:
    """Follows one stream of the Parts encoding, token by token.

    Args:
        reader: of the vocabulary.
        vocabulary: of the tokenizer.
        prompt: the tokens before the first new one, the bar line of the first new bar included.
        metre: of that bar, as (numerator, denominator).
        cast: which parts play the new bars, and how these should differ from the old ones; None: as before.
        weight: factor of what is added to logits; 0: only the strict rules hold.
        key: of the new bars; None: as before.
        last_bar: index of the piece's last bar among the new ones; all parts play in it. None: the end is open.
        heard: the tokens of the prompt with which the new bars are compared; None: its last bars.
    """

    def __init__(
        self,
        reader: PartsReader,
        vocabulary: Vocabulary,
        prompt: Sequence[int],
        *,
        metre: tuple[int, int],
        cast: Cast | None = None,
        weight: float = 1.0,
        key: Key | None = None,
        last_bar: int | None = None,
        heard: slice | None = None,
    ) -> None:
        ids_of, cast = vocabulary.ids_of, cast or Cast()
        self._exits = Exits(vocabulary)
        self._numbers = np.array(ids_of["Part"])  # tokens of the numbers 2, 3, ...
        self._pitches, self._drums = (slice(ids[0], ids[-1] + 1) for ids in (ids_of["Pitch"], ids_of["PitchDrum"]))
        self._rests: dict[Part, int] = {}  # bars for which each part has been silent
        self._most: dict[Part, int] = {}  # bars for which it may be silent
        self._num_heard = 0  # bars before the cut
        self._plays_on: dict[Part, int] = {}  # bars that parts which never rested must still play before a rest
        self._line = 0  # positions from the line of the first new bar to that of the current one
        self._until: dict[Part, int] = {}  # positions from the same line to the end of each part's notes
        self._lean: dict[Part, NDArray[np.float32]] = {}
        self._lean_on_classes = np.zeros(128, np.float32)
        self._lean_on_positions: dict[Part, NDArray[np.float32]] = {}
        self._lean_on_durations: dict[Part, NDArray[np.float32]] = {}
        self._durations = slice(ids_of["Duration"][0], ids_of["Duration"][-1] + 1)
        self._positions = slice(ids_of["Position"][0], ids_of["Position"][-1] + 1)
        self._roots = slice(ids_of["ChordRoot"][0], ids_of["ChordRoot"][-1] + 1)
        self._lean_on_roots = np.zeros(12, np.float32)
        self._may_be_empty = True
        self._last_bar = last_bar
        self._played: set[Part] = set()  # parts that have played in this bar
        self._place = PartsFollower(vocabulary, metre)
        self._before = 0  # order of the part before the current one
        self._due: list[int] = []  # orders of the parts that must play in this bar
        ids = np.array(prompt)
        span = heard or heard_bars(reader, ids)
        self._foreign_chords = _foreign_chords(key)
        self._qualities = slice(ids_of["ChordQuality"][0], ids_of["ChordQuality"][-1] + 1)
        if span is not None:
            last = reader.notes(ids[span])
            modulation = modulation_to(key, last)
            self._hear_rests(last, cast)
            whole = reader.notes(ids)
            self._hear_pitches(whole, last, weight, modulation=modulation, cast=cast)
            self._hear_positions(last, weight, cast)
            values = np.array([vocabulary.values[token] for token in ids_of["Duration"]], np.float64)
            self._hear_durations(whole, values, weight, cast)
            roots = [vocabulary.values[token] for token in prompt[span] if vocabulary.kinds[token] == "ChordRoot"]
            by_root = np.bincount(np.array(roots, np.int64), minlength=12)
            self._lean_on_roots = weight * (_rare(modulation.by_class(by_root)) + _moved(by_root, modulation))
        else:  # the piece has no notes yet
            self._may_be_empty = False
        unheard = {(program, 1) for program in set(cast.programs or ()) - reader.programs(ids)}
        self._await_newcomers({part for part in unheard if cast.may_play(part)} | cast.newcomers, weight)
        self._due = self._find_due()

    def copy(self) -> Ensemble:
        """An independent ensemble in the same state."""
        other = copy.copy(self)
        other._place, other._rests, other._played = self._place.copy(), dict(self._rests), set(self._played)
        other._until = dict(self._until)
        return other

    def going_on(self, before: Ensemble) -> Ensemble:
        """A copy that takes over, at a bar line, from another ensemble that has come there."""
        other = self.copy()
        other._rests = {part: before._rests.get(part, 0) for part in self._rests}
        other._until = {part: until - before._line for part, until in before._until.items()}
        other._may_be_empty = self._may_be_empty and before._may_be_empty
        other._due = other._find_due()
        return other

    def _hear_rests(self, notes: StreamNotes, cast: Cast) -> None:
        num_bars = self._num_heard = len(notes.bar_lengths)
        self._may_be_empty = len(np.unique(notes.bar)) < num_bars
        lines = np.concatenate([[0], np.cumsum(notes.bar_lengths)])
        is_melodic = np.array([program != DRUMS for program, _ in notes.parts])[notes.part]
        end = lines[notes.bar] + notes.position + np.where(is_melodic, notes.duration, 0)
        last_bar = np.maximum(notes.bar, np.searchsorted(lines, end - SOUNDING, side="right") - 1)
        for number, part in enumerate(notes.parts):
            theirs = notes.part == number
            sounds = np.zeros(num_bars, np.bool_)
            for first, last in zip(notes.bar[theirs], last_bar[theirs], strict=True):
                sounds[first : last + 1] = True
            # A guest, with few notes in few bars, need not play again.
            is_guest = (
                np.count_nonzero(theirs) < min(FEWEST_NOTES, num_bars) and 2 * np.count_nonzero(sounds) < num_bars
            )
            if cast.may_play(part) and not is_guest:
                silent = np.diff(np.flatnonzero(sounds), prepend=-1, append=num_bars) - 1
                self._most[part] = max(SHORTEST_REST, int(silent.max()) + 1)
                self._rests[part] = int(silent[-1])
                self._until[part] = int(end[theirs].max() - lines[-1])
                if sounds.all() and num_bars >= STEADY_BARS:
                    self._plays_on[part] = num_bars

    def _await_newcomers(self, parts: Collection[Part], weight: float) -> None:
        """Have parts without notes in the piece begin in the first new bar, in the usual range of the instrument."""
        for part in parts:
            self._most[part] = self._rests[part] = REST_OF_NEWCOMERS
            if part[0] != DRUMS:
                self._lean[part] = RANGE_OF_NEWCOMERS * weight * _beyond(*usual_range(part[0]))

    def _hear_pitches(
        self, whole: StreamNotes, last: StreamNotes, weight: float, *, modulation: Modulation, cast: Cast
    ) -> None:
        """Find what is added to the logits of the 128 pitches, for each part of the piece."""
        melodic = np.array([program != DRUMS for program, _ in last.parts])[last.part]
        time = np.bincount(last.pitch[melodic] % 12, weights=last.duration[melodic], minlength=12)
        pitches = np.arange(128)
        self._lean_on_classes = weight * (_rare(modulation.by_class(time)) + _moved(time, modulation))[pitches % 12]
        for number, part in enumerate(whole.parts):
            heard = whole.pitch[whole.part == number]
            if part[0] == DRUMS:
                lean = np.where(np.isin(pitches, heard), 0.0, NEW_DRUM_LOGIT)
            else:
                higher = round(SEMITONES_PER_STEP * cast.wishes_of(part).register)
                low, high = heard.min() - MARGIN + min(0, higher), heard.max() + MARGIN + max(0, higher)
                lean = _beyond(low, high)
            self._lean[part] = (weight * lean).astype(np.float32)

    def _hear_positions(self, last: StreamNotes, weight: float, cast: Cast) -> None:
        """Find what is added to the logits of the positions in a bar, for each part that has begun enough notes.

        Parts that should play more notes may begin them anywhere.
        """
        by_anybody = self._begun(last.position, last)
        for number, part in enumerate(last.parts):
            theirs = last.position[last.part == number]
            if len(theirs) >= FEWEST_NOTES and cast.wishes_of(part).density <= 0:
                by_part = self._begun(theirs, last)
                lean = np.where(by_part, 0.0, np.where(by_anybody, OTHERS_POSITION_LOGIT, NEW_POSITION_LOGIT))
                self._lean_on_positions[part] = (weight * lean).astype(np.float32)

    def _hear_durations(self, whole: StreamNotes, values: NDArray[np.float64], weight: float, cast: Cast) -> None:
        """Find what is added to the logits of durations (`values`, in positions), for each part that has played.

        Parts that should play more or fewer notes may hold them for any time.
        """
        for number, part in enumerate(whole.parts):
            if part[0] != DRUMS and not cast.wishes_of(part).density:
                longest = whole.duration[whole.part == number].max()
                lean = LONGER_LOGIT * np.log2(values / (2 * longest)).clip(min=0)
                self._lean_on_durations[part] = (weight * lean).astype(np.float32)

    def _begun(self, position: NDArray[np.int64], last: StreamNotes) -> NDArray[np.bool_]:
        """Whether notes have begun at each position of a bar.

        If the metre has changed, a position counts if a note has begun at the same place within any quarter note.
        """
        size = self._positions.stop - self._positions.start
        begun = np.bincount(position, minlength=size)[:size] > 0
        if last.bar_lengths[-1] != self._place.length:
            begun = np.resize(begun.reshape(-1, GRID).any(axis=0), size)
        return begun

    def _find_due(self) -> list[int]:
        """Orders of the parts that must play in the current bar, ascending."""
        is_last = self._place.bar == self._last_bar
        return sorted(
            part_order(*part)
            for part, rest in self._rests.items()
            if is_last or rest >= self._most[part] or (self._plays_on.get(part, 0) > 0 and not self._sounds(part))
        )

    def _sounds(self, part: Part) -> bool:
        """Whether notes of a part that began earlier sound in the current bar."""
        return self._until.get(part, 0) >= self._line + SOUNDING

    def take(self, token: int) -> None:
        """Follow the stream by one token."""
        place, order, length = self._place, self._place.order, self._place.length
        place.follow(token)
        if place.kind == "Bar":
            played = {part for part in self._rests if part in self._played or self._sounds(part)}
            self._rests = {part: 0 if part in played else rest + 1 for part, rest in self._rests.items()}
            self._plays_on = {
                part: left - 1 if part in played else self._num_heard for part, left in self._plays_on.items()
            }
            self._line += length
            self._played, self._before, self._due = set(), 0, self._find_due()
        elif place.kind == "Program":
            self._before = order
        elif place.begins_note:
            self._played.add(place.part)
            if place.part[0] != DRUMS:
                end = self._line + place.position + place.duration
                self._until[place.part] = max(end, self._until.get(place.part, 0))

    def narrowed(self, allowed_V: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The allowed tokens without those that would skip a due part or leave a bar empty.

        If nothing would be left, all allowed tokens stay.
        """
        nothing_yet = self._place.part == NOBODY
        names_program = self._place.kind == "Program"
        done = self._before if names_program else self._place.order
        due = next((order for order in self._due if order > done), None)
        if due is None and (self._may_be_empty or not nothing_yet):
            return allowed_V
        narrowed_V = allowed_V.copy()
        if due is not None and names_program:
            number = due - part_order(self._place.part[0], 0)
            narrowed_V[self._numbers[max(0, number - 1) :]] = False
        else:
            self._exits.narrow(narrowed_V, due if due is not None else END_OF_BAR - 1)
        return narrowed_V if narrowed_V.any() else allowed_V

    def lead_to_due(self, logits_V: NDArray[np.float32]) -> None:
        """Move, in place, the probability of skipping the next due part to the program of that part."""
        due = next((order for order in self._due if order > self._place.order), None)
        if due is not None and self._place.kind != "Program":
            self._exits.lead(logits_V, due)

    def lean(self, logits_V: NDArray[np.float32], *, by_pitch_class: bool = True) -> None:
        """Lower, in place, the logits of what the piece lacks: chords, and the part's pitches, positions and durations.

        Without `by_pitch_class` (if chords were requested), pitches are judged by the part's range alone.
        """
        place, part = self._place, self._place.part
        logits_V[self._roots] += self._lean_on_roots
        if place.kind == "ChordRoot":
            logits_V[self._qualities] += self._foreign_chords[place.value]
        positions = self._lean_on_positions.get(part)
        if positions is not None:
            logits_V[self._positions] += positions
        durations = self._lean_on_durations.get(part)
        if durations is not None:
            logits_V[self._durations] += durations
        lean = self._lean.get(part)
        if lean is not None:
            logits_V[self._drums if part[0] == DRUMS else self._pitches] += lean
            if by_pitch_class and part[0] != DRUMS:
                logits_V[self._pitches] += self._lean_on_classes


def _beyond(low: int, high: int) -> NDArray[np.float32]:
    """What is added to the logits of the 128 pitches: 0 from `low` to `high`, less the further a pitch lies outside."""
    pitches = np.arange(128)
    semitones = np.maximum(low - pitches, pitches - high).clip(min=0)
    return np.maximum(PER_SEMITONE * semitones, LOWEST_LOGIT).astype(np.float32)


def _moved(amount: NDArray[np.float64] | NDArray[np.int64], modulation: Modulation) -> NDArray[np.float32]:
    """What is added to the logits of the twelve pitch classes to favour each as much as its counterpart was.

    Args:
        amount: how much there was of each pitch class, [12].
        modulation: from the key of the piece to that of the new bars.
    """
    share = amount / max(amount.sum(), 1)
    moved = np.log((modulation.by_class(share) + USUAL_SHARE) / (share + USUAL_SHARE))
    return (MODULATION_WEIGHT * moved).astype(np.float32)


def _rare(amount: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.float32]:
    """What is added to the logits of the twelve pitch classes, given how much there is of each: less than 0 if rare."""
    if not amount.any():
        return np.zeros(12, np.float32)
    share = np.clip(amount / amount.sum(), SMALLEST_SHARE, USUAL_SHARE) / USUAL_SHARE
    return (SHARE_WEIGHT * np.log(share)).astype(np.float32)
