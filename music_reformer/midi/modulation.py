"""Modulation: where the notes and chords of one key go in another, degree by degree of the scale.

Between keys of one mode this is a transposition. If the mode changes, too, the third, sixth and seventh degree move by
a further semitone: C major to A minor takes C to A minor, F to D minor and G to E, and leaves the leading tone raised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from music_reformer.midi.chords import INTERVALS, Chord
from music_reformer.midi.key import Key

# What is added to notes when the mode changes, by their semitones above the tonic: the third and sixth degrees are
# lowered or raised; the seventh is only raised, because minor has both sevenths, the raised one before the tonic.
TO_MINOR = (0, 0, 0, 0, -1, 0, 0, 0, 0, -1, 0, 0)
TO_MAJOR = (0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 1, 0)
LEADING_TONE = 11
# Chords on these semitones above the tonic are dominants; other chords lose the leading tone on the way to minor.
DOMINANTS = (7, LEADING_TONE)
QUALITY_OF = {intervals: quality for quality, intervals in INTERVALS.items()}


@dataclass(frozen=True)
class Modulation:
    """From one key to another.

    Attributes:
        source, target: the keys; equal ones change nothing.
    """

    source: Key
    target: Key

    @property
    def changes_key(self) -> bool:
        """Whether anything moves."""
        return self.source != self.target

    @property
    def semitones(self) -> int:
        """From the tonic of the source to the nearest tonic of the target, -5 to 6."""
        return (self.target.tonic - self.source.tonic + 5) % 12 - 5

    @property
    def changes_mode(self) -> bool:
        """Whether one key is major and the other minor."""
        return self.source.is_minor != self.target.is_minor

    def pitch(self, pitch: int) -> int:
        """Where a pitch goes; it may leave the range of MIDI."""
        return pitch + self.semitones + self._altered(pitch)

    def by_class(self, amount: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.float64]:
        """Amounts by pitch class, [12], as they are in the target."""
        moved = np.zeros(12)
        np.add.at(moved, [self.pitch(each) % 12 for each in range(12)], amount)
        return moved

    def chord(self, chord: Chord) -> Chord:
        """Where a chord goes, with its bass; a quality that the target scale lacks stays."""
        if not self.changes_mode:
            return chord.transposed(self.semitones)
        if chord.quality == "N":
            return chord
        is_dominant = (chord.root - self.source.tonic) % 12 in DOMINANTS

        def moved(pitch_class: int) -> int:
            lowers = self.target.is_minor and not is_dominant and self._degree(pitch_class) == LEADING_TONE
            return (self.pitch(pitch_class) - lowers) % 12

        root, bass = moved(chord.root), moved(chord.bass)
        tones = tuple(sorted((moved(chord.root + each) - root) % 12 for each in INTERVALS[chord.quality]))
        return Chord(root, QUALITY_OF.get(tones) or QUALITY_OF.get(tones[:3], chord.quality), bass)

    def _degree(self, pitch: int) -> int:
        return (pitch - self.source.tonic) % 12

    def _altered(self, pitch: int) -> int:
        if not self.changes_mode:
            return 0
        return (TO_MINOR if self.target.is_minor else TO_MAJOR)[self._degree(pitch)]


UNCHANGED = Modulation(Key.numbered(0), Key.numbered(0))
