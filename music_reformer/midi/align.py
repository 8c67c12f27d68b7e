"""Aligns songs with the grid of their file: beats to beats, and the first beats of bars to bar lines.

Sequencers that follow a recording write notes in even sixteenths, but start counting anywhere (as in all of POP909). In
the bars and positions of the model, every song would then begin at a different place of the bar, and all its notes
would lie between the points of the grid.
"""

from __future__ import annotations

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.midi.score import metres, note_columns

# A song is regular if its onsets, as points on a circle one sixteenth long, have a mean at least so far from its centre
# (0: spread evenly, 1: all at one place).
MIN_REGULAR = 0.6
PER_QUARTER = 4  # sixteenths
# Notes up to this many semitones above the lowest belong to the bass.
BASS_SPAN = 14


def aligned(score: symusic.Score) -> symusic.Score | None:
    """A copy shifted by a constant so that its notes are on its grid and its bars begin at bar lines.

    Args:
        score: a score in ticks.

    Returns:
        The copy, which starts at the bar of the first note. None if the metre changes or is not a multiple of
        sixteenths, or if the notes are on no grid.
    """
    start = grid_start(score)
    if start is None:
        return None
    _, beats, unit = metres(score)[0]
    return _moved(score, -start, symusic.TimeSignature(0, beats, unit))


def grid_start(score: symusic.Score) -> int | None:
    """Tick of the bar line at or before the first note, as the notes have it; None as for `aligned`."""
    signatures = metres(score)
    _, beats, unit = signatures[0]
    if len({metre[1:] for metre in signatures}) > 1 or 16 % unit:
        return None
    bar = beats * 16 // unit  # in sixteenths
    melodic = [track for track in score.tracks if not track.is_drum and len(track.notes)]
    if not melodic:
        return None
    time, duration, pitch = note_columns(melodic).values()
    sixteenth = score.ticks_per_quarter / PER_QUARTER
    mean = np.exp(2j * np.pi * time / sixteenth).mean()
    if abs(mean) < MIN_REGULAR:
        return None
    beside = np.angle(mean) / (2 * np.pi) * sixteenth  # ticks from the grid to the notes
    slot = np.rint((time - beside) / sixteenth).astype(np.int64)
    downbeat = _downbeat(slot, pitch, duration / sixteenth, bar)
    # The bar line at or before the first note, with drums.
    first = int(note_columns(score.tracks)["time"].min())
    begin = downbeat + (round((first - beside) / sixteenth) - downbeat) // bar * bar
    return round(begin * sixteenth + beside)


def _downbeat(slot: NDArray[np.int64], pitch: NDArray[np.int64], length: NDArray[np.float64], bar: int) -> int:
    """The sixteenth of the bar, counted from slot 0, that is the downbeat: where harmonies change and basses enter.

    Args:
        slot: sixteenth in which each note begins, [notes].
        pitch: [notes].
        length: in sixteenths, [notes].
        bar: number of sixteenths in a bar.
    """
    first = int(slot.min())
    count = int(slot.max()) - first + 1
    chroma = np.zeros((count + 2 * bar, 12))
    for begin, tone, lasts in zip(slot - first + bar, pitch % 12, np.maximum(length, 1), strict=True):
        chroma[begin : begin + min(round(lasts), bar), tone] += 1
    summed = np.concatenate([np.zeros((1, 12)), np.cumsum(chroma, axis=0)])
    half = max(bar // 2, 1)
    here = np.arange(bar, bar + count)
    after, before = summed[here + half] - summed[here], summed[here] - summed[here - half]
    change = harmonic_change(before, after)

    bass = np.zeros(count)
    low = pitch <= np.quantile(pitch, 0.02) + BASS_SPAN
    np.add.at(bass, slot[low] - first, np.minimum(length[low], bar))
    sounding = np.zeros(count)
    np.add.at(sounding, slot - first, np.minimum(length, bar))

    phase = (np.arange(count) + first) % bar
    strength = np.zeros(bar)
    for feature in (change, bass, sounding):
        by_phase = np.bincount(phase, weights=feature, minlength=bar)
        strength += (by_phase - by_phase.mean()) / (by_phase.std() + 1e-9)
    # The other beats of a bar are strong, too: a downbeat that has none of them at its beats is unlikely.
    beat = PER_QUARTER if bar % PER_QUARTER == 0 else PER_QUARTER // 2
    on_beats = sum(np.roll(strength, -step) for step in range(0, bar, beat)) / (bar // beat)
    return int(np.argmax(2 * strength + on_beats))


def harmonic_change(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosine distance of what sounds before and after each moment, by pitch class, [T, 12]; 0 where one is silent."""
    norms = np.linalg.norm(after, axis=1) * np.linalg.norm(before, axis=1)
    distance: NDArray[np.float64] = 1 - (after * before).sum(axis=1) / np.maximum(norms, 1e-9)
    return np.where(norms > 0, distance, 0.0)


def _moved(score: symusic.Score, ticks: int, metre: symusic.TimeSignature) -> symusic.Score:
    """A copy in one metre, moved by `ticks` (later if positive). Tempo and key at the new beginning are kept."""
    moved = score.shift_time(ticks)
    # Another signature of the same metre would cut a bar in two.
    moved.time_signatures = [metre]
    for events in (moved.tempos, moved.key_signatures):
        early = [event for event in events if event.time <= 0]
        if early:
            last = early[-1]
            events.filter(lambda event: event.time > 0, inplace=True)
            last.time = 0
            events.insert(0, last)
    for track in moved.tracks:
        for kind in (track.notes, track.controls, track.pitch_bends):
            for event in kind:
                event.time = max(event.time, 0)
        track.pedals.filter(lambda pedal: pedal.time >= 0, inplace=True)
        track.lyrics.filter(lambda text: text.time >= 0, inplace=True)
    moved.markers.filter(lambda text: text.time >= 0, inplace=True)
    return moved
