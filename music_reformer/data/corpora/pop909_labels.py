"""Reads the labels of POP909's songs: chords, keys and forms, in ticks and bars of the aligned song.

Chords and keys are in the corpus itself (one folder per song, https://github.com/music-x-lab/POP909-Dataset), forms in
https://github.com/Dsqvival/hierarchical-structure-analysis. Times in seconds refer to the published MIDI file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.midi.align import aligned
from music_reformer.midi.chords import NO_CHORD, Chord, parse
from music_reformer.midi.score import clean_score, last_tick, read_score, seconds_at

METRES = {"1/4": "4/4", "2/4": "4/4"}
BEAT_CHORD = re.compile(r"(?P<name>[A-GN].*?) *\[[^]]*\] *(-?\d+)?  *(?P<beats>\d+)")
# Beats of the score at which labels by beat may begin.
FIRST_BEATS = (-8, 32)
# Labels that fit their song worse than this (share of beats with the same root) are not used.
LEAST_AGREEMENT = 0.6
Value = TypeVar("Value")


@dataclass(frozen=True)
class LabelSpan(Generic[Value]):
    """A label for the time from `start` to `end`, in ticks."""

    start: float
    end: float
    value: Value


@dataclass(frozen=True, eq=False)
class LabelledSong:
    """A song of POP909 on its grid, with its labels.

    Attributes:
        score: the aligned score, or the published one if it cannot be aligned.
        is_aligned: whether it is aligned.
        chords: in order, found in the recording.
        keys: (tonic 0 to 11, whether minor), in order.
        beat_chords: corrected `chords`, in order, in whole beats of the score. Empty if they cannot be placed.
        form: sections in order, in whole bars; in some songs, half a bar away from those of the score. Empty if they
            cannot be placed.
    """

    score: symusic.Score
    is_aligned: bool
    chords: list[LabelSpan[Chord]]
    keys: list[LabelSpan[tuple[int, bool]]]
    beat_chords: list[LabelSpan[Chord]] = field(default_factory=list)
    form: list[LabelSpan[LabelledSection]] = field(default_factory=list)


@dataclass(frozen=True)
class LabelledSection:
    """A section of a song, labelled by hand.

    Attributes:
        letter: the same for sections that are alike; a capital for one with a melody. "i" is an introduction,
            "o" an ending, "x" and "X" are bridges and others that occur once.
        num_bars: its length.
    """

    letter: str
    num_bars: int


def read_song(midi: Path, labels: Path) -> LabelledSong:
    """Read a song and its labels.

    Args:
        midi: the song's file.
        labels: the folder with its `chord_midi.txt` and `key_audio.txt`; `finalized_chord.txt` and `human_label1.txt`
            are used if they are there.
    """
    published = read_score(midi)
    clean = clean_score(published, metre_aliases=METRES)
    moved = aligned(clean)
    score = clean if moved is None else moved
    shift = _first_onset(score) - _first_onset(clean)
    chords = [
        LabelSpan(start, end, parse(name)) for start, end, name in _spans(labels / "chord_midi.txt", published, shift)
    ]
    keys = [
        LabelSpan(start, end, parse_key(name))
        for start, end, name in _spans(labels / "key_audio.txt", published, shift)
    ]
    song = LabelledSong(score, moved is not None, chords, keys)
    beats, form = labels / "finalized_chord.txt", labels / "human_label1.txt"
    return _with_beats(song, beats, form) if beats.is_file() and form.is_file() else song


def _with_beats(song: LabelledSong, beats: Path, form: Path) -> LabelledSong:
    """The song with the labels by beats and bars, which begin at an unknown beat of the song."""
    chords, sections = parse_beat_chords(beats.read_text()), parse_form(form.read_text())
    begin = _first_beat(song, chords)
    if begin is None:
        return song
    beat = song.score.ticks_per_quarter
    num_beats, num_bars = sum(length for _, length in chords), sum(section.num_bars for section in sections)
    # Songs in 6/8 have three beats in a bar here. Sums of beats and bars may differ by a bar that only one counts.
    bar = beat * max(2, round(num_beats / num_bars))
    return replace(
        song,
        beat_chords=_laid_out([(chord, length * beat) for chord, length in chords], begin * beat),
        form=_laid_out([(section, section.num_bars * bar) for section in sections], begin * beat),
    )


def _laid_out(lengths: Sequence[tuple[Value, int]], begin: int) -> list[LabelSpan[Value]]:
    """Successive spans of the given lengths, from `begin` on."""
    spans = []
    for value, length in lengths:
        spans.append(LabelSpan(float(begin), float(begin + length), value))
        begin += length
    return spans


def _first_beat(song: LabelledSong, chords: Sequence[tuple[Chord, int]]) -> int | None:
    """The beat of the score at which chords by beat begin: where their roots agree best with `song.chords`.

    None if no place fits well.
    """
    beat = song.score.ticks_per_quarter
    roots = np.array([chord.root if chord != NO_CHORD else -1 for chord, length in chords for _ in range(length)])
    starts = np.array([span.start for span in song.chords])
    found = np.array([-2, *(-1 if span.value == NO_CHORD else span.value.root for span in song.chords)])
    agreement = {}
    for begin in range(FIRST_BEATS[0], FIRST_BEATS[1] + 1):
        middle = (np.arange(len(roots)) + begin + 0.5) * beat
        agreement[begin] = float((found[np.searchsorted(starts, middle, side="right")] == roots).mean())
    best = max(agreement, key=lambda begin: agreement[begin])
    return best if agreement[best] >= LEAST_AGREEMENT else None


def parse_beat_chords(text: str) -> list[tuple[Chord, int]]:
    """(chord, number of beats) of the lines of a `finalized_chord.txt`, such as "Bb:min [1, 5, 10] 10 2"."""
    found = []
    for line in text.splitlines():
        match = BEAT_CHORD.match(line)
        if match:
            # Some names hold control characters, and some are cut short.
            name = re.sub(r"[^!-~]|\([^)]*$|/$", "", match["name"])
            found.append((parse(name), int(match["beats"])))
    return found


def parse_form(text: str) -> list[LabelledSection]:
    """The sections of a `human_label1.txt`, such as "i4A8B8o3"."""
    return [LabelledSection(letter, int(num_bars)) for letter, num_bars in re.findall(r"([A-Za-z])(\d+)", text)]


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
    """Inverse of `seconds_at`; after the end, the last tempo stays in force."""
    changes = [tempo.time for tempo in score.tempos]
    far = max(last_tick(score), *changes, 0) + 1000 * score.ticks_per_quarter
    ticks = np.unique(np.array([0, *changes, far], dtype=np.int64))
    return np.interp(seconds, seconds_at(score, ticks), ticks)
