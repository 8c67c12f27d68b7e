"""Three short example pieces, so that the page can be tried without a file.

Each is a few bars in the notation of `parse`: notes separated by spaces, where "F#4:1.5" is a pitch and its length in
beats, "C4+E4+G4:2" a chord, and "-:1" a rest. Bar lines "|" are for the reader; the tests check them.

`python -m music_reformer.midi.examples FOLDER` writes them in twelve keys: a corpus to try the commands on.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import symusic

from music_reformer.midi.score import write_score

TICKS_PER_QUARTER = 480
# Notes are played a little shorter than written, so that repeated ones stay distinct.
ARTICULATION = 0.95
PITCH_CLASSES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
DRUM_PITCHES = {"kick": 36, "snare": 38, "hat": 42, "ride": 51}


@dataclass
class Part:
    """A track: General MIDI `program` (-1: drums), `text` in the notation above, and `velocity` (1 to 127)."""

    name: str
    program: int
    text: str
    velocity: int


@dataclass
class Example:
    """A short piece with `beats_per_bar` quarters in a bar and a `tempo` in quarters per minute."""

    title: str
    character: str
    tempo: float
    beats_per_bar: int
    parts: list[Part]

    def score(self) -> symusic.Score:
        """The piece as a symusic Score in ticks."""
        score = symusic.Score(TICKS_PER_QUARTER)
        score.tempos.append(symusic.Tempo(0, qpm=self.tempo))
        score.time_signatures.append(symusic.TimeSignature(0, self.beats_per_bar, 4))
        for part in self.parts:
            track = symusic.Track(name=part.name, program=max(part.program, 0), is_drum=part.program < 0)
            for beat, length, pitches in parse(part.text):
                # A gentle accent on the first beat of the bar.
                velocity = part.velocity + (6 if beat % self.beats_per_bar == 0 else 0)
                for pitch in pitches:
                    start, duration = round(beat * TICKS_PER_QUARTER), round(length * ARTICULATION * TICKS_PER_QUARTER)
                    track.notes.append(symusic.Note(start, duration, pitch, velocity))
            score.tracks.append(track)
        return score


def pitch_number(name: str) -> int:
    """MIDI number of a pitch such as "C4" (60), "F#5" or "Bb3", or of a drum such as "kick"."""
    if name in DRUM_PITCHES:
        return DRUM_PITCHES[name]
    accidentals = name[1:-1]
    return 12 * (int(name[-1]) + 1) + PITCH_CLASSES[name[0]] + accidentals.count("#") - accidentals.count("b")


def parse(text: str) -> list[tuple[float, float, list[int]]]:
    """Notes of a part in order: (start in beats, length in beats, MIDI pitches)."""
    notes, beat = [], 0.0
    for word in text.replace("|", " ").split():
        pitches, length = word.split(":")
        if pitches != "-":
            notes.append((beat, float(length), [pitch_number(name) for name in pitches.split("+")]))
        beat += float(length)
    return notes


EXAMPLES = {
    "evening": Example(
        title="Evening walk",
        character="Pop band with drums",
        tempo=84,
        beats_per_bar=4,
        parts=[
            Part(
                "Melody",
                73,
                "E5:1 G5:.5 A5:.5 G5:1 E5:1 | D5:1 E5:.5 G5:.5 D5:2 | C5:1 E5:.5 G5:.5 A5:1 G5:.5 E5:.5 |"
                "F5:1 E5:.5 D5:.5 D5:2 | E5:1 G5:.5 A5:.5 C6:1 B5:.5 A5:.5 | G5:1 D5:.5 E5:.5 G5:2 |"
                "A5:1 G5:.5 E5:.5 C5:1 D5:.5 E5:.5 | D5:1.5 C5:.5 C5:2",
                86,
            ),
            Part(
                "Piano",
                0,
                "C4+E4+G4:1 G4:.5 E4:.5 C4+E4+G4:1 G4:.5 E4:.5 | B3+D4+G4:1 G4:.5 D4:.5 B3+D4+G4:1 G4:.5 D4:.5 |"
                "C4+E4+A4:1 A4:.5 E4:.5 C4+E4+A4:1 A4:.5 E4:.5 | C4+F4+A4:1 A4:.5 F4:.5 B3+D4+G4:1 G4:.5 D4:.5 |"
                "C4+E4+G4:1 G4:.5 E4:.5 C4+E4+A4:1 A4:.5 E4:.5 | B3+D4+G4:1 G4:.5 D4:.5 B3+D4+G4:1 G4:.5 D4:.5 |"
                "C4+F4+A4:1 A4:.5 F4:.5 C4+F4+A4:1 A4:.5 F4:.5 | B3+D4+G4:1 G4:.5 D4:.5 C4+E4+G4:2",
                62,
            ),
            Part(
                "Bass",
                33,
                "C2:1.5 C2:.5 G2:2 | G2:1.5 G2:.5 D2:2 | A2:1.5 A2:.5 E2:2 | F2:1.5 F2:.5 G2:2 |"
                "C2:1.5 C2:.5 A2:2 | G2:1.5 G2:.5 B2:2 | F2:1.5 F2:.5 F2:2 | G2:1.5 G2:.5 C2:2",
                78,
            ),
            Part(
                "Drums",
                -1,
                "kick+hat:.5 hat:.5 snare+hat:.5 hat:.5 kick+hat:.5 kick+hat:.5 snare+hat:.5 hat:.5 " * 8,
                64,
            ),
        ],
    ),
    "waltz": Example(
        title="Small waltz",
        character="Piano alone, in A minor",
        tempo=132,
        beats_per_bar=3,
        parts=[
            Part(
                "Right hand",
                0,
                "E5:1.5 D#5:.5 E5:1 | C5:2 A4:1 | B4:1 C5:1 D5:1 | E5:3 | F5:1.5 E5:.5 D5:1 | C5:2 A4:1 |"
                "B4:1 G#4:1 B4:1 | A4:2 -:1 | A5:1.5 G#5:.5 A5:1 | F5:2 D5:1 | G5:1.5 F#5:.5 G5:1 | E5:2 C5:1 |"
                "F5:1 E5:1 D5:1 | C5:1 B4:1 A4:1 | B4:1 E5:1 G#4:1 | A4:3",
                84,
            ),
            Part(
                "Left hand",
                0,
                "A2:1 C4+E4:1 C4+E4:1 | A2:1 C4+E4:1 C4+E4:1 | G2:1 B3+F4:1 B3+F4:1 | C3:1 C4+E4:1 C4+E4:1 |"
                "D3:1 A3+D4:1 A3+D4:1 | A2:1 C4+E4:1 C4+E4:1 | E2:1 B3+D4:1 B3+D4:1 | A2:1 C4+E4:1 C4+E4:1 |"
                "D3:1 A3+D4:1 A3+D4:1 | D3:1 A3+F4:1 A3+F4:1 | G2:1 B3+D4:1 B3+D4:1 | C3:1 G3+E4:1 G3+E4:1 |"
                "D3:1 A3+F4:1 A3+F4:1 | E2:1 C4+E4:1 C4+E4:1 | E2:1 B3+D4:1 B3+D4:1 | A2:1 A3+C4+E4:2",
                62,
            ),
        ],
    ),
    "ground": Example(
        title="Over a ground",
        character="Strings and harpsichord, slow",
        tempo=66,
        beats_per_bar=4,
        parts=[
            Part(
                "Violins",
                48,
                "F#5:2 E5:2 | D5:2 C#5:2 | B4:2 A4:2 | B4:2 C#5:2 |"
                "F#5:1 G5:.5 F#5:.5 E5:1 A4:1 | D5:1 E5:.5 D5:.5 C#5:1 F#4:1 |"
                "B4:.5 C#5:.5 D5:.5 B4:.5 A4:1 D5:1 | G5:.5 F#5:.5 E5:.5 D5:.5 E5:1 C#5:1",
                76,
            ),
            Part(
                "Harpsichord",
                6,
                (
                    "F#4:.5 A4:.5 D5:.5 A4:.5 E4:.5 A4:.5 C#5:.5 A4:.5 |"
                    "D4:.5 F#4:.5 B4:.5 F#4:.5 C#4:.5 F#4:.5 A4:.5 F#4:.5 |"
                    "D4:.5 G4:.5 B4:.5 G4:.5 D4:.5 F#4:.5 A4:.5 F#4:.5 |"
                    "D4:.5 G4:.5 B4:.5 G4:.5 E4:.5 A4:.5 C#5:.5 A4:.5 |"
                )
                * 2,
                60,
            ),
            Part("Cello", 42, "D3:2 A2:2 | B2:2 F#2:2 | G2:2 D2:2 | G2:2 A2:2 |" * 2, 78),
        ],
    ),
}


def write_in_all_keys(folder: Path) -> int:
    """Write every example in twelve keys as MIDI files; returns the number of files."""
    paths = []
    for name, example in EXAMPLES.items():
        for semitones in range(-6, 6):
            score = example.score()
            for track in score.tracks:
                if not track.is_drum:
                    track.shift_pitch(semitones, inplace=True)
            paths.append(folder / f"{name}{semitones:+d}.mid")
            write_score(score, paths[-1])
    return len(paths)


if __name__ == "__main__":
    sys.stdout.write(f"{write_in_all_keys(Path(sys.argv[1]))} files in {sys.argv[1]}\n")
