"""Steering: keeps the density, register, polyphony and loudness of every part, or changes them as wished.

What a part has played since the cut is compared with what it played before (Parts encoding). The further it strays, the
more the logits are changed in favour of tokens that bring it back: if notes are missing, the part is left later and
moves on in smaller steps. The same holds for pitches, notes begun together, velocities, durations, pitch classes and
positions in the bar. So the model decides about every single note, and the wish about the mean.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from music_reformer.generation.cast import Cast
from music_reformer.generation.director import HEARD_BARS, heard_bars
from music_reformer.generation.ensemble import SEMITONES_PER_STEP
from music_reformer.generation.parts_follower import NOBODY, WITHIN_A_NOTE, PartsFollower
from music_reformer.generation.polyphony_guard import FEWEST_NOTES
from music_reformer.midi.key import Key
from music_reformer.midi.parts import GRID, part_order
from music_reformer.midi.parts_reader import Part, PartsReader, StreamNotes
from music_reformer.midi.playing_ranges import usual_range
from music_reformer.midi.tonality import usual_shares
from music_reformer.midi.vocabulary import DRUMS, Vocabulary

# One step of a wish for polyphony, in notes begun together, and for dynamics, in velocity. Two steps of density double
# the notes.
AT_ONCE, VELOCITY = 0.5, 10.0
# Subtracted from the logit of moving on, for each quarter note of the step: for each bar's worth of missing notes, and
# for each step of the wish for density. The second constant limits the sum, in both directions.
PER_MISSING_BAR, MOST_PER_QUARTER, PER_DENSITY_STEP = 1.0, 4.0, 0.5
MOST_TO_PASS = 4.0  # limit, in both directions, of what is added for skipping a part for a whole bar
# Added to the logit of a pitch, for each semitone above the wanted mean and each by which the part's mean is too low.
# The limits, in both directions: of what is added for each semitone of the pitch, and of these semitones.
PER_SEMITONE, MOST_PER_SEMITONE, REACH = 0.03, 0.3, 12
# Added to the logit of another note at the same position, for each note by which the mean of notes begun together is
# too low; and the limit of that, in both directions.
PER_NOTE_AT_ONCE, MOST_AT_ONCE = 3.0, 4.0
# With a wish for polyphony, also added for each note missing since the cut: otherwise a part that plays single notes
# would go on doing so. The most notes that count, and the limit of the sum with the above.
PER_MISSING_NOTE, MOST_MISSING, MOST_AT_ONCE_WISHED = 1.0, 8.0, 8.0
# Added to the logits of pitch classes, positions in the bar and durations: log(share before / share now), between
# -MOST_FOR_SHARE and MOST_FOR_SHARE, times a weight. SLACK times the mean share is added to both shares, so that it
# matters little how rare the rare ones are. In a requested key, KEY_WEIGHT is that of pitch classes.
MOST_FOR_SHARE, CLASS_WEIGHT, RHYTHM_WEIGHT, DURATION_WEIGHT, SLACK = 1.5, 1.0, 3.0, 3.0, 0.25
KEY_WEIGHT = 3.0
PITCHES = np.arange(128)
PITCH_CLASSES = PITCHES % 12
# A part cannot be left after these kinds of tokens.
WITHIN_A_PART = WITHIN_A_NOTE | {"Program", "Part"}
# A velocity that differs from the part's mean by more than the standard deviation: the logit is lowered by PER_VELOCITY
# times the square of the excess, in units of VELOCITY_WIDTH. With a wish for dynamics it is lowered by more: in a piece
# of one velocity, the model gives all others together one in a thousand.
VELOCITY_WIDTH, PER_VELOCITY, PER_VELOCITY_WISHED = 8.0, 0.5, 2.0
# Running means start from the values before the cut, and reach back over about this many notes or positions.
MEMORY = 24.0
# If a pitch had a larger share in the last REPEATS_MEMORY notes of its part than any pitch ever had before the cut, its
# logit is lowered by REPEATS_WEIGHT times the logarithm of the ratio.
REPEATS_MEMORY, REPEATS_WEIGHT = 96.0, 4.0


@dataclass(frozen=True)
class _Level:
    """Means of what a part plays.

    Attributes:
        density: notes per quarter note.
        pitch: mean MIDI pitch.
        at_once: notes begun together.
        velocity: mean MIDI velocity.
        deviation: standard deviation of velocity.
    """

    density: float
    pitch: float
    at_once: float
    velocity: float
    deviation: float = 0.0


class _Shares:
    """How often each of several kinds occurs, compared with before the cut; kinds that are too rare are favoured.

    Args:
        heard: how much there was of each kind before the cut, [kinds].
        memory: the weight of all that was heard, in the unit of `count`: so much new material counts as much.
        weight: factor of what is added to logits.
    """

    def __init__(self, heard: NDArray[np.float64], *, memory: float, weight: float) -> None:
        self._weight = weight
        self._wanted = heard / max(heard.sum(), 1e-9)
        self._come = memory * self._wanted
        self._slack = SLACK / max(int(np.count_nonzero(heard)), 1)

    def copy(self) -> _Shares:
        other = copy.copy(self)
        other._come = self._come.copy()
        return other

    def go_on(self, before: _Shares) -> None:
        """Start from what has come according to other shares, instead of from what was heard."""
        self._come = self._come.sum() * before._come / before._come.sum()

    def count(self, kind: int, amount: float) -> None:
        """Note new material of one kind."""
        self._come[kind] += amount

    def lean(self) -> NDArray[np.float32]:
        """What is added to the logits of the kinds, [kinds]."""
        come = self._come / self._come.sum()
        ratio = np.log((self._wanted + self._slack) / (come + self._slack))
        return (self._weight * ratio.clip(-MOST_FOR_SHARE, MOST_FOR_SHARE)).astype(np.float32)


class _Repeats:
    """How often a part has played each pitch lately; one that comes more often than any did before becomes rarer.

    Bars of played music are never the same, so guards against repeated bars do not see when it settles on a few notes.

    Args:
        heard: pitches of the part's notes before the cut, in their order.
    """

    def __init__(self, heard: NDArray[np.int64]) -> None:
        self._lately = np.bincount(heard, minlength=128) / len(heard)
        self._most = 0.0
        for pitch in heard.tolist():
            self.count(pitch)
            self._most = max(self._most, float(self._lately[pitch]))

    def copy(self) -> _Repeats:
        other = copy.copy(self)
        other._lately = self._lately.copy()
        return other

    def count(self, pitch: int) -> None:
        """Note a new note."""
        self._lately *= 1 - 1 / REPEATS_MEMORY
        self._lately[pitch] += 1 / REPEATS_MEMORY

    def go_on(self, before: _Repeats) -> None:
        """Start from what has come lately according to another instance."""
        self._lately = before._lately.copy()

    def lean(self) -> NDArray[np.float32]:
        """What is added to the logits of the 128 pitches."""
        return (-REPEATS_WEIGHT * np.log(np.maximum(self._lately / self._most, 1.0))).astype(np.float32)


class Steering:
    """Follows one stream from the line of the first new bar on, token by token.

    Args:
        reader: of the vocabulary.
        vocabulary: of the tokenizer.
        prompt: the tokens before the first new one, the line of the first new bar included.
        metre: of that bar, as (numerator, denominator).
        cast: which parts play the new bars, and how these should differ from the old ones.
        num_bars: number of bars at the end of the prompt with which the new ones are compared.
        heard: the tokens of the prompt with which they are compared instead; None: those bars.
        keeps_pitch_classes: whether each pitch class stays as frequent as it was.
        key: requested for the new bars: each pitch class becomes as frequent as is usual there; None: no request.
        weight: factor of all changes to logits; 0: none.
    """

    def __init__(
        self,
        reader: PartsReader,
        vocabulary: Vocabulary,
        prompt: Sequence[int],
        *,
        metre: tuple[int, int],
        cast: Cast,
        num_bars: int = HEARD_BARS,
        heard: slice | None = None,
        keeps_pitch_classes: bool = True,
        key: Key | None = None,
        weight: float = 1.0,
    ) -> None:
        ids_of = vocabulary.ids_of
        self._cast, self._weight = cast, weight
        self._place = PartsFollower(vocabulary, metre)
        self._position_ids = slice(ids_of["Position"][0], ids_of["Position"][-1] + 1)
        self._positions = np.array([vocabulary.values[token] for token in ids_of["Position"]], np.float32)
        self._duration_ids = slice(ids_of["Duration"][0], ids_of["Duration"][-1] + 1)
        self._durations = np.array([vocabulary.values[token] for token in ids_of["Duration"]], np.float32)
        self._pitches = slice(ids_of["Pitch"][0], ids_of["Pitch"][-1] + 1)
        self._velocity_ids = np.array(ids_of["Velocity"])
        self._velocities = np.array([vocabulary.values[token] for token in ids_of["Velocity"]], np.float32)
        self._note_ids = np.array([i for kind in ("Velocity", "Duration", "Pitch", "PitchDrum") for i in ids_of[kind]])
        self._programs = np.array(ids_of["Program"])
        self._orders = np.array([part_order(vocabulary.values[token], 0) for token in ids_of["Program"]])
        self._bars = np.array(ids_of["Bar"])
        self._exits = np.concatenate([self._programs, self._bars])
        self._wanted: dict[Part, _Level] = {}
        self._played: dict[Part, _Level] = {}
        self._missing: dict[Part, float]  # notes that a part is behind, at the line of the current bar
        self._in_bar: dict[Part, int] = {}  # notes of each part in the current bar
        self._chord = 0  # notes at the current position
        self._missing_at_once: dict[Part, float] = {}  # since the cut; of parts with a wish for polyphony
        self._classes: _Shares | None = None
        self._rhythm: dict[Part, _Shares] = {}
        self._lengths: dict[Part, _Shares] = {}
        self._repeats: dict[Part, _Repeats] = {}
        ids = np.array(prompt)
        span = heard or heard_bars(reader, ids, num_bars)
        if span is not None:
            notes = reader.notes(ids[span])
            self._hear_rhythm(notes)
            self._hear_durations(notes)
            self._hear_repeats(notes)
            if key is not None:
                self._classes = _Shares(usual_shares(key), memory=MEMORY * GRID, weight=KEY_WEIGHT)
            elif keeps_pitch_classes:
                self._hear_pitch_classes(notes)
            played = _heard(reader, vocabulary, ids[span])
            levels = {part: level for part, level in played.items() if cast.may_play(part)}
            levels |= {part: level for part in cast.newcomers if (level := _expected(part, played)) is not None}
            self._wanted = {part: self._wished(part, level) for part, level in levels.items()}
            self._played = levels
        self._missing = dict.fromkeys(self._wanted, 0.0)
        self._lean_on_velocities = {part: self._find_velocities(part, level) for part, level in self._wanted.items()}

    @property
    def is_wished(self) -> bool:
        """Whether the new bars should differ from the old ones."""
        return self._cast.is_wished

    def _hear_pitch_classes(self, notes: StreamNotes) -> None:
        pitched = np.array([part[0] != DRUMS for part in notes.parts], np.bool_)[notes.part]
        if pitched.any():
            by_class = np.bincount(notes.pitch[pitched] % 12, weights=notes.duration[pitched], minlength=12)
            self._classes = _Shares(by_class.astype(np.float64), memory=MEMORY * GRID, weight=CLASS_WEIGHT)

    def _hear_rhythm(self, notes: StreamNotes) -> None:
        if notes.bar_lengths[-1] != self._place.length:
            return  # in another metre, other positions are accented
        for number, part in enumerate(notes.parts):
            theirs = notes.position[notes.part == number]
            if len(theirs) >= FEWEST_NOTES and self._cast.wishes_of(part).density <= 0:
                begun = np.bincount(theirs, minlength=len(self._positions))
                self._rhythm[part] = _Shares(begun.astype(np.float64), memory=MEMORY, weight=RHYTHM_WEIGHT)

    def _hear_durations(self, notes: StreamNotes) -> None:
        for number, part in enumerate(notes.parts):
            theirs = notes.duration[notes.part == number]
            if part[0] != DRUMS and len(theirs) >= FEWEST_NOTES and not self._cast.wishes_of(part).density:
                heard = np.bincount(self._nearest_duration(theirs), minlength=len(self._durations))
                self._lengths[part] = _Shares(heard.astype(np.float64), memory=MEMORY, weight=DURATION_WEIGHT)

    def _hear_repeats(self, notes: StreamNotes) -> None:
        for number, part in enumerate(notes.parts):
            theirs = notes.pitch[notes.part == number]
            if part[0] != DRUMS and len(theirs) >= FEWEST_NOTES:
                self._repeats[part] = _Repeats(theirs)

    def _nearest_duration(self, duration: NDArray[np.int64] | int) -> NDArray[np.int64]:
        """Indices among the durations that tokens have; longer ones, written as several, count as the longest."""
        return np.searchsorted(self._durations, duration).clip(max=len(self._durations) - 1)

    def _wished(self, part: Part, level: _Level) -> _Level:
        wishes = self._cast.wishes_of(part)
        return replace(
            level,
            density=level.density * 2 ** (wishes.density / 2),
            pitch=level.pitch + (0.0 if part[0] == DRUMS else SEMITONES_PER_STEP * wishes.register),
            at_once=max(1.0, level.at_once + AT_ONCE * wishes.polyphony),
            velocity=level.velocity + VELOCITY * wishes.dynamics,
        )

    def _find_velocities(self, part: Part, level: _Level) -> NDArray[np.float32]:
        """What is added to the logits of a part's velocities, [velocities]."""
        beyond = (np.abs(self._velocities - level.velocity) - level.deviation).clip(min=0) / VELOCITY_WIDTH
        amount = PER_VELOCITY_WISHED if self._cast.wishes_of(part).dynamics else PER_VELOCITY
        return (-self._weight * amount * np.minimum(beyond**2, 12.0)).astype(np.float32)

    def copy(self) -> Steering:
        """An independent steering in the same state."""
        other = copy.copy(self)
        other._place = self._place.copy()
        other._classes = self._classes and self._classes.copy()
        other._rhythm = {part: shares.copy() for part, shares in self._rhythm.items()}
        other._lengths = {part: shares.copy() for part, shares in self._lengths.items()}
        other._repeats = {part: each.copy() for part, each in self._repeats.items()}
        other._played, other._missing, other._in_bar = dict(self._played), dict(self._missing), dict(self._in_bar)
        other._missing_at_once = dict(self._missing_at_once)
        return other

    def going_on(self, before: Steering) -> Steering:
        """A copy that takes over, at a bar line, from another steering that has come there."""
        other = self.copy()
        other._played = {part: before._played.get(part, level) for part, level in self._played.items()}
        if other._classes is not None and before._classes is not None:
            other._classes.go_on(before._classes)
        for mine, theirs in ((other._rhythm, before._rhythm), (other._lengths, before._lengths)):
            for part in mine.keys() & theirs.keys():
                mine[part].go_on(theirs[part])
        for part in other._repeats.keys() & before._repeats.keys():
            other._repeats[part].go_on(before._repeats[part])
        return other

    def take(self, token: int) -> None:
        """Follow the stream by one token."""
        place = self._place
        bar, part, length, position = place.bar, place.part, place.length, place.position
        place.follow(token)
        if place.part != part or place.position != position or place.bar != bar:
            self._end_chord(part)
        if place.bar != bar:
            for each, level in self._wanted.items():
                behind = self._missing[each] + level.density * length / GRID - self._in_bar.get(each, 0)
                # Missing or excess notes are made up for to the amount of four bars; more are forgotten.
                most = 4 * level.density * length / GRID
                self._missing[each] = float(np.clip(behind, -most, most))
            self._in_bar = {}
        elif place.begins_note:
            self._chord += 1
            self._in_bar[place.part] = self._in_bar.get(place.part, 0) + 1
            if self._classes is not None and place.part[0] != DRUMS:
                self._classes.count(place.value % 12, place.duration)
            if rhythm := self._rhythm.get(place.part):
                rhythm.count(place.position, 1.0)
            if lengths := self._lengths.get(place.part):
                lengths.count(int(self._nearest_duration(place.duration)), 1.0)
            if repeats := self._repeats.get(place.part):
                repeats.count(place.value)
            if played := self._played.get(place.part):
                pitch = played.pitch + (place.value - played.pitch) / MEMORY
                self._played[place.part] = replace(played, pitch=pitch)

    def _end_chord(self, part: Part) -> None:
        if self._chord and (played := self._played.get(part)):
            at_once = played.at_once + (self._chord - played.at_once) / MEMORY
            self._played[part] = replace(played, at_once=at_once)
            if self._cast.wishes_of(part).polyphony:
                missing = self._missing_at_once.get(part, 0.0) + self._wanted[part].at_once - self._chord
                self._missing_at_once[part] = float(np.clip(missing, -MOST_MISSING, MOST_MISSING))
        self._chord = 0

    def _per_quarter(self, part: Part) -> float:
        """What is added to a logit per quarter note in which the part begins no note; below 0 if notes are missing."""
        wanted = self._wanted[part]
        quarters = self._place.position / GRID if part == self._place.part else 0.0
        behind = self._missing[part] + wanted.density * quarters
        if count := self._in_bar.get(part, 0):
            behind -= max(0.0, count - wanted.at_once)  # notes at this position fill the time after it
        bars = behind / max(wanted.density * self._place.length / GRID, 1.0)
        wish = PER_DENSITY_STEP * self._cast.wishes_of(part).density
        return -float(np.clip(PER_MISSING_BAR * bars + wish, -MOST_PER_QUARTER, MOST_PER_QUARTER)) * self._weight

    def lean(self, logits_V: NDArray[np.float32], *, by_pitch_class: bool = True) -> None:
        """Change logits, in place, to bring the parts nearer to the wanted levels.

        Without `by_pitch_class` (if chords were requested), pitch classes are left alone.
        """
        place, part = self._place, self._place.part
        if place.kind not in WITHIN_A_PART:
            self._lean_on_leaving(logits_V)
        if part not in self._wanted:
            return
        # Tokens that cannot come next are skipped to save time: this runs for every token.
        wanted, played = self._wanted[part], self._played[part]
        per_position = np.float32(self._per_quarter(part) / GRID)
        if place.kind not in WITHIN_A_NOTE:
            logits_V[self._position_ids] += per_position * (self._positions - place.position).clip(min=0)
            if rhythm := self._rhythm.get(part):
                logits_V[self._position_ids] += self._weight * rhythm.lean()
        if place.kind != "Duration" and (lengths := self._lengths.get(part)):
            lean = self._weight * lengths.lean()
            stays = np.flatnonzero(self._durations == place.duration)  # in force without a further Duration token
            logits_V[self._duration_ids] += lean - (lean[stays[0]] if len(stays) else 0.0)
        if self._cast.wishes_of(part).density:  # because the model tends to begin a note where the previous one ends
            longer = (self._durations - place.duration).clip(-2 * GRID, 2 * GRID)
            logits_V[self._duration_ids] += per_position * longer
        if part[0] != DRUMS and place.kind not in ("Program", "Part"):
            if by_pitch_class and self._classes is not None:
                logits_V[self._pitches] += self._weight * self._classes.lean()[PITCH_CLASSES]
            slope = float(np.clip(PER_SEMITONE * (wanted.pitch - played.pitch), -MOST_PER_SEMITONE, MOST_PER_SEMITONE))
            if repeats := self._repeats.get(part):
                logits_V[self._pitches] += self._weight * repeats.lean()
            reach = (PITCHES - wanted.pitch).clip(-REACH, REACH)
            logits_V[self._pitches] += (self._weight * slope * reach).astype(np.float32)
        if place.kind not in ("Velocity", "Duration"):
            logits_V[self._velocity_ids] += self._lean_on_velocities[part]
        if place.begins_note:
            more = PER_NOTE_AT_ONCE * (wanted.at_once - played.at_once)
            more += PER_MISSING_NOTE * self._missing_at_once.get(part, 0.0)
            most = MOST_AT_ONCE_WISHED if self._cast.wishes_of(part).polyphony else MOST_AT_ONCE
            logits_V[self._note_ids] += self._weight * float(np.clip(more, -most, most))

    def _lean_on_leaving(self, logits_V: NDArray[np.float32]) -> None:
        """Change the logits of leaving the current part, and of skipping parts that have not played yet."""
        place = self._place
        left = np.float32(0.0)
        if place.part in self._wanted:
            left = np.float32(self._per_quarter(place.part) / GRID * (place.length - place.position))
        quarters = place.length / GRID
        passed = [
            (part_order(*part), float(np.clip(self._per_quarter(part) * quarters, -MOST_TO_PASS, MOST_TO_PASS)))
            for part in self._wanted
            if part_order(*part) > place.order
        ]
        costs = np.full(len(self._programs), left, np.float32)
        for each, cost in passed:
            costs[self._orders > each] += np.float32(cost)
        added = np.append(costs, np.full(len(self._bars), left + np.float32(sum(cost for _, cost in passed))))
        before = logits_V[self._exits]
        after = before + added.astype(np.float32)
        if place.part == NOBODY:  # keep the sum of these probabilities: wishes for parts must not add or remove chords
            after -= np.logaddexp.reduce(after) - np.logaddexp.reduce(before)
        logits_V[self._exits] = after


def _heard(reader: PartsReader, vocabulary: Vocabulary, ids: NDArray[np.integer]) -> dict[Part, _Level]:
    """Levels of every part that has enough notes in these bars."""
    notes = reader.notes(ids)
    quarters = notes.bar_lengths.sum() / GRID
    velocity = _velocities(reader, vocabulary, ids)
    levels = {}
    for number, part in enumerate(notes.parts):
        theirs = notes.part == number
        count = int(np.count_nonzero(theirs))
        if count >= FEWEST_NOTES:
            begun = len(np.unique(notes.bar[theirs] * 1024 + notes.position[theirs]))
            levels[part] = _Level(
                density=count / quarters,
                pitch=float(notes.pitch[theirs].mean()),
                at_once=count / begun,
                velocity=float(velocity[theirs].mean()),
                deviation=float(velocity[theirs].std()),
            )
    return levels


def _expected(part: Part, heard: Mapping[Part, _Level]) -> _Level | None:
    """The level of a new part, estimated from the other parts; None if there are none to estimate it from.

    That of the first part of the same instrument; otherwise single notes in the middle of the usual range, with the
    median density and loudness of the others. New drums are not estimated from melodic parts.
    """
    alike = [level for other, level in sorted(heard.items()) if other[0] == part[0]]
    others = [level for other, level in heard.items() if other[0] != DRUMS]
    if alike or not others or part[0] == DRUMS:
        return alike[0] if alike else None
    low, high = usual_range(part[0])
    return _Level(
        density=float(np.median([level.density / level.at_once for level in others])),
        pitch=(low + high) / 2,
        at_once=1.0,
        velocity=float(np.median([level.velocity for level in others])),
        deviation=float(np.median([level.deviation for level in others])),
    )


def _velocities(reader: PartsReader, vocabulary: Vocabulary, ids: NDArray[np.integer]) -> NDArray[np.float64]:
    """The velocity of each note, in the order of the stream: [notes]."""
    found, velocity = [], 0
    for token in ids.tolist():
        kind = vocabulary.kinds[token]
        if kind == "Velocity":
            velocity = vocabulary.values[token]
        elif kind in ("Pitch", "PitchDrum"):
            found.append(velocity)
    return np.array(found, np.float64)
