"""Songs described by letters: bars of one letter are equal."""

from __future__ import annotations

import numpy as np
import symusic


def song(letters: str) -> symusic.Score:
    """A bar of 4/4 for each letter, with eight notes that no other letter has."""
    score = symusic.Score(24)
    track = symusic.Track("Song", 0, False)
    for bar, letter in enumerate(letters):
        random = np.random.default_rng(ord(letter))
        for eighth, pitch in enumerate(random.integers(55, 85, 8).tolist()):
            track.notes.append(symusic.Note(96 * bar + 12 * eighth, 12, pitch, 70))
    score.tracks.append(track)
    return score
