"""Scores that tests make: our own notes, nobody's music."""

from __future__ import annotations

import numpy as np
import symusic


def random_score(
    seed: int = 0, *, num_notes: int = 200, programs: tuple[int, ...] = (0, 40), drums: bool = True, tpq: int = 480
) -> symusic.Score:
    """Notes anywhere in 16 bars, on no grid, with tempo and metre changes."""
    random = np.random.default_rng(seed)
    score = symusic.Score(tpq)
    score.tempos.extend([symusic.Tempo(0, qpm=100), symusic.Tempo(16 * tpq, qpm=140)])
    score.time_signatures.extend([symusic.TimeSignature(0, 4, 4), symusic.TimeSignature(32 * tpq, 3, 4)])
    tracks = [symusic.Track(f"part {program}", program, False) for program in programs]
    if drums:
        tracks.append(symusic.Track("kit", 0, True))
    for _ in range(num_notes):
        track = tracks[random.integers(len(tracks))]
        pitch = int(random.integers(35, 60)) if track.is_drum else int(random.integers(21, 109))
        start = int(random.integers(0, 60 * tpq))
        duration = int(random.integers(tpq // 16, 3 * tpq))
        track.notes.append(symusic.Note(start, duration, pitch, int(random.integers(1, 128))))
    score.tracks.extend(tracks)
    score.sort()
    return score


def two_pianos_and_drums(*, in_unison: bool = False) -> symusic.Score:
    """Two tracks of one program and a drum track: two bars of four quarters, four seconds."""
    score = symusic.Score(480)
    score.tempos.append(symusic.Tempo(0, 120))
    score.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    for name, pitch, drum in (("Primo", 72, False), ("Secondo", 72 if in_unison else 48, False), ("Kit", 38, True)):
        track = symusic.Track(name, 0, drum)
        track.notes.extend([symusic.Note(beat * 480, 240, pitch, 80 + beat) for beat in range(8)])
        score.tracks.append(track)
    return score
