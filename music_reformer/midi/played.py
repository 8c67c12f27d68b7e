"""What loosely played music would look like written down, and how its players deviate from that.

Nearly all of the model's training data was written music. It continues a performance far better if it reads what a
copyist would have written, in one tempo; the new notes are then played as loosely as the notes before them.

Shapes: N notes.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.midi.beats import pitched_notes
from music_reformer.midi.score import seconds_at
from music_reformer.midi.written import UNIT, Grid, is_exact, written_bars

# In written music, a larger share of the notes is within half a token step of sixteenths or eighth triplets.
FEW_ON_GRID, NEAR = 0.7, 1 / 48
DIVISIONS = (4, 3)
# If the tempo changes this often, in quarters, it was measured from somebody's playing.
CHANGES_A_QUARTER = 0.5
STEADY_QUARTERS = 16
# In quarters: new notes are never so early or late that they move to another position of the token grid.
MOST_LATE = 0.04
HEARD_NOTES = 600  # the last ones before the cut


def is_loose(score: symusic.Score) -> bool:
    """Whether the pitched notes of a score in ticks are off the grid, as played notes are."""
    onset = pitched_notes(score).onset
    if not len(onset) or is_exact(onset, score.ticks_per_quarter):
        return False
    place = onset / score.ticks_per_quarter
    misses = np.minimum(*(np.abs(place - np.rint(place * n) / n) for n in DIVISIONS))
    return bool(np.mean(misses <= NEAR) < FEW_ON_GRID)


def as_written(score: symusic.Score) -> symusic.Score:
    """A copy whose pitched notes are on the grid, in one tempo, if the score was loosely played; else the score itself.

    Ticks and bars are those of the score; drums keep their feel.
    """
    if not is_loose(score):
        return score
    written = score.copy()
    bars = written_bars(written)
    grid = Grid(score, bars, finds_lag=False)
    starts = np.array([bar.start for bar in bars])
    per_unit = score.ticks_per_quarter / UNIT

    def tick(place: int) -> int:
        bar = bars[int(np.searchsorted(starts, place, side="right")) - 1]
        return bar.tick + round((place - bar.start) * per_unit)

    for track in written.tracks:
        if track.is_drum:
            continue
        velocities = {(note.time, note.pitch): note.velocity for note in track.notes}
        places = _onsets_by_pitch(track)
        notes = grid.notes([(note.time, note.end, note.pitch) for note in track.notes])
        found = []
        for note in notes:
            onset, played = tick(note.onset), places[note.pitch]
            velocity = velocities[_nearest(played, onset), note.pitch]
            found.append(symusic.Note(onset, max(1, tick(note.end) - onset), note.pitch, velocity))
        track.notes = type(track.notes)(found)
    end = int(max(bar.tick for bar in bars))
    if (tempo := steady_tempo(score, end, quarters=max(1, end // score.ticks_per_quarter))) is not None:
        written.tempos = type(written.tempos)([symusic.Tempo(0, tempo)])
    return written


def steady_tempo(score: symusic.Score, tick: int, *, quarters: int = STEADY_QUARTERS) -> float | None:
    """Mean tempo (quarters a minute) of the last quarters before a tick if it keeps changing there; else None."""
    begin = max(0, tick - quarters * score.ticks_per_quarter)
    length = (tick - begin) / score.ticks_per_quarter
    changes = sum(begin < tempo.time < tick for tempo in score.tempos)
    if changes < max(2, CHANGES_A_QUARTER * length):
        return None
    first, last = seconds_at(score, [begin, tick])
    return float(60.0 * length / (last - first))


@dataclass(frozen=True)
class Feel:
    """How much later than written the notes of a piece begin, in ticks.

    Attributes:
        on_beats, between: lateness of chords and single notes written on beats and between them.
        within_chords: lateness of the notes of a chord relative to the chord.
        most: the most by which a note is moved.
    """

    on_beats: NDArray[np.float64]
    between: NDArray[np.float64]
    within_chords: NDArray[np.float64]
    most: float
    ticks_per_quarter: int

    @classmethod
    def of(cls, played: symusic.Score, written: symusic.Score, until: int) -> Feel | None:
        """The feel of the music before tick `until`; None if it was played strictly (`written` is `played` itself)."""
        if written is played:
            return None
        late: dict[int, list[int]] = defaultdict(list)
        for track, on_grid in zip(played.tracks, written.tracks, strict=True):
            places = {} if track.is_drum else _onsets_by_pitch(track)
            for note in on_grid.notes if places else ():
                if note.time < until:
                    late[note.time].append(_nearest(places[note.pitch], note.time) - note.time)
        last = sorted(late)[-HEARD_NOTES:]
        means = {onset: float(np.mean(late[onset])) for onset in last}
        quarter = played.ticks_per_quarter
        spread = [each - means[onset] for onset in last if len(late[onset]) > 1 for each in late[onset]]
        on_beats = [mean for onset, mean in means.items() if onset % quarter == 0]
        between = [mean for onset, mean in means.items() if onset % quarter]
        if not means:
            return None
        fill = list(means.values())
        return cls(
            np.array(on_beats or fill), np.array(between or fill), np.array(spread), MOST_LATE * quarter, quarter
        )

    def late(self, tick: int, pitch: int) -> int:
        """How many ticks late a note written at `tick` is played; always the same for the same note."""
        chords = self.on_beats if tick % self.ticks_per_quarter == 0 else self.between
        moved = chords[zlib.crc32(b"%d" % tick) % len(chords)]
        if len(self.within_chords):
            moved += self.within_chords[zlib.crc32(b"%d %d" % (tick, pitch)) % len(self.within_chords)]
        return round(float(np.clip(moved, -self.most, self.most)))


def _onsets_by_pitch(track: symusic.core.TrackTick) -> dict[int, NDArray[np.int64]]:
    """Where the notes of each pitch begin, in order."""
    columns = track.notes.numpy()
    time, pitch = columns["time"].astype(np.int64), columns["pitch"]
    return {int(each): np.sort(time[pitch == each]) for each in np.unique(pitch)}


def _nearest(times: NDArray[np.int64], time: int) -> int:
    """The nearest of some sorted times."""
    after = int(np.searchsorted(times, time))
    around = times[max(0, after - 1) : after + 1]
    return int(around[np.argmin(np.abs(around - time))])
