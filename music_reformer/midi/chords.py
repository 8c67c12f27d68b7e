"""Chords such as "Am7/C": how they are written, and which of them a score has."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import symusic

from music_reformer.errors import UserError
from music_reformer.midi.harmony import Harmony, harmony_of

# Semitones above the root of every quality, in the shorthand of Harte (2010). "N" is the absence of a chord. The fitted
# weights of `harmony.py` are in this order.
INTERVALS: dict[str, tuple[int, ...]] = {
    "maj": (0, 4, 7),
    "min": (0, 3, 7),
    "dim": (0, 3, 6),
    "aug": (0, 4, 8),
    "sus2": (0, 2, 7),
    "sus4": (0, 5, 7),
    "maj6": (0, 4, 7, 9),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "min7": (0, 3, 7, 10),
    "dim7": (0, 3, 6, 9),
    "hdim7": (0, 3, 6, 10),
    "5": (0, 7),
    "N": (),
}
QUALITIES = tuple(INTERVALS)

NOTE_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_NATURALS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_DEGREES = {1: 0, 2: 2, 3: 4, 4: 5, 5: 7, 6: 9, 7: 11}  # semitones of the degrees of a major scale
_DEGREE_NAMES = ("1", "b2", "2", "b3", "3", "4", "b5", "5", "b6", "6", "b7", "7")
# What is written after the root in lead sheets.
_SUFFIXES = {"maj": "", "min": "m", "maj6": "6", "min7": "m7", "hdim7": "m7b5"}
# Richer qualities are read as the nearest of ours.
_NEAREST = {"min6": "min", "minmaj7": "min", "9": "7", "11": "7", "13": "7"}
_NEAREST |= {f"{kind}{top}": f"{kind}7" for kind in ("maj", "min") for top in (9, 11, 13)}
_BY_SUFFIX = {_SUFFIXES.get(quality, quality): quality for quality in QUALITIES if quality != "N"}
_BY_SUFFIX |= {
    "maj": "maj",
    "min": "min",
    "m6": "min",
    "m9": "min7",
    "m11": "min7",
    "9": "7",
    "11": "7",
    "13": "7",
    "maj9": "maj7",
    "sus": "sus4",
}
_FORM = re.compile(
    r"(?P<root>[A-G][#b]*)(?P<harte>:?)(?P<quality>[a-z0-9]*)(?P<added>\([^)]*\))?(/(?P<bass>[A-G][#b]*|[#b]*[1-7]))?"
)


@dataclass(frozen=True)
class Chord:
    """A chord.

    Attributes:
        root: pitch class, 0 (C) to 11.
        quality: one of `QUALITIES`.
        bass: pitch class of the lowest note, 0 to 11; the root unless the chord is inverted or over a foreign bass.
    """

    root: int
    quality: str
    bass: int

    @property
    def pitch_classes(self) -> frozenset[int]:
        """Pitch classes, 0 to 11, the bass included."""
        if self.quality == "N":
            return frozenset()
        return frozenset((self.root + interval) % 12 for interval in INTERVALS[self.quality]) | {self.bass}

    @property
    def harte(self) -> str:
        """Harte's syntax, such as "A:min7/b3"."""
        if self.quality == "N":
            return "N"
        bass = f"/{_DEGREE_NAMES[(self.bass - self.root) % 12]}" if self.bass != self.root else ""
        return f"{NOTE_NAMES[self.root]}:{self.quality}{bass}"

    def transposed(self, semitones: int) -> Chord:
        """The chord moved up by `semitones`, with its bass."""
        if self.quality == "N":
            return self
        return Chord((self.root + semitones) % 12, self.quality, (self.bass + semitones) % 12)

    def __str__(self) -> str:
        """As lead sheets write it: "Am7/C"."""
        if self.quality == "N":
            return "N"
        bass = f"/{NOTE_NAMES[self.bass]}" if self.bass != self.root else ""
        return f"{NOTE_NAMES[self.root]}{_SUFFIXES.get(self.quality, self.quality)}{bass}"


NO_CHORD = Chord(0, "N", 0)


def parse(text: str) -> Chord:
    """Read a chord in Harte's syntax ("A:min7/b3") or as in lead sheets ("Am7/C"), without added notes in brackets.

    Raises:
        UserError: it is neither.
    """
    if text == "N":
        return NO_CHORD
    match = _FORM.fullmatch(text)
    quality = None
    if match and match["harte"]:
        quality = _NEAREST.get(match["quality"], match["quality"]) or "maj"
    elif match:
        quality = _BY_SUFFIX.get(match["quality"])
    if not match or quality not in INTERVALS or quality == "N":
        raise UserError(f"{text!r:.60} is not a known chord; write it like Am7/C, Gsus4 or F#:maj7")
    root = _pitch_class(match["root"])
    bass = match["bass"]
    if not bass:
        return Chord(root, quality, root)
    return Chord(root, quality, _pitch_class(bass) if bass[0] in _NATURALS else (root + _interval(bass)) % 12)


def recognise(score: symusic.Score) -> list[tuple[int, Chord]]:
    """The chords of a score in ticks, drums ignored: (tick, chord) of every change, at beats, the first at tick 0."""
    return changes(harmony_of(score))


def changes(harmony: Harmony) -> list[tuple[int, Chord]]:
    """(tick, chord) of every change."""
    states = np.stack([harmony.root, harmony.quality, harmony.bass], axis=1)
    new = np.flatnonzero(np.any(np.diff(states, axis=0, prepend=-1) != 0, axis=1))
    return [
        (tick, Chord(root, QUALITIES[quality], bass))
        for tick, (root, quality, bass) in zip(harmony.beats.tick[new].tolist(), states[new].tolist(), strict=True)
    ]


def _pitch_class(name: str) -> int:
    """Pitch class of a note name such as "Eb"."""
    return (_NATURALS[name[0]] + name.count("#") - name.count("b")) % 12


def _interval(degree: str) -> int:
    """Semitones of a degree of the major scale such as "b3"."""
    return (_DEGREES[int(degree[-1])] + degree.count("#") - degree.count("b")) % 12
