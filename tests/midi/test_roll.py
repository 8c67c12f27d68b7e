"""Piano roll data agrees with the score."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pretty_midi
import pytest
import symusic

from helpers.scores import random_score
from music_reformer.midi.instruments import PROGRAM_NAMES
from music_reformer.midi.roll import roll_data
from music_reformer.midi.score import seconds_at


def test_notes_are_in_seconds_and_new_ones_marked() -> None:
    score = random_score()
    roll = roll_data(score, continuation_start=9.6)
    json.dumps(roll)
    assert [track["name"] for track in roll["tracks"]] == ["part 0", "part 40", "kit"]
    assert [track["drum"] for track in roll["tracks"]] == [False, False, True]
    in_seconds = score.to("Second")
    for drawn, track in zip(roll["tracks"], in_seconds.tracks, strict=True):
        expected = sorted((note.time, note.pitch, note.time + note.duration) for note in track.notes)
        assert len(drawn["notes"]) == len(expected)
        for (pitch, start, end, _, new), (time, expected_pitch, until) in zip(drawn["notes"], expected, strict=True):
            assert pitch == expected_pitch
            assert (start, end) == (pytest.approx(time, abs=1e-3), pytest.approx(until, abs=1e-3))
            assert new == (start >= 9.6 - 1e-3)
    assert roll["seconds"] == pytest.approx(in_seconds.end(), abs=1e-3)
    assert roll["cut"] == 9.6


def test_bars_and_beats_are_ruled() -> None:
    roll = roll_data(random_score())
    assert roll["bars"][:3] == pytest.approx([0, 2.4, 4.8])
    assert roll["beats"][:5] == pytest.approx([0, 0.6, 1.2, 1.8, 2.4])
    assert set(roll["bars"]) <= set(roll["beats"])
    assert roll["tempos"] == [[0.0, 100.0], [9.6, 140.0]]


def test_a_whole_piece_has_its_notes_and_lines_in_ticks_too() -> None:
    score = random_score()
    roll = roll_data(score)
    for track in roll["tracks"]:
        ticks = np.array(track["ticks"])
        times = [[start, end] for _, start, end, *_ in track["notes"]]
        assert np.allclose(seconds_at(score, ticks[:, 0]), [start for start, _ in times], atol=1e-4)
        assert np.allclose(seconds_at(score, ticks.sum(axis=1)), [end for _, end in times], atol=1e-4)
        pitches = Counter((note.time, note.duration, note.pitch) for note in score.tracks[track["index"]].notes)
        rows = zip(track["ticks"], track["notes"], strict=True)
        assert Counter((tick, length, pitch) for (tick, length), (pitch, *_) in rows) == pitches
    for lines in ("bar", "beat"):
        assert np.allclose(seconds_at(score, roll[f"{lines}_ticks"]), roll[f"{lines}s"], atol=1e-4)
    new = roll_data(score, continuation_start=1.0, only_new=True)
    assert "bar_ticks" not in new
    assert all("ticks" not in track for track in new["tracks"])


def test_tracks_without_a_name_get_their_instruments() -> None:
    score = random_score()
    for track in score.tracks:
        track.name = ""
    assert [track["name"] for track in roll_data(score)["tracks"]] == ["Acoustic Grand Piano", "Violin", "Drums"]


def test_instruments_have_the_names_of_general_midi() -> None:
    assert list(PROGRAM_NAMES) == [pretty_midi.program_to_instrument_name(program) for program in range(128)]


def test_very_many_short_beats_are_not_drawn() -> None:
    score = random_score()
    score.time_signatures = [symusic.TimeSignature(0, 64, 128)]
    assert set(roll_data(score)["bars"]) < set(roll_data(score)["beats"])
    score.tracks[0].notes.append(symusic.Note(480 * 50_000, 480, 60, 80))
    roll = roll_data(score)
    assert roll["beats"] == roll["bars"]


def test_dense_pitch_bends_are_thinned_out() -> None:
    score = random_score()
    score.tracks[0].pitch_bends.extend([symusic.PitchBend(tick, tick) for tick in range(1000)])
    bends = roll_data(score)["tracks"][0]["bends"]
    assert len(bends) < 200
    assert bends[-1][1] == 999
