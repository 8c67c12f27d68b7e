"""Written songs, played without a click."""

from __future__ import annotations

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.midi.examples import EXAMPLES

TICKS_PER_QUARTER = 384
TICKS_PER_SECOND = 2 * TICKS_PER_QUARTER  # at 120 quarters a minute, which nobody heeds


def played(
    example: str, *, rubato: float = 0.08, miss: float = 0.012, silence: float = 1.3
) -> tuple[symusic.Score, NDArray[np.float64]]:
    """An example piece as a recording on a keyboard, and the seconds at which its quarters really begin.

    Args:
        rubato: standard deviation of the logarithm of the tempo, which drifts.
        miss: standard deviation of the notes' timing errors, in seconds.
        silence: seconds before the first beat.
    """
    written = EXAMPLES[example].score()
    random = np.random.default_rng(4)
    quarters = written.end() // written.ticks_per_quarter + 2
    wandering = np.zeros(quarters)
    for index in range(1, quarters):
        wandering[index] = 0.9 * wandering[index - 1] + random.normal() * rubato * 0.44
    beats = silence + np.concatenate([[0.0], np.cumsum(60 / written.tempos[0].qpm * np.exp(wandering))])
    score = symusic.Score(TICKS_PER_QUARTER)
    score.tempos.append(symusic.Tempo(0, 120.0))
    for track in written.tracks:
        copy = symusic.Track(name=track.name, program=track.program, is_drum=track.is_drum)
        for note in track.notes:
            begin, end = (
                np.interp(
                    [note.time / written.ticks_per_quarter, note.end / written.ticks_per_quarter],
                    np.arange(quarters + 1),
                    beats,
                )
                + random.normal(size=2) * miss
            )
            tick = max(0, round(begin * TICKS_PER_SECOND))
            copy.notes.append(
                symusic.Note(tick, max(20, round(end * TICKS_PER_SECOND) - tick), note.pitch, note.velocity)
            )
        score.tracks.append(copy)
    return score, beats
