"""Moves the bars of a piece to where they are in its music, if its file has them elsewhere.

Files of played music count ticks by a clock that nobody played to, and files made along a recording start counting
anywhere. Bars, chords and repeats would then be sought in the wrong places, and the model would read a rhythm that
nobody meant. So the notes are moved to other ticks, with tempos that keep the time of every sound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.midi.align import grid_start
from music_reformer.midi.beats import PitchedNotes, pitched_notes
from music_reformer.midi.pulse import bars_in, beats_in, onsets_of
from music_reformer.midi.score import MAX_LIMITS, metres, read_score, seconds_at, with_likely_metre
from music_reformer.midi.smf import (
    META,
    METRE,
    TEMPO,
    Event,
    FileLimits,
    metre_event,
    read_file,
    tempo_event,
    write_header,
    write_track,
)
from music_reformer.midi.written import agreement, lag

TICKS_PER_BEAT = 480
# Fewer notes do not show where beats are; longer pieces would take more than a second.
MIN_NOTES, MAX_SECONDS = 64, 1200.0
# Onsets as points on circles of a third, a quarter and a sixth of a beat: played music is spread evenly (0), written
# music is at one place (1).
DIVISIONS, UNEVEN = (3, 4, 6), 0.2
# Notes on a grid that is so far from the file's, in sixteenths, do not follow its bar lines either; nor do notes on
# that grid whose beats are half a sixteenth or more from the file's.
SIXTEENTHS, OFF_GRID = 4, 0.1


@dataclass(frozen=True)
class Timing:
    """A map from the ticks of a file to new ticks.

    Attributes:
        old, new: the same moments in ticks of the file and in new ticks, increasing; in between they are interpolated.
        ticks_per_quarter: of the new ticks.
        tempos: (new tick, microseconds a quarter); None: those of the file.
        metre: (beats, unit) of the whole piece.
    """

    old: NDArray[np.float64]
    new: NDArray[np.float64]
    ticks_per_quarter: int
    tempos: list[tuple[int, int]] | None
    metre: tuple[int, int]

    def moved(self, ticks: NDArray[np.int64]) -> NDArray[np.int64]:
        """New ticks; 0 for everything before the first bar."""
        before, after = (ticks - self.old[0], ticks - self.old[-1])
        slopes = np.diff(self.new)[[0, -1]] / np.diff(self.old)[[0, -1]]
        new = np.interp(ticks, self.old, self.new)
        new += np.minimum(before, 0) * slopes[0] + np.maximum(after, 0) * slopes[1]
        return np.maximum(np.rint(new), 0).astype(np.int64)


def on_its_beats(
    data: bytes, score: symusic.Score, name: str, tell: Callable[[str], None] | None = None
) -> tuple[bytes, symusic.Score]:
    """A MIDI file and its score with better bars if `timing_of` finds any; otherwise unchanged.

    Args:
        data: bytes of the file.
        score: the same, as `read_score` reads it.
        name: what messages call it.
        tell: called with a sentence if the bars were changed.
    """
    timing = timing_of(with_likely_metre(score))
    if timing is None:
        return data, score
    if tell is not None:
        tell(f"{name} was not played to the bars of its file; its bars are those found in its music (find_beats)")
    data = retimed(data, name, timing, MAX_LIMITS.file)
    return data, read_score(data, name=name)


def timing_of(score: symusic.Score) -> Timing | None:
    """Better bars for a score in the metre that is meant; None if its own can be trusted or none are found."""
    notes, quarter = pitched_notes(score), score.ticks_per_quarter
    if len({metre[1:] for metre in metres(score)}) > 1 or len(notes) < MIN_NOTES:
        return None
    start = grid_start(score)
    if start is not None:
        beside = start * SIXTEENTHS / quarter
        beats_are_late = abs(lag(notes.onset, quarter)) * SIXTEENTHS > quarter / 2
        if abs(beside - round(beside)) < OFF_GRID and not beats_are_late:
            return None
        _, beats, unit = metres(score)[0]
        zero = np.array([0.0, 1.0])
        return Timing(zero + start, zero, quarter, None, (beats, unit))
    return _played_timing(score, notes) if _is_played(score, notes) else None


def _is_played(score: symusic.Score, notes: PitchedNotes) -> bool:
    """Whether nobody played to the beats of the file: it has one tempo, and notes anywhere between beats."""
    if len({tempo.mspq for tempo in score.tempos}) > 1:
        return False
    if seconds_at(score, int(notes.onset.max())) > MAX_SECONDS:
        return False
    return all(abs(agreement(notes.onset, score.ticks_per_quarter / n)) < UNEVEN for n in DIVISIONS)


def _played_timing(score: symusic.Score, notes: PitchedNotes) -> Timing:
    begin, end = seconds_at(score, notes.onset), seconds_at(score, notes.end)
    pitch = notes.pitch
    beats = beats_in(onsets_of(begin, end, pitch, notes.velocity))
    numbers = np.arange(len(beats), dtype=np.float64)
    start = np.interp(begin, beats, numbers)
    per_bar, downbeat = bars_in(start, np.interp(end, beats, numbers) - start, pitch)
    # The bar line at or before the first note, which may be a little early.
    first = downbeat + int(np.floor((start.min() + 0.25 - downbeat) / per_bar)) * per_bar
    per_second = score.ticks_per_quarter / seconds_at(score, score.ticks_per_quarter)
    lengths = np.rint(np.diff(beats) * 1e6).astype(np.int64)
    new = (numbers - first) * TICKS_PER_BEAT
    tempos = [(int(tick), int(length)) for tick, length in zip(new[:-1], lengths, strict=True) if tick > 0]
    at_start = int(np.clip(first, 0, len(lengths) - 1))
    return Timing(beats * per_second, new, TICKS_PER_BEAT, [(0, int(lengths[at_start])), *tempos], (per_bar, 4))


def retimed(data: bytes, name: str, timing: Timing, limits: FileLimits) -> bytes:
    """A MIDI file in other ticks; of its events, only tempos and metres are replaced. Errors as of `smf.read_file`."""
    file = read_file(data, name, limits)
    chunks = []
    for number, track in enumerate(file.tracks):
        events = [event for event in track.events() if not event.closes and not _is_replaced(event, timing)]
        ticks = timing.moved(np.array([event.tick for event in events], dtype=np.int64))
        moved = [Event(tick, event.data) for tick, event in zip(ticks.tolist(), events, strict=True)]
        # The last tempo before the first bar is in force there.
        early = [index for index, event in enumerate(moved) if event.tick == 0 and _is(event, TEMPO)]
        moved = [event for index, event in enumerate(moved) if index not in early[:-1]]
        if number == 0:
            conductor = [metre_event(0, *timing.metre), *(tempo_event(*tempo) for tempo in timing.tempos or ())]
            moved = sorted([*conductor, *moved], key=lambda event: event.tick)
        chunks.append(write_track(moved))
    return write_header(file.midi_format, len(chunks), timing.ticks_per_quarter) + b"".join(chunks)


def _is_replaced(event: Event, timing: Timing) -> bool:
    return _is(event, METRE) or (timing.tempos is not None and _is(event, TEMPO))


def _is(event: Event, kind: int) -> bool:
    """Whether an event is a meta event of this kind."""
    return event.data[0] == META and event.data[1] == kind
