"""A made-up piece that continues for some bars, faithfully or with an audible fault."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import symusic

from music_reformer.evaluation.checks import BARS_BEFORE

BAR, NEW = 1920, 8
C_MAJOR = (0, 2, 4, 5, 7, 9, 11)
Note = tuple[int, int, int, int]  # onset and duration in ticks, pitch, track: 0 piano, 1 bass, 2 drums


def bar_of(number: int) -> list[Note]:
    """A bar of a band in C major; no two in a row are the same."""
    start, random = number * BAR, np.random.default_rng(number)
    melody = [(start + 240 * i, 240, 60 + int(random.choice(C_MAJOR)), 0) for i in range(8)]
    bass = [(start + 960 * i, 960, 36 + int(random.choice((0, 5, 7))), 1) for i in range(2)]
    drums = [(start + 480 * i, 60, 36 if i % 2 == 0 else 38, 2) for i in range(4)]
    return melody + bass + drums


def piece(change: Callable[[Note], list[Note]] = lambda note: [note]) -> symusic.Score:
    """16 bars, and 8 new ones in which `change` replaces each note."""
    score = symusic.Score(480)
    score.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    for program, drum in ((0, False), (33, False), (0, True)):
        score.tracks.append(symusic.Track("", program, drum))
    for number in range(BARS_BEFORE + NEW):
        for note in bar_of(number):
            for time, duration, pitch, track in [note] if number < BARS_BEFORE else change(note):
                score.tracks[track].notes.append(symusic.Note(time, duration, pitch, 80))
    return score


FAULTS: dict[str, Callable[[Note], list[Note]]] = {
    "key": lambda n: [(n[0], n[1], n[2] + (n[3] == 0 and n[2] % 12 in (0, 5, 7)), n[3])],
    "pitch classes": lambda n: [(n[0], n[1], n[2] if n[3] == 2 else 59 if n[3] == 0 else 47, n[3])],
    "density": lambda n: [n] if n[0] % BAR == 0 else [],
    "rhythm": lambda n: [(n[0] + 90, n[1], n[2], n[3])],
    "register": lambda n: [(n[0], n[1], n[2] + (24 if n[3] == 0 else 0), n[3])],
    "empty bars": lambda n: [] if n[0] // BAR == BARS_BEFORE + 3 else [n],
    "loops": lambda n: [(n[0], n[1], 60 + n[0] % BAR // 240, n[3]) if n[3] == 0 else (n[0], n[1], 36, n[3])],
    "instruments": lambda n: [] if n[3] == 1 else [n],
    "polyphony": lambda n: [(n[0], n[1], n[2] + k, n[3]) for k in ((0, 4, 7, 12, 16, 19) if n[3] == 1 else (0,))],
}
