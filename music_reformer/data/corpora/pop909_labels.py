"""Reads the labels of POP909's songs: chords, keys and forms, as ticks and bars of the aligned song.

Chords and keys are in the corpus itself (one folder a song, https://github.com/music-x-lab/POP909-Dataset), forms in
https://github.com/Dsqvival/hierarchical-structure-analysis. Their seconds are those of the published MIDI file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.midi.align import aligned
from music_reformer.midi.chords import Chord, parse
from music_reformer.midi.score import clean_score, last_tick, read_score, seconds_at

METRES = {"1/4": "4/4", "2/4": "4/4"}
Value = TypeVar("Value")


@dataclass(frozen=True)
class Span(Generic[Value]):
    """What holds from `start` to `end`, in ticks."""

    start: float
    end: float
    value: Value


@dataclass(frozen=True, eq=False)
class LabelledSong:
    """A song of POP909 on its grid, with its labels.

    Attributes:
        score: aligned; as it was published where it cannot be aligned.
        is_aligned: whether it could.
        chords: in order.
        keys: (tonic 0 to 11, whether minor), in order.
    """

    score: symusic.Score
    is_aligned: bool
    chords: list[Span[Chord]]
    keys: list[Span[tuple[int, bool]]]


def read_song(midi: Path, labels: Path) -> LabelledSong:
    """Read a song and its labels.

    Args:
        midi: the song's file.
        labels: the folder with its `chord_midi.txt` and `key_audio.txt`.
    """
    published = read_score(midi)
    clean = clean_score(published, metre_aliases=METRES)
    moved = aligned(clean)
    score = clean if moved is None else moved
    shift = _first_onset(score) - _first_onset(clean)
    chords = [Span(start, end, parse(name)) for start, end, name in _spans(labels / "chord_midi.txt", published, shift)]
    keys = [
        Span(start, end, parse_key(name)) for start, end, name in _spans(labels / "key_audio.txt", published, shift)
    ]
    return LabelledSong(score, moved is not None, chords, keys)


def parse_key(text: str) -> tuple[int, bool]:
    """(tonic, whether minor) of a key such as "Gb:maj"."""
    chord = parse(text)
    return chord.root, chord.quality == "min"


def _first_onset(score: symusic.Score) -> int:
    return min(int(track.notes.numpy()["time"].min()) for track in score.tracks)


def _spans(file: Path, score: symusic.Score, shift: int) -> list[tuple[float, float, str]]:
    """(start, end, name) of the lines of a file of seconds, in ticks of the shifted score."""
    lines = [line.split() for line in file.read_text().splitlines() if line.strip()]
    start, end = (_ticks_at(score, np.array([float(line[at]) for line in lines])) + shift for at in (0, 1))
    return [(begin, until, line[2]) for begin, until, line in zip(start.tolist(), end.tolist(), lines, strict=True)]


def _ticks_at(score: symusic.Score, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of `seconds_at`; the last tempo goes on."""
    changes = [tempo.time for tempo in score.tempos]
    far = max(last_tick(score), *changes, 0) + 1000 * score.ticks_per_quarter
    ticks = np.unique(np.array([0, *changes, far], dtype=np.int64))
    return np.interp(seconds, seconds_at(score, ticks), ticks)
