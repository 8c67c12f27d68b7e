"""The beats of a score, and how long each pitch sounds in each of them.

Chords, keys and forms are found on this grid. A beat is the metre's own: the unit of the time signature, or three of
them in compound metres (6/8, 9/8, 12/8).

Shapes: N notes, B beats, T times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.midi.score import last_tick, metres

COMPOUND = (6, 9, 12, 15)  # numerators that are counted in threes, over 8 and 16
# How strong a beat is: the first of a bar; the middle of a bar that has one; any other.
DOWNBEAT, HALF_BAR, WEAK = 0, 1, 2


@dataclass(frozen=True)
class Beats:
    """The beats of a score, from tick 0 to the bar line at or after the end of its last note.

    Attributes:
        tick: where each begins, and at last where the last one ends, int64 [B + 1].
        strength: `DOWNBEAT`, `HALF_BAR` or `WEAK`, int64 [B].
        bar: number of the bar, from 0, int64 [B].
        ticks_per_quarter: of the score.
    """

    tick: NDArray[np.int64]
    strength: NDArray[np.int64]
    bar: NDArray[np.int64]
    ticks_per_quarter: int

    def __len__(self) -> int:
        return len(self.strength)

    @property
    def quarters(self) -> NDArray[np.float64]:
        """Length of each beat, [B]."""
        return np.diff(self.tick) / self.ticks_per_quarter

    @property
    def bar_ticks(self) -> NDArray[np.int64]:
        """Where each bar begins, and where the last one ends."""
        return np.append(self.tick[:-1][self.strength == DOWNBEAT], self.tick[-1])


def beats_of(score: symusic.Score) -> Beats:
    """The beats of a score in ticks. A time signature inside a bar cuts it short, and with it the beat."""
    changes = metres(score)
    end = max(last_tick(score), 1)
    ticks, strengths, bars = [], [], []
    num_bars = 0
    for index, (start, numerator, denominator) in enumerate(changes):
        is_last = index + 1 == len(changes) or changes[index + 1][0] >= end
        until = end if is_last else changes[index + 1][0]
        unit = score.ticks_per_quarter * 4 / denominator
        units = 3 if numerator in COMPOUND and denominator >= 8 else 1
        bar_length = max(1, round(unit * numerator))
        per_bar = min(numerator // units, bar_length)
        count = -(-(until - start) // bar_length)
        place = np.rint(np.arange(per_bar) * (bar_length / per_bar)).astype(np.int64)
        tick = (start + np.arange(count)[:, None] * bar_length + place).ravel()
        strength = np.tile(_strengths(per_bar), count)
        bar = np.repeat(np.arange(num_bars, num_bars + count), per_bar)
        keep = slice(None) if is_last else tick < until
        ticks.append(tick[keep])
        strengths.append(strength[keep])
        bars.append(bar[keep])
        num_bars += count
        if is_last:
            ticks.append(np.array([start + count * bar_length]))
            break
    return Beats(np.concatenate(ticks), np.concatenate(strengths), np.concatenate(bars), score.ticks_per_quarter)


def _strengths(per_bar: int) -> NDArray[np.int64]:
    strength = np.full(per_bar, WEAK)
    if per_bar % 2 == 0:
        strength[per_bar // 2] = HALF_BAR
    strength[0] = DOWNBEAT
    return strength


@dataclass(frozen=True)
class PitchedNotes:
    """The notes of a score without its drums.

    Attributes:
        onset, end: in ticks, int64 [N].
        pitch: MIDI number, int64 [N].
        velocity: int64 [N].
        track: index of the track in the score, int64 [N].
    """

    onset: NDArray[np.int64]
    end: NDArray[np.int64]
    pitch: NDArray[np.int64]
    velocity: NDArray[np.int64]
    track: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pitch)


def pitched_notes(score: symusic.Score) -> PitchedNotes:
    """All notes of a score in ticks but those of drums, in the order of their onsets, pitches and ends."""
    return notes_of([(index, track) for index, track in enumerate(score.tracks) if not track.is_drum])


def notes_of(tracks: Sequence[tuple[int, symusic.core.TrackTick]]) -> PitchedNotes:
    """The notes of some (index, track), in the order of their onsets, pitches and ends."""
    columns = [track.notes.numpy() for _, track in tracks]

    def joined(name: str) -> NDArray[np.int64]:
        return np.concatenate([np.zeros(0, np.int64), *(column[name].astype(np.int64) for column in columns)])

    onset, pitch, velocity = joined("time"), joined("pitch"), joined("velocity")
    end = onset + joined("duration")
    track = np.repeat([index for index, _ in tracks], [len(column["time"]) for column in columns]).astype(np.int64)
    order = np.lexsort((end, pitch, onset))
    return PitchedNotes(onset[order], end[order], pitch[order], velocity[order], track[order])


def sounding_ticks(
    notes: PitchedNotes, row: NDArray[np.int64], num_rows: int, ticks: NDArray[np.int64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How long the notes of each row sound between consecutive times, [T - 1, rows].

    The work grows with notes and times, not with their product, however long the notes are.

    Args:
        notes: what sounds.
        row: which row each note belongs to, [N].
        num_rows: how many there are.
        ticks: increasing times, [T].
        weight: factor of each note, [N].
    """
    total = np.zeros((len(ticks), num_rows))
    # A note's sounding time up to a moment t is max(t - onset, 0) - max(t - end, 0): sums of such ramps, by row.
    for edge, sign in ((notes.onset, 1.0), (notes.end, -1.0)):
        # The first time that is not before the edge sees the rest of its interval; all later ones see whole intervals.
        first = np.searchsorted(ticks, edge, side="left")
        seen = first < len(ticks)
        cell = first[seen] * num_rows + row[seen]
        size = len(ticks) * num_rows
        slope = np.bincount(cell, weight[seen] * sign, size).reshape(len(ticks), num_rows)
        rest = np.bincount(cell, weight[seen] * sign * (ticks[first[seen]] - edge[seen]), size)
        before = np.cumsum(slope, axis=0) - slope
        total += before * np.diff(ticks, prepend=ticks[0])[:, None] + rest.reshape(len(ticks), num_rows)
    return np.maximum(total[1:], 0.0)
