"""Adds a bass and drums by rule to songs without them, so that a model of piano arrangements learns to continue bands.

The bass plays the lowest note of each half bar in one of a few patterns. The drums play one of a few grooves, with
fills at the end and cymbals at the start of each section of eight bars. Each song has two kinds of sections, with
patterns of their own. Everything is in straight sixteenths and 4/4.
"""

from __future__ import annotations

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.midi.score import metres, note_columns

BASS_PROGRAMS, BASS_ODDS = [33, 32, 34, 35, 38, 39], [0.5, 0.15, 0.12, 0.08, 0.08, 0.07]
LOWEST_ROOT, HIGHEST_ROOT = 28, 43  # of the bass: E1 to G2
BAR, HALF = 16, 8  # sixteenths
SECTION = 8  # bars

# (sixteenth in the half bar, length in sixteenths, semitones above the root)
BASS_PATTERNS: dict[str, list[tuple[int, int, int]]] = {
    "halves": [(0, 8, 0)],
    "dotted": [(0, 6, 0), (6, 2, 0)],
    "quarters": [(0, 4, 0), (4, 4, 0)],
    "eighths": [(0, 2, 0), (2, 2, 0), (4, 2, 0), (6, 2, 0)],
    "fifths": [(0, 4, 0), (4, 4, 7)],
    "octaves": [(0, 2, 0), (2, 2, 12), (4, 2, 0), (6, 2, 12)],
    "pushed": [(0, 3, 0), (3, 3, 0), (6, 2, 0)],
    "answered": [(0, 4, 0), (6, 2, 7)],
}
KICK, SIDE_STICK, SNARE, CLOSED, OPEN, RIDE, CRASH = 36, 37, 38, 42, 46, 51, 49
TOMS = [50, 47, 45, 43]
# Drum -> sixteenths of the bar. The first drum of each groove keeps time.
GROOVES: dict[str, dict[int, list[int]]] = {
    "rock": {CLOSED: [0, 2, 4, 6, 8, 10, 12, 14], KICK: [0, 8], SNARE: [4, 12]},
    "rock, pushed": {CLOSED: [0, 2, 4, 6, 8, 10, 12, 14], KICK: [0, 6, 8], SNARE: [4, 12]},
    "pop": {CLOSED: [0, 2, 4, 6, 8, 10, 12, 14], KICK: [0, 7, 10], SNARE: [4, 12]},
    "sixteenths": {CLOSED: list(range(16)), KICK: [0, 3, 8, 11], SNARE: [4, 12]},
    "ballad": {CLOSED: [0, 4, 8, 12], KICK: [0, 8], SIDE_STICK: [4, 12]},
    "ballad, moving": {CLOSED: [0, 2, 4, 6, 8, 10, 12, 14], KICK: [0, 8, 10], SIDE_STICK: [4, 12]},
    "half time": {CLOSED: [0, 2, 4, 6, 8, 10, 12, 14], KICK: [0, 6], SNARE: [8]},
    "ride": {RIDE: [0, 2, 4, 6, 8, 10, 12, 14], KICK: [0, 8, 14], SNARE: [4, 12]},
    "four on the floor": {OPEN: [2, 6, 10, 14], KICK: [0, 4, 8, 12], SNARE: [4, 12]},
}


def with_rhythm_section(score: symusic.Score, random: np.random.Generator) -> symusic.Score | None:
    """A copy with a bass, drums, or (mostly) both.

    Args:
        score: a score on its grid (`align.aligned`).
        random: draws patterns, instruments, and the bars without them.

    Returns:
        The copy. None if the score is not in 4/4 throughout, has a bass or drums already, or has no whole number of
        ticks per sixteenth.
    """
    tracks = [track for track in score.tracks if len(track.notes)]
    if any(track.is_drum or 32 <= track.program < 40 for track in tracks):
        return None
    if {metre[1:] for metre in metres(score)} != {(4, 4)} or score.ticks_per_quarter % 4:
        return None
    sixteenth = score.ticks_per_quarter // 4
    roots = _roots(score)
    num_bars = len(roots) // 2
    playing = _playing(num_bars, random)
    second_kind = np.repeat(random.random(num_bars // SECTION + 1) < 0.4, SECTION)[:num_bars]
    who = random.random()
    copy = score.copy()
    if who < 0.85:
        copy.tracks.append(_bass(roots, playing, second_kind, sixteenth, random))
    if not 0.7 <= who < 0.85:
        copy.tracks.append(_drums(playing, second_kind, sixteenth, random))
    return copy


def _roots(score: symusic.Score) -> NDArray[np.int64]:
    """Pitch class of the lowest note on the first beat of each half bar (or else within it), [half bars]; -1: none."""
    half = score.ticks_per_quarter * 2
    time, duration, pitch = note_columns(score.tracks).values()
    num_halves = 2 * (-(-int((time + duration).max()) // (2 * half)))
    lowest = np.full((2, num_halves), 128)
    for begin, tone, end in zip(time, pitch, time + duration, strict=True):
        first, last = int(begin // half), int((end - 1) // half)
        # The half bars in which the note sounds, and those in which it sounds at the first beat.
        lowest[1, first : last + 1] = np.minimum(lowest[1, first : last + 1], tone)
        from_beat = first if begin % half < half // 2 else first + 1
        lowest[0, from_beat : last + 1] = np.minimum(lowest[0, from_beat : last + 1], tone)
    root = np.where(lowest[0] < 128, lowest[0], lowest[1])
    return np.where(root < 128, root % 12, -1)


def _playing(num_bars: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """The bars with a rhythm section, [bars]: often not the first ones, and sometimes not some in the middle."""
    playing = np.ones(num_bars, dtype=bool)
    if random.random() < 0.5:
        playing[: random.choice([2, 4, 8])] = False
    if random.random() < 0.3:
        begin = SECTION * random.integers(1, max(2, num_bars // SECTION))
        playing[begin : begin + random.choice([4, 8])] = False
    return playing


def _bass(
    roots: NDArray[np.int64],
    playing: NDArray[np.bool_],
    second_kind: NDArray[np.bool_],
    sixteenth: int,
    random: np.random.Generator,
) -> symusic.Track:
    track = symusic.Track(name="Bass", program=int(random.choice(BASS_PROGRAMS, p=BASS_ODDS)))
    patterns = [BASS_PATTERNS[name] for name in random.choice(list(BASS_PATTERNS), size=2)]
    loudness, near = int(random.integers(70, 100)), float(random.uniform(LOWEST_ROOT + 3, HIGHEST_ROOT - 3))
    for half, root in enumerate(roots):
        bar = half // 2
        if root < 0 or not playing[bar]:
            continue
        octaves = np.arange(LOWEST_ROOT + (root - LOWEST_ROOT) % 12, HIGHEST_ROOT + 1, 12)
        pitch = int(octaves[np.abs(octaves - near).argmin()])
        near = 0.7 * pitch + 0.3 * near
        for place, length, above in patterns[int(second_kind[bar])]:
            velocity = loudness + (6 if place == 0 else 0) + int(random.integers(-4, 5))
            track.notes.append(
                symusic.Note((half * HALF + place) * sixteenth, length * sixteenth, pitch + above, velocity)
            )
    return track


def _drums(
    playing: NDArray[np.bool_], second_kind: NDArray[np.bool_], sixteenth: int, random: np.random.Generator
) -> symusic.Track:
    track = symusic.Track(name="Drums", is_drum=True)
    grooves = [GROOVES[name] for name in random.choice(list(GROOVES), size=2)]
    loudness, fill_length = int(random.integers(70, 100)), int(random.choice([2, 4, 8]))

    def strike(bar: int, place: int, drum: int, louder: int = 0) -> None:
        velocity = loudness + louder + int(random.integers(-4, 5))
        track.notes.append(symusic.Note((bar * BAR + place) * sixteenth, sixteenth, drum, velocity))

    for bar in np.flatnonzero(playing).tolist():
        last = bar + 1 == len(playing) or not playing[bar + 1] or second_kind[bar] != second_kind[bar + 1]
        fills = (last or bar % SECTION == SECTION - 1) and random.random() < 0.8
        until = BAR - fill_length if fills else BAR
        for number, (drum, places) in enumerate(grooves[int(second_kind[bar])].items()):
            for place in places:
                if place < until:
                    off_beat = number == 0 and place % 4
                    strike(bar, place, drum, -14 if off_beat else -4 if number == 0 else 4)
        for place in range(until, BAR):
            if place % 2 == 0 or random.random() < 0.5:
                tom = TOMS[min((place - until) * len(TOMS) // fill_length, len(TOMS) - 1)]
                strike(bar, place, SNARE if random.random() < 0.4 else tom, 2)
        begins = bar == 0 or not playing[bar - 1] or second_kind[bar] != second_kind[bar - 1] or bar % SECTION == 0
        if begins and random.random() < 0.8:
            strike(bar, 0, CRASH, 6)
    track.notes.sort(key=lambda note: (note.time, note.pitch), inplace=True)
    return track
