"""Made-up melodies as notes to evaluate."""

from __future__ import annotations

import numpy as np
import symusic

from music_reformer.evaluation.notes import Notes


def melody(seed: int, num_notes: int = 60) -> list[tuple[int, int]]:
    """(beat eighths, pitch) of a made-up piece."""
    random = np.random.default_rng(seed)
    return [(int(2 * i + random.integers(0, 2)), int(random.integers(48, 84))) for i in range(num_notes)]


def notes(events: list[tuple[int, int]], *, bpm: float = 100.0, program: int = 0) -> Notes:
    score = symusic.Score(480)
    score.tempos.append(symusic.Tempo(0, bpm))
    track = symusic.Track("", program, False)
    track.notes.extend([symusic.Note(step * 60, 60, pitch, 80) for step, pitch in events])
    score.tracks.append(track)
    return Notes.of(score)
