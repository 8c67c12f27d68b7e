"""Finds the beats of music that was played without a click, from its notes alone.

A hidden Markov model moves through the beat in frames of 20 ms: a state is a tempo and a place in the beat
(the bar pointer of Whiteley, Cemgil and Godsill 2006, in the state space of Krebs, Böck and Widmer 2015, on onsets of
notes instead of sound). Where a bar begins is then read from harmonies, basses and long notes.

Shapes: N notes, T frames, S states, P tempos.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from music_reformer.midi.align import BASS_SPAN, harmonic_change

FRAME = 0.02  # seconds
# Beats of 0.3 to 1.5 seconds: 200 to 40 a minute.
SHORTEST, LONGEST = 0.3, 1.5
SLOW = 1.0  # longer beats are halved
TEMPO_STEPS = 1.035  # ratio of neighbouring tempos
# How unwilling the tempo is to change from beat to beat: exp(-STEADINESS * |log ratio|).
STEADINESS = 16.0
LIKELY_BEAT, OCTAVES = 0.6, 0.7  # seconds; standard deviation of its logarithm in octaves
# Where in a beat notes begin, and how often: (place, weight).
PLACES = ((0.0, 1.0), (0.5, 0.5), (0.25, 0.2), (0.75, 0.2), (1 / 3, 0.2), (2 / 3, 0.2))
SPREAD = 0.025  # of the notes around these places, in seconds
FLOOR = 0.02
# Notes that begin within this many seconds are one chord.
CHORD = 0.05
NEAR = 0.2  # a note within this distance of a beat, in beats, is on it


@dataclass(frozen=True)
class Onsets:
    """Chords and single notes, in order of time.

    Attributes:
        time: seconds, [N].
        weight: how strongly each marks a beat, about 1 on average, [N].
    """

    time: NDArray[np.float64]
    weight: NDArray[np.float64]


def onsets_of(
    time: NDArray[np.float64], end: NDArray[np.float64], pitch: NDArray[np.int64], velocity: NDArray[np.int64]
) -> Onsets:
    """Joins notes that begin together. Low, long and loud notes, and larger chords, weigh more."""
    order = np.argsort(time, kind="stable")
    time, length, pitch, velocity = time[order], (end - time)[order], pitch[order], velocity[order]
    new = np.ones(len(time), dtype=bool)
    begin = -np.inf
    for index, moment in enumerate(time):
        new[index] = moment - begin > CHORD
        begin = moment if new[index] else begin
    group = np.cumsum(new) - 1
    count = np.bincount(group)
    low = np.clip((60 - pitch) / 24, 0, 1)
    strength = (0.3 + np.minimum(length, 1.0)) * (velocity / 80) * (1 + low)
    loudest = np.zeros(len(count))
    np.maximum.at(loudest, group, strength)
    weight = loudest * (1 + 0.3 * np.log2(count))
    # A chord begins with its first note, so that none of its notes comes before its beat.
    return Onsets(time[new], np.clip(weight / max(weight.mean(), 1e-9), 0.2, 2.5))


def beats_in(onsets: Onsets) -> NDArray[np.float64]:
    """The likeliest beats, in seconds, from before the first onset to after the last."""
    start = float(onsets.time[0]) - LONGEST
    num_frames = int((onsets.time[-1] - start) / FRAME) + 1 + int(LONGEST / FRAME)
    strength = np.zeros(num_frames)
    np.maximum.at(strength, np.rint((onsets.time - start) / FRAME).astype(np.int64), onsets.weight)
    count = int(np.log(LONGEST / SHORTEST) / np.log(TEMPO_STEPS)) + 1
    periods = np.unique(np.rint(SHORTEST / FRAME * TEMPO_STEPS ** np.arange(count)).astype(np.int64))
    beats: NDArray[np.float64] = start + BarPointer.of(periods).beat_frames(strength) * np.float64(FRAME)
    beats = _onto_onsets(beats, onsets)
    if len(beats) > 1 and np.median(np.diff(beats)) > SLOW:
        beats = _onto_onsets(np.sort(np.concatenate([beats, (beats[1:] + beats[:-1]) / 2])), onsets)
    return beats


@dataclass(frozen=True)
class BarPointer:
    """The model of the beat: a state is a tempo and a place in the beat, and leads to the next place.

    Attributes:
        periods: beat lengths in frames, [P].
        log_rate: of hearing an onset of weight 1 in a state, [S]; the states of a tempo follow each other.
        silence: what a frame costs in a state whatever is heard (onsets are a Poisson process), [S].
        change: from a tempo to the tempo of the next beat, [P, P].
        prior: of each tempo, [P].
    """

    periods: NDArray[np.int64]
    log_rate: NDArray[np.float64]
    silence: NDArray[np.float64]
    change: NDArray[np.float64]
    prior: NDArray[np.float64]

    @classmethod
    def of(cls, periods: NDArray[np.int64]) -> BarPointer:
        """For these beat lengths, in frames."""
        place = np.concatenate([np.arange(period) / period for period in periods])
        length = np.repeat(periods, periods) * FRAME
        rate = np.full(len(place), FLOOR)
        for where, weight in PLACES:
            beside = np.abs((place - where + 0.5) % 1 - 0.5) * length
            rate += weight * np.exp(-0.5 * (beside / SPREAD) ** 2)
        prior = -0.5 * (np.log2(periods * FRAME / LIKELY_BEAT) / OCTAVES) ** 2
        ratio = np.log(periods[:, None] / periods[None, :])
        silence = -rate * FRAME / SPREAD / np.sqrt(2 * np.pi)
        return cls(periods, np.log(rate), silence, prior[None, :] - STEADINESS * np.abs(ratio), prior)

    def beat_frames(self, strength: NDArray[np.float64]) -> NDArray[np.int64]:
        """Frames in which a beat begins on the likeliest path (Viterbi), given the weight of the onset in each, [T]."""
        first = np.concatenate([[0], np.cumsum(self.periods)[:-1]])
        last = first + self.periods - 1
        score = np.repeat(self.prior - np.log(self.periods), self.periods)
        came_from = np.zeros((len(strength), len(self.periods)), dtype=np.int8)
        for frame, heard in enumerate(strength):
            if frame:
                arriving = score[last][:, None] + self.change
                came_from[frame] = arriving.argmax(axis=0)
                score[1:] = score[:-1].copy()
                score[first] = arriving.max(axis=0)
            score += self.silence
            if heard:
                score += heard * self.log_rate
        state = int(score.argmax())
        tempo = int(np.searchsorted(first, state, side="right")) - 1
        frame = len(strength) - 1 - (state - int(first[tempo]))
        begins = []
        while frame >= 0:
            begins.append(frame)
            tempo = int(came_from[frame, tempo])
            frame -= int(self.periods[tempo])
        return np.array(begins[::-1], dtype=np.int64)


def _onto_onsets(beats: NDArray[np.float64], onsets: Onsets) -> NDArray[np.float64]:
    """Each beat moved to the onset nearest to it, where one is within three frames."""
    index = np.clip(np.searchsorted(onsets.time, beats), 1, len(onsets.time) - 1)
    before, after = onsets.time[index - 1], onsets.time[index]
    nearest = np.where(beats - before < after - beats, before, after)
    return np.where(np.abs(nearest - beats) <= 3 * FRAME, nearest, beats)


def bars_in(start: NDArray[np.float64], length: NDArray[np.float64], pitch: NDArray[np.int64]) -> tuple[int, int]:
    """Beats in a bar, 3 or 4, and the beat that begins the first whole one: where harmonies change and basses enter.

    Args:
        start: where each note begins, in beats, [N].
        length: in beats, [N].
        pitch: [N].
    """
    strength = _strength(start, length, pitch)
    fits = {count: [_contrast(strength, count, first) for first in range(count)] for count in (2, 3, 4)}
    beats = 3 if max(fits[3]) > max(*fits[2], *fits[4]) else 4
    return beats, int(np.argmax(fits[beats]))


def _strength(start: NDArray[np.float64], length: NDArray[np.float64], pitch: NDArray[np.int64]) -> NDArray[np.float64]:
    """How much each beat resembles the first of a bar, [beats]."""
    count = int(np.ceil(start.max())) + 1
    chroma = np.zeros((2 * count + 8, 12))  # by half beats
    cells = np.clip(np.rint(2 * length), 1, 8).astype(np.int64)
    for begin, lasts, tone in zip(np.rint(2 * start).astype(np.int64), cells, pitch % 12, strict=True):
        chroma[max(begin, 0) : begin + lasts, tone] += 1
    summed = np.concatenate([np.zeros((1, 12)), np.cumsum(chroma, axis=0)])
    here = 2 * np.arange(count)
    change = np.zeros(count)
    for reach in (2, 4):
        after, before = summed[here + reach] - summed[here], summed[here] - summed[np.maximum(here - reach, 0)]
        change += harmonic_change(before, after)
    beat = np.rint(start).astype(np.int64)
    is_bass = (pitch <= np.quantile(pitch, 0.02) + BASS_SPAN) & (np.abs(start - beat) < NEAR)
    bass: NDArray[np.float64] = np.zeros(count)
    np.add.at(bass, np.clip(beat[is_bass], 0, count - 1), np.minimum(length[is_bass], 4))
    return _standardised(2 * _standardised(change) + _standardised(bass))


def _standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return (values - values.mean()) / (values.std() + 1e-9)


def _contrast(strength: NDArray[np.float64], count: int, first: int) -> float:
    """Welch's t of every `count`-th beat from `first` against the others."""
    is_down = np.arange(len(strength)) % count == first
    down, others = strength[is_down], strength[~is_down]
    if min(len(down), len(others)) < 3:
        return 0.0
    return float((down.mean() - others.mean()) / np.sqrt(down.var() / len(down) + others.var() / len(others) + 1e-9))
