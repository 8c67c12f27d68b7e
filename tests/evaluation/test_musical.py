"""Statistics against MusPy's, and on music with known values."""

from __future__ import annotations

import math

import muspy
import numpy as np
import pytest
import symusic

from music_reformer.evaluation import musical
from music_reformer.evaluation.notes import Notes


def score(seed: int, *, num_notes: int = 300, bars: int = 12) -> symusic.Score:
    """4/4 at 120, notes on the sixteenth grid, two instruments and drums."""
    random = np.random.default_rng(seed)
    made = symusic.Score(480)
    made.tempos.append(symusic.Tempo(0, 120.0))
    made.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    for program, drum in ((0, False), (33, False), (0, True)):
        track = symusic.Track("", program, drum)
        for _ in range(num_notes // 3):
            start, length = int(random.integers(0, bars * 16)), int(random.integers(1, 8))
            track.notes.append(symusic.Note(start * 120, length * 120, int(random.normal(60, 9)), 80))
        made.tracks.append(track)
    return made


def as_muspy(made: symusic.Score) -> muspy.Music:
    tracks = [
        muspy.Track(
            program=track.program,
            is_drum=track.is_drum,
            # MusPy counts time in steps of the resolution: 24 a quarter note.
            notes=[muspy.Note(note.time // 20, note.pitch, note.duration // 20, 80) for note in track.notes],
        )
        for track in made.tracks
    ]
    return muspy.Music(resolution=24, tracks=tracks)


@pytest.mark.parametrize("seed", range(5))
def test_statistics_are_those_of_muspy(seed: int) -> None:
    made = score(seed)
    notes, music = Notes.of(made), as_muspy(made)
    assert musical.pitch_class_entropy(notes) == pytest.approx(muspy.pitch_class_entropy(music))
    assert musical.scale_consistency(notes) == pytest.approx(muspy.scale_consistency(music))
    assert musical.pitch_range(notes) == muspy.pitch_range(music)
    assert musical.polyphony(notes) == pytest.approx(muspy.polyphony(music))


def test_groove_is_that_of_muspy_at_as_many_positions() -> None:
    made = score(7)
    # Its last bar is the one in which the last note ends, ours the one in which the last note begins.
    for track in made.tracks:
        for note in track.notes:
            note.duration = 1
    music = muspy.Music(
        resolution=16,
        tracks=[
            muspy.Track(notes=[muspy.Note(note.time // 30, note.pitch, 0, 80) for note in track.notes])
            for track in made.tracks
        ],
    )
    assert musical.groove_consistency(Notes.of(made)) == pytest.approx(muspy.groove_consistency(music, 64))


def test_statistics_of_a_known_bar() -> None:
    made = symusic.Score(480)
    made.tempos.append(symusic.Tempo(0, 60.0))
    track = symusic.Track("", 0, False)
    for bar in range(4):
        track.notes.extend([symusic.Note(bar * 1920 + beat * 480, 480, 60 + 4 * (beat % 2), 80) for beat in range(4)])
    made.tracks.append(track)
    found = musical.statistics(Notes.of(made))
    assert found["pitch_class_entropy"] == pytest.approx(1.0)
    assert found["scale_consistency"] == found["groove_consistency"] == found["polyphony"] == 1.0
    assert found["notes_per_second"] == pytest.approx(1.0)
    assert (found["pitch_range"], found["note_beats"]) == (4.0, 1.0)


def test_statistics_of_too_short_music_are_nan() -> None:
    made = symusic.Score(480)
    track = symusic.Track("", 0, True)
    track.notes.append(symusic.Note(0, 10, 36, 80))
    made.tracks.append(track)
    found = musical.statistics(Notes.of(made))
    assert math.isnan(found["scale_consistency"])
    assert math.isnan(found["structureness_long"])
    assert found.keys() == musical.STATISTICS.keys()
    assert math.isnan(musical.statistics(Notes.of(symusic.Score(480)))["notes_per_second"])
