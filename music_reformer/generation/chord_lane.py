"""ChordLane: writes the requested chords into the new bars, and leads the notes to them (Parts encoding).

As in training, the model reads the chords of a bar before its notes, but they are given instead of chosen. It was
trained on chords recognised in the notes, so it follows them. In addition, notes outside the chord are made rarer, more
so on the beat than off it, and so are notes held into a chord that lacks them. The lowest part begins each chord on its
bass. Root, third and fifth become more likely the less they have sounded during the chord, so that thin textures show
which chord it is, too.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from music_reformer.generation.cast import Cast
from music_reformer.generation.chord_tokens import chord_tokens
from music_reformer.generation.director import heard_bars
from music_reformer.generation.parts_follower import NOBODY, PartsFollower
from music_reformer.generation.steering import PITCH_CLASSES
from music_reformer.midi.chords import INTERVALS, NO_CHORD, Chord
from music_reformer.midi.lead_sheet import LeadSheet, places
from music_reformer.midi.parts import GRID
from music_reformer.midi.parts_reader import Part, PartsReader
from music_reformer.midi.vocabulary import DRUMS, Vocabulary

# Added to the logit of a pitch: outside the chord, on a beat or off it; outside the next chord, into which the note
# would be held; and other than the bass, where the lowest part begins a chord.
OUTSIDE_ON_BEAT, OUTSIDE_OFF_BEAT, HANGS_OVER, NOT_THE_BASS = -6.0, -4.0, -4.0, -6.0
# The shares that root, third and fifth should have of the sounding time in a chord; the weight of the logarithm of
# wanted over actual share; and what is added to both, so that small shares count as equal.
ROOT, THIRD, FIFTH = 0.4, 0.35, 0.25
SHARE_WEIGHT, SLACK = 3.0, 0.1


def lowest_part(reader: PartsReader, prompt: Sequence[int], cast: Cast | None = None) -> Part | None:
    """The part of the cast, drums excepted, with the lowest mean pitch in the last bars; None if none plays."""
    ids = np.array(prompt)
    if (span := heard_bars(reader, ids)) is None:
        return None
    notes = reader.notes(ids[span])
    means = {
        part: float(notes.pitch[notes.part == i].mean())
        for i, part in enumerate(notes.parts)
        if part[0] != DRUMS and (cast is None or cast.may_play(part))
    }
    return min(means, key=lambda part: means[part], default=None)


class ChordLane:
    """Follows one stream token by token, from the line of the first new bar on.

    Args:
        vocabulary: of the tokenizer.
        sheet: the chords, from the first new bar on.
        metre: metre of that bar.
        lowest: the part that plays the bass; None: no part does.
        writes: whether to write chords into the new bars; False: the model reads them with the parts that stay.
    """

    def __init__(
        self, vocabulary: Vocabulary, sheet: LeadSheet, *, metre: tuple[int, int], lowest: Part | None, writes: bool
    ) -> None:
        self._vocabulary, self._sheet, self._lowest, self._writes = vocabulary, sheet, lowest, writes
        self._place = PartsFollower(vocabulary, metre)
        ids_of = vocabulary.ids_of
        self._pitches = slice(ids_of["Pitch"][0], ids_of["Pitch"][-1] + 1)
        self._others = [*ids_of["Position"], *ids_of["ChordRoot"], *ids_of["ChordBass"], *ids_of["NoChord"]]
        self._outside: dict[Chord, NDArray[np.float32]] = {}
        self._begin_bar()

    def copy(self) -> ChordLane:
        """An independent lane at the same place."""
        other = copy.copy(self)
        other._place, other._due = self._place.copy(), list(self._due)
        other._sounded = [each.copy() for each in self._sounded]
        return other

    def _begin_bar(self) -> None:
        chords = self._sheet.of_bar(self._place.bar)
        begins = places(len(chords), self._place.metre[0], self._place.length)
        before = (None, *chords)  # a chord is written where it changes
        self._chords = [
            (begin, chord) for begin, chord, last in zip(begins, chords, before, strict=False) if chord != last
        ]
        # By chord: how long each pitch class has sounded, in positions.
        self._sounded = [np.zeros(12) for _ in self._chords]
        self._due: list[int] = []
        for begin, chord in self._chords if self._writes else ():
            self._due += [self._vocabulary.ids["Position", begin]] if begin else []
            self._due += chord_tokens(self._vocabulary, chord)

    def take(self, token: int) -> None:
        """Note the next token."""
        bar = self._place.bar
        self._place.follow(token)
        if self._place.bar != bar:
            self._begin_bar()
        elif self._due and token == self._due[0]:
            del self._due[0]
        elif self._place.kind == "Pitch" and self._chords:
            left = self._next()[0] - self._place.position
            self._sounded[self._number][self._place.value % 12] += min(self._place.duration, left)

    @property
    def chord(self) -> Chord | None:
        """The requested chord where the next note begins; None if none is requested there."""
        return self._chords[self._number][1] if self._chords else None

    @property
    def _number(self) -> int:
        """Index of that chord among those of its bar, the first of which begins at the bar line."""
        return sum(begin <= self._place.position for begin, _ in self._chords) - 1

    def _next(self) -> tuple[int, Chord | None]:
        """The position, counted from the bar line, where the next chord begins, and that chord; None if not given."""
        number = self._number + 1
        if number < len(self._chords):
            return self._chords[number]
        following = self._sheet.of_bar(self._place.bar + 1)
        return self._place.length, following[0] if following else None

    def narrowed(self, allowed_V: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The allowed tokens, limited at the beginning of a bar to its requested chords."""
        if not self._chords or self._place.part != NOBODY or not self._writes:
            return allowed_V
        narrowed_V = allowed_V.copy()
        if self._due:
            narrowed_V[:] = False
            narrowed_V[self._due[0]] = allowed_V[self._due[0]]
        else:
            narrowed_V[self._others] = False
        return narrowed_V if narrowed_V.any() else allowed_V

    def lean(self, logits_V: NDArray[np.float32]) -> None:
        """Lower, in place, the logits of the current part's pitches outside the chord."""
        chord, place = self.chord, self._place
        if chord is None or chord == NO_CHORD or place.part[0] == DRUMS:
            return
        on_beat = place.position % GRID == 0
        logits_V[self._pitches] += (OUTSIDE_ON_BEAT if on_beat else OUTSIDE_OFF_BEAT) * self._outside_of(chord)
        begin, coming = self._next()
        if coming is not None and place.position + place.duration > begin + GRID // 4:
            logits_V[self._pitches] += HANGS_OVER * self._outside_of(coming)
        logits_V[self._pitches] += _wanted(chord, self._sounded[self._number])[PITCH_CLASSES]
        begins_chord = any(begin == place.position for begin, _ in self._chords)
        # Pitches rise at a position, so the first of them is the lowest.
        if place.part == self._lowest and begins_chord and not place.begins_note:
            logits_V[self._pitches] += NOT_THE_BASS * (chord.bass != PITCH_CLASSES)

    def _outside_of(self, chord: Chord) -> NDArray[np.float32]:
        """1.0 for pitches outside the chord, else 0.0; float32 [128]. `NO_CHORD` has none outside."""
        if chord not in self._outside:
            inside = np.isin(PITCH_CLASSES, list(chord.pitch_classes)) | (chord == NO_CHORD)
            self._outside[chord] = np.where(inside, 0.0, 1.0).astype(np.float32)
        return self._outside[chord]


def _wanted(chord: Chord, sounded: NDArray[np.float64]) -> NDArray[np.float32]:
    """What is added to the logit of each pitch class, [12]: for root, third and fifth more, the less they have sounded.

    Args:
        chord: the current chord.
        sounded: how long each pitch class has sounded in it, [12].
    """
    share = sounded / max(float(sounded.sum()), 1.0)
    lean = np.zeros(12, np.float32)
    for step, wanted in ((0, ROOT), (3, THIRD), (4, THIRD), (6, FIFTH), (7, FIFTH), (8, FIFTH)):
        if step in INTERVALS[chord.quality]:
            pitch_class = (chord.root + step) % 12
            lean[pitch_class] = SHARE_WEIGHT * np.log((wanted + SLACK) / (share[pitch_class] + SLACK))
    return lean
