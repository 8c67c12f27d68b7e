"""Makes pieces whose chords are known: every quality, inversion and texture, without the habits of one style.

Pop songs have hardly any diminished seventh chords and no power chords, so the chord recogniser learns from these
pieces as well (`fit_chords.py`), and is measured on others of them (`chords.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import symusic

from music_reformer.midi.chords import INTERVALS, NO_CHORD, Chord

QUARTER = 24
# How often each quality is drawn.
ODDS = {
    "maj": 22, "min": 18, "7": 13, "min7": 8, "maj7": 6, "dim": 4, "dim7": 5, "hdim7": 5,
    "aug": 3, "sus2": 3, "sus4": 4, "maj6": 2, "5": 6, "N": 1,
}  # fmt: skip
# Semitones from a root to the next, mostly fifths, fourths and steps.
STEPS, STEP_ODDS = (5, 7, 2, 10, 9, 3, 8, 4, 1, 11, 6, 0), (24, 14, 10, 8, 8, 6, 6, 5, 5, 5, 3, 6)
TEXTURES = ("held", "repeated", "up", "up and down", "broken", "bass and chord")


@dataclass(frozen=True)
class MadePiece:
    """A score, and its chords from beat to beat."""

    score: symusic.Score
    chords: list[Chord]


def made_piece(random: np.random.Generator, num_bars: int = 12) -> MadePiece:
    """A piece of one texture (power chords and rests have their own), with or without a melody."""
    per_bar = int(random.choice([4, 3]))
    score = symusic.Score(QUARTER)
    score.time_signatures = [symusic.TimeSignature(0, per_bar, 4)]
    accompaniment, melody = symusic.Track(), symusic.Track()
    texture = str(random.choice(TEXTURES))
    has_melody, has_bass = random.random() < 0.6, random.random() < 0.7
    by_beat: list[Chord] = []
    root = int(random.integers(12))
    lengths = {4: [(4, 0.45), (2, 0.4), (1, 0.15)], 3: [(3, 0.8), (1, 0.2)]}[per_bar]
    while len(by_beat) < num_bars * per_bar:
        fitting = [(length, odds) for length, odds in lengths if len(by_beat) % length == 0]
        odds = np.array([odds for _, odds in fitting])
        length = int(random.choice([length for length, _ in fitting], p=odds / odds.sum()))
        root = (root + int(random.choice(STEPS, p=np.array(STEP_ODDS) / sum(STEP_ODDS)))) % 12
        chord = _drawn(root, random)
        _accompany(accompaniment, chord, len(by_beat), length, texture, has_bass, random)
        if has_melody and chord.quality != "N":
            _sing(melody, chord, len(by_beat), length, random)
        by_beat += [chord] * length
    score.tracks = [accompaniment, melody]
    return MadePiece(score, by_beat)


def _drawn(root: int, random: np.random.Generator) -> Chord:
    quality = str(random.choice(list(ODDS), p=np.array(list(ODDS.values())) / sum(ODDS.values())))
    if quality == "N":
        return NO_CHORD
    # Symmetrical chords have the root that their bass says, and a sixth chord upside down is a seventh chord.
    is_inverted = random.random() < 0.25 and quality not in ("5", "aug", "dim7", "maj6", "sus2", "sus4")
    tone = int(random.choice(INTERVALS[quality])) if is_inverted else 0
    return Chord(root, quality, (root + tone) % 12)


def _add(track: symusic.Track, onset: float, length: float, pitch: int) -> None:
    track.notes.append(symusic.Note(round(onset * QUARTER), max(1, round(length * QUARTER)), pitch, 80))


def _accompany(
    track: symusic.Track,
    chord: Chord,
    start: int,
    length: int,
    texture: str,
    has_bass: bool,
    random: np.random.Generator,
) -> None:
    """Notes of a chord, the bass lowest."""
    if chord.quality == "N":
        return
    low = 36 + (chord.bass - 36) % 12
    if chord.quality == "5":
        each = float(random.choice([0.5, 1.0, length]))
        for number in range(round(length / each)):
            for pitch in (low, low + 7, *([low + 12] if random.random() < 0.7 else [])):
                _add(track, start + number * each, each, pitch)
        return
    bottom = int(random.integers(49, 60))
    tones = [bottom + (chord.root + step - bottom) % 12 for step in INTERVALS[chord.quality]]
    if len(tones) == 4 and random.random() < 0.15:
        tones.pop(2)  # seventh chords often lack their fifth
    tones.sort()
    if not has_bass:
        tones = [bass := bottom + (chord.bass - bottom) % 12, *(bass + (tone - bass) % 12 for tone in tones)]
        tones = sorted(set(tones))
    else:
        _add(track, start, length, low)
    if texture == "held":
        for tone in tones:
            _add(track, start, length, tone)
    elif texture in ("repeated", "bass and chord"):
        each = float(random.choice([0.5, 1.0]))
        first = 1 if texture == "bass and chord" and length * 1.0 > each else 0
        if first:
            _add(track, start, each, tones[0] if not has_bass else low + 12)
        for number in range(first, round(length / each)):
            for tone in tones:
                _add(track, start + number * each, each, tone)
    else:
        order = {
            "up": tones,
            "up and down": [*tones, *tones[-2:0:-1]],
            "broken": [tones[0], tones[-1], *tones[1:-1], tones[-1]],
        }[texture]
        each = float(random.choice([0.25, 0.5])) if length > 1 else 0.25
        for number in range(round(length / each)):
            _add(track, start + number * each, each, order[number % len(order)])


def _sing(track: symusic.Track, chord: Chord, start: int, length: int, random: np.random.Generator) -> None:
    """A melody above the chord: mostly its notes, and notes beside them."""
    # Over power chords the melody leaves out the third, or they would be triads.
    tones = (0, 7, 2, 5, 10) if chord.quality == "5" else INTERVALS[chord.quality]
    beat = 0.0
    while beat < length:
        lasts = min(float(random.choice([0.5, 1.0, 1.5, 2.0])), length - beat)
        step = int(random.choice(tones))
        if chord.quality != "5" and random.random() < 0.3:
            step += int(random.choice([-2, -1, 1, 2]))
        if random.random() < 0.85:
            _add(track, start + beat, lasts, 67 + (chord.root + step - 67) % 12)
        beat += lasts
