"""A score as columns of numbers, the input of statistics, self-similarity and the search for copies.

Shapes: N notes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.midi.score import bar_starts, note_columns, seconds_at

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Notes:
    """The notes of a piece or an excerpt, sorted by onset, then pitch. Each attribute has the shape [N].

    Attributes:
        onset_beats, end_beats: in quarter notes.
        onset_s, end_s: in seconds.
        pitch: MIDI number, int64.
        drum: whether the note is of a drum track.
        bar: number of the bar in which the note begins, int64.
        place_in_bar: position of the onset within the bar, 0 <= x < 1.
    """

    onset_beats: Floats
    end_beats: Floats
    onset_s: Floats
    end_s: Floats
    pitch: NDArray[np.int64]
    drum: NDArray[np.bool_]
    bar: NDArray[np.int64]
    place_in_bar: Floats

    def __len__(self) -> int:
        return len(self.pitch)

    @classmethod
    def of(cls, score: symusic.Score) -> Notes:
        """All notes of a score in ticks."""
        time, duration, pitch = note_columns(score.tracks).values()
        lengths = [len(track.notes) for track in score.tracks]
        drum = np.repeat([track.is_drum for track in score.tracks], lengths).astype(bool)
        order = np.lexsort((pitch, time))
        time, duration, pitch, drum = time[order], duration[order], pitch[order], drum[order]
        lines = np.array(bar_starts(score), dtype=np.int64)
        bar = np.clip(np.searchsorted(lines, time, side="right") - 1, 0, max(0, len(lines) - 2))
        bar_ticks = np.diff(lines)[bar] if len(lines) > 1 else np.ones(len(bar))
        return cls(
            onset_beats=time / score.ticks_per_quarter,
            end_beats=(time + duration) / score.ticks_per_quarter,
            onset_s=seconds_at(score, time),
            end_s=seconds_at(score, time + duration),
            pitch=pitch,
            drum=drum,
            bar=bar,
            place_in_bar=np.clip((time - lines[bar]) / bar_ticks, 0, np.nextafter(1, 0)),
        )

    def where(self, keep: NDArray[np.bool_]) -> Notes:
        """The notes for which `keep` is true."""
        return replace(self, **{name: values[keep] for name, values in vars(self).items()})

    def between(self, begin_s: float, end_s: float) -> Notes:
        """The notes that begin in begin_s <= t < end_s, cut at the end.

        Times still count from the beginning of the piece.
        """
        # With a tolerance of half a millisecond, because the manifest gives the cut of a continuation in milliseconds.
        kept = self.where((self.onset_s >= begin_s - 5e-4) & (self.onset_s < end_s))
        beats_per_s = (kept.end_beats - kept.onset_beats) / np.maximum(kept.end_s - kept.onset_s, 1e-9)
        cut_s = np.minimum(kept.end_s, end_s)
        return replace(kept, end_s=cut_s, end_beats=kept.onset_beats + (cut_s - kept.onset_s) * beats_per_s)

    @property
    def first_s(self) -> float:
        """Onset of the first note in seconds."""
        return float(self.onset_s.min()) if len(self) else 0.0

    @property
    def last_s(self) -> float:
        """End of the last note in seconds."""
        return float(self.end_s.max()) if len(self) else 0.0
