"""Musical statistics of a piece or an excerpt.

The formulas are those of MusPy (Dong et al., ISMIR 2020, arXiv 2008.01951), and the tests compare with it. MusPy is not
a dependency, because it brings 230 MB of other packages.
"""

from __future__ import annotations

import math

import numpy as np

from music_reformer.evaluation.notes import Notes
from music_reformer.evaluation.structure import by_lag, self_similarity, structureness

# Name -> (label, unit), in the order of tables and plots.
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
    "self_similarity": ("Self-similarity at lags of 15 s and more", "cosine"),
}
# Resolution of onsets in positions per bar, as in The Jazz Transformer.
GROOVE_POSITIONS = 64
# Samples of polyphony per quarter note.
_SAMPLES_PER_BEAT = 24
_FAR_S = 15
# Seconds of a piece over which structure is computed, which takes half a second.
STRUCTURE_S = 120
_MAJOR = np.array([1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1], dtype=bool)
_MINOR = np.array([1, 0, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0], dtype=bool)
_SCALES = np.stack([np.roll(scale, root) for scale in (_MAJOR, _MINOR) for root in range(12)])


def statistics(notes: Notes) -> dict[str, float]:
    """All of `STATISTICS`; nan if a piece is too short or has no melodic notes.

    Structureness and self-similarity use the first two minutes, because their cost grows with the fourth power of the
    length.
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
    """Entropy of the pitch classes of the notes without drums, 0 to log2 12 bits."""
    counts = _pitch_classes(notes)
    share = counts[counts > 0] / max(1, counts.sum())
    return float(-(share * np.log2(share)).sum()) + 0.0 if len(share) else math.nan


def scale_consistency(notes: Notes) -> float:
    """Largest share of the notes, without drums, that is in one major or minor scale (Mogren, C-RNN-GAN, 2016)."""
    counts = _pitch_classes(notes)
    return float((_SCALES @ counts).max() / counts.sum()) if counts.sum() else math.nan


def groove_consistency(notes: Notes) -> float:
    """Mean share of positions at which a bar agrees with the bar before in having an onset or none.

    That is 1 minus the Hamming distance between the onsets of successive bars at 64 positions (The Jazz Transformer,
    section 4.2).
    """
    if not len(notes) or notes.bar[-1] == notes.bar[0]:
        return math.nan
    grid = np.zeros((int(notes.bar.max() - notes.bar.min()) + 1, GROOVE_POSITIONS), dtype=bool)
    # The small constant keeps 15.999... (a rounding error) from becoming 15.
    grid[notes.bar - notes.bar.min(), (notes.place_in_bar * GROOVE_POSITIONS + 1e-6).astype(int)] = True
    return float(1 - (grid[1:] != grid[:-1]).mean())


def notes_per_second(notes: Notes) -> float:
    """Notes per second, from the first onset to the end of the last note."""
    seconds = notes.last_s - notes.first_s
    return len(notes) / seconds if seconds > 0 else math.nan


def polyphony(notes: Notes) -> float:
    """Mean number of pitches that sound together while at least one does, without drums."""
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
    """Semitones from the lowest to the highest note, without drums."""
    pitches = notes.pitch[~notes.drum]
    return float(pitches.max() - pitches.min()) if len(pitches) else math.nan


def note_beats(notes: Notes) -> float:
    """Mean length of the notes in quarter notes, without drums."""
    melodic = ~notes.drum
    return float((notes.end_beats - notes.onset_beats)[melodic].mean()) if melodic.any() else math.nan


def _pitch_classes(notes: Notes) -> np.ndarray:
    return np.bincount(notes.pitch[~notes.drum] % 12, minlength=12)
