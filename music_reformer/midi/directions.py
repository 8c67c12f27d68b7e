"""What each part does in a few bars, in coarse numbers that a composer can ask for: density, register, polyphony, end.

A direction is a bin: coarse enough to be obeyed, fine enough to be heard. `describe` computes them for a score, so that
a model can learn what they mean; the page asks for them by the same bins.

Shapes: N notes, P parts, R ranges of bars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.midi.beats import beats_of, notes_of, sounding_ticks

# Notes that begin per quarter: a bin is half an octave wide, the first is below 1/4, the last from 8 on.
DENSITY_EDGES = tuple(2 ** (step / 2) for step in range(-4, 7))
# Mean pitch, weighted by duration: bin 15 is C4 to Eb4.
REGISTER_SEMITONES = 4
# Notes that sound at once, in the mean over the time in which any does: about 1, 1.5, 2, 3, 4, 6, more.
POLYPHONY_EDGES = (1.25, 1.75, 2.5, 3.5, 5.0, 7.0)
# Bars from the beginning of the range to the end of the piece: a bin goes up to and with its number; more is the last.
ENDS_IN_BARS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32, 48, 64)


@dataclass(frozen=True)
class PartDirections:
    """What a part does in a range of bars.

    Attributes:
        track: its index in the score.
        density: bin of `DENSITY_EDGES`, 0 to 11; None where no note begins.
        register: mean pitch // `REGISTER_SEMITONES`, 0 to 31; None where it does not play, and for drums.
        polyphony: bin of `POLYPHONY_EDGES`, 0 to 6; None where it does not play, and for drums.
    """

    track: int
    density: int | None
    register: int | None
    polyphony: int | None

    @property
    def plays(self) -> bool:
        """Whether a note begins there."""
        return self.density is not None


@dataclass(frozen=True)
class RangeDirections:
    """What a range of bars holds.

    Attributes:
        first_bar: counted from 0.
        num_bars: how many.
        parts: of every track with notes, in the order of the score.
        ends_in: bin of `ENDS_IN_BARS`, 0 to 14.
    """

    first_bar: int
    num_bars: int
    parts: tuple[PartDirections, ...]
    ends_in: int


def describe(score: symusic.Score, first_bars: Sequence[int]) -> list[RangeDirections]:
    """Directions that are true of a score.

    Args:
        score: in ticks.
        first_bars: where each range begins, ascending; it lasts to the next one, the last one to the end of the piece.
            Bars before the first range are left out.
    """
    beats = beats_of(score)
    num_bars = len(beats.bar_ticks) - 1
    first = np.asarray(first_bars, dtype=np.int64)
    assert (np.diff(first, prepend=-1, append=num_bars) > 0).all(), "ranges ascend, and begin before the end"
    limits = beats.bar_ticks[np.append(first, num_bars)]
    tracks = [(index, track) for index, track in enumerate(score.tracks) if len(track.notes)]
    columns = _columns(score, tracks, limits)
    lengths = np.diff(np.append(first, num_bars)).tolist()
    ends_in = np.searchsorted(ENDS_IN_BARS, num_bars - first, side="left").tolist()
    found = []
    for row, (bar, length) in enumerate(zip(first.tolist(), lengths, strict=True)):
        parts = tuple(
            PartDirections(index, *(None if value < 0 else value for value in columns[:, row, part].tolist()))
            for part, (index, _) in enumerate(tracks)
        )
        found.append(RangeDirections(bar, length, parts, ends_in[row]))
    return found


def _columns(
    score: symusic.Score, tracks: Sequence[tuple[int, symusic.core.TrackTick]], limits: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Bins of density, register and polyphony, [3, R, P]; -1 where there is none.

    Args:
        score: where the tracks are from.
        tracks: (index, track) of the parts.
        limits: tick at which each range begins, and the end of the last, [R + 1].
    """
    notes = notes_of(tracks)
    num_ranges, num_parts = len(limits) - 1, len(tracks)
    part = np.searchsorted([index for index, _ in tracks], notes.track)
    row = np.searchsorted(limits, notes.onset, side="right") - 1
    inside = (row >= 0) & (row < num_ranges)
    begins = np.bincount(row[inside] * num_parts + part[inside], minlength=num_ranges * num_parts)
    begins = begins.reshape(num_ranges, num_parts)
    quarters = np.diff(limits)[:, None] / score.ticks_per_quarter
    density = np.digitize(begins / quarters, DENSITY_EDGES)

    sounding = sounding_ticks(notes, part, num_parts, limits, np.ones(len(notes)))
    pitched = sounding_ticks(notes, part, num_parts, limits, notes.pitch.astype(np.float64))
    register = (np.round(pitched / np.maximum(sounding, 1e-9), 6) // REGISTER_SEMITONES).astype(np.int64)
    union = np.stack([_union(notes.onset[part == one], notes.end[part == one], limits) for one in range(num_parts)], 1)
    polyphony = np.digitize(sounding / np.maximum(union, 1e-9), POLYPHONY_EDGES)

    silent = begins == 0
    is_drum = np.array([track.is_drum for _, track in tracks])
    without_pitch = silent | is_drum | (sounding <= 0)
    return np.stack(
        [
            np.where(silent, -1, density),
            np.where(without_pitch, -1, register),
            np.where(without_pitch, -1, polyphony),
        ]
    )


def _union(onset: NDArray[np.int64], end: NDArray[np.int64], limits: NDArray[np.int64]) -> NDArray[np.float64]:
    """Ticks of each range in which at least one of the notes sounds, [R]; the notes are in the order of onsets."""
    covered_until = np.maximum.accumulate(np.append(0, end))[:-1]
    start = np.maximum(onset, covered_until)
    stop = np.maximum(end, start)  # start to stop is what a note adds to the notes before it
    covered = np.cumsum(stop - start)
    edges = np.stack([start, stop], axis=1).ravel()
    covered_at_edges = np.stack([covered - (stop - start), covered], axis=1).ravel()
    return np.diff(np.interp(limits, edges, covered_at_edges))
