"""Musical statistics of a piece or an excerpt: numbers that a listener could name.

The formulas are those of MusPy (Dong et al., ISMIR 2020, arXiv 2008.01951), which the tests hold them against; MusPy
itself would bring 230 MB of other packages to every installation.
"""

from __future__ import annotations

import math

import numpy as np

from music_reformer.evaluation.notes import Notes
from music_reformer.evaluation.structure import by_lag, self_similarity, structureness

# Name -> (what a person reads, unit). The order is that of tables and plots.
STATISTICS = {
    "pitch_class_entropy": ("Pitch-class entropy", "bits"),
    "scale_consistency": ("Scale consistency", "share of notes"),
    "groove_consistency": ("Groove consistency", "share of positions"),
    "notes_per_second": ("Note density", "notes a second"),
    "polyphony": ("Polyphony", "notes at once"),
    "pitch_range": ("Pitch range", "semitones"),
    "note_beats": ("Mean note length", "quarter notes"),
    "structureness_short": ("Structureness, 3 to 8 s", "fitness"),
    "structureness_middle": ("Structureness, 8 to 15 s", "fitness"),
    "structureness_long": ("Structureness, over 15 s", "fitness"),
    "self_similarity": ("Likeness at 15 s and more", "cosine"),
}
# Positions of a bar at which onsets are told apart, as in The Jazz Transformer.
GROOVE_POSITIONS = 64
# Polyphony is sampled at this many places of a quarter note.
_SAMPLES_PER_BEAT = 24
_FAR_S = 15
# Seconds of a piece whose structure is looked at: half a second of work.
STRUCTURE_S = 120
_MAJOR = np.array([1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1], dtype=bool)
_MINOR = np.array([1, 0, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0], dtype=bool)
_SCALES = np.stack([np.roll(scale, root) for scale in (_MAJOR, _MINOR) for root in range(12)])


def statistics(notes: Notes) -> dict[str, float]:
    """All of `STATISTICS`; nan where a piece is too short or has no melodic notes.

    Structureness and likeness look at the first two minutes: the time that they take grows with the fourth power.
    """
    head = notes.between(notes.first_s, notes.first_s + STRUCTURE_S)
    fitness = structureness(head)
    lags = by_lag(self_similarity(head))
    return {
        "pitch_class_entropy": pitch_class_entropy(notes),
        "scale_consistency": scale_consistency(notes),
        "groove_consistency": groove_consistency(notes),
        "notes_per_second": notes_per_second(notes),
        "polyphony": polyphony(notes),
        "pitch_range": pitch_range(notes),
        "note_beats": note_beats(notes),
        "structureness_short": fitness["short"],
        "structureness_middle": fitness["middle"],
        "structureness_long": fitness["long"],
        "self_similarity": float(lags[_FAR_S:].mean()) if len(lags) > _FAR_S else math.nan,
    }


def pitch_class_entropy(notes: Notes) -> float:
    """Entropy of the pitch classes of the notes, 0 to log2 12 bits; drums aside."""
    counts = _pitch_classes(notes)
    share = counts[counts > 0] / max(1, counts.sum())
    return float(-(share * np.log2(share)).sum()) + 0.0 if len(share) else math.nan


def scale_consistency(notes: Notes) -> float:
    """Largest share of the notes that lies in one major or minor scale (Mogren, C-RNN-GAN, 2016); drums aside."""
    counts = _pitch_classes(notes)
    return float((_SCALES @ counts).max() / counts.sum()) if counts.sum() else math.nan


def groove_consistency(notes: Notes) -> float:
    """Share of the positions of a bar at which a bar has an onset or none just as the one before, averaged over bars.

    1 minus the Hamming distance of neighbouring bars' onsets at 64 positions (The Jazz Transformer, section 4.2).
    """
    if not len(notes) or notes.bar[-1] == notes.bar[0]:
        return math.nan
    grid = np.zeros((int(notes.bar.max() - notes.bar.min()) + 1, GROOVE_POSITIONS), dtype=bool)
    # The hair keeps 15.999... sixteenths, a rounding error, from falling one position short.
    grid[notes.bar - notes.bar.min(), (notes.place_in_bar * GROOVE_POSITIONS + 1e-6).astype(int)] = True
    return float(1 - (grid[1:] != grid[:-1]).mean())


def notes_per_second(notes: Notes) -> float:
    """Notes that begin, a second, from the first onset to the last note's end."""
    seconds = notes.last_s - notes.first_s
    return len(notes) / seconds if seconds > 0 else math.nan


def polyphony(notes: Notes) -> float:
    """Mean number of pitches that sound while at least one does; drums aside."""
    melodic = notes.where(~notes.drum)
    if not len(melodic):
        return math.nan
    begin = float(melodic.onset_beats.min())
    start = np.rint((melodic.onset_beats - begin) * _SAMPLES_PER_BEAT).astype(int)
    end = np.maximum(start + 1, np.rint((melodic.end_beats - begin) * _SAMPLES_PER_BEAT).astype(int))
    change = np.zeros((128, int(end.max()) + 1), dtype=np.int64)
    np.add.at(change, (melodic.pitch, start), 1)
    np.add.at(change, (melodic.pitch, end), -1)
    pitches = (change.cumsum(axis=1) > 0).sum(axis=0)
    return float(pitches.sum() / np.count_nonzero(pitches))


def pitch_range(notes: Notes) -> float:
    """Semitones from the lowest to the highest note; drums aside."""
    pitches = notes.pitch[~notes.drum]
    return float(pitches.max() - pitches.min()) if len(pitches) else math.nan


def note_beats(notes: Notes) -> float:
    """Mean length of the notes in quarter notes; drums aside."""
    melodic = ~notes.drum
    return float((notes.end_beats - notes.onset_beats)[melodic].mean()) if melodic.any() else math.nan


def _pitch_classes(notes: Notes) -> np.ndarray:
    return np.bincount(notes.pitch[~notes.drum] % 12, minlength=12)
