"""Played music gets bars of its own, without a change of its sound."""

from __future__ import annotations

import numpy as np
import pytest
import symusic

from helpers.playing import played
from music_reformer.midi.beats import pitched_notes
from music_reformer.midi.examples import EXAMPLES
from music_reformer.midi.retiming import on_its_beats, timing_of
from music_reformer.midi.score import metres, read_score, seconds_at


def retimed(score: symusic.Score) -> tuple[symusic.Score, list[str]]:
    """The score with the bars found in its music, and the notice about it."""
    data, told = score.dumps_midi(), []
    _, found = on_its_beats(data, read_score(data), "the song", told.append)
    return found, told


def heard(score: symusic.Score) -> np.ndarray:
    """Pitch, velocity, begin and end in seconds of all notes, track by track, pitch by pitch."""
    notes = [
        note
        for track in score.tracks
        for note in sorted(track.notes, key=lambda note: (note.pitch, note.time, note.end))
    ]
    return np.array([(*seconds_at(score, [note.time, note.end]), note.pitch, note.velocity) for note in notes])


@pytest.mark.parametrize(("example", "beats"), [("evening", 4), ("waltz", 3)])
def test_a_performance_gets_the_bars_of_its_music(example: str, beats: int) -> None:
    score, told = retimed(played(example)[0])
    assert told
    assert metres(score) == [(0, beats, 4)]
    place = pitched_notes(score).onset / score.ticks_per_quarter
    beside = np.abs(place - np.rint(4 * place) / 4)
    assert np.mean(beside < 0.06) > 0.75  # it was 0.48 of notes that are anywhere


@pytest.mark.parametrize("example", ["evening", "waltz"])
def test_every_sound_stays_where_it_was_in_time(example: str) -> None:
    before = played(example)[0]
    old, new = heard(before), heard(retimed(before)[0])
    assert (old[:, 2:] == new[:, 2:]).all()
    begin = old[:, 0] - new[:, 0]
    assert np.ptp(begin) < 0.003  # the silence before the first bar is another
    assert np.abs(old[:, 1] - new[:, 1] - begin.mean()).max() < 0.003


def test_other_events_move_with_the_notes() -> None:
    score = played("evening")[0]
    note = score.tracks[0].notes[20]
    score.tracks[0].controls.append(symusic.ControlChange(note.time, 64, 100))
    score.tracks[0].pitch_bends.append(symusic.PitchBend(note.time, 300))
    found = retimed(score)[0].tracks[0]
    assert found.controls[0].time == found.pitch_bends[0].time
    assert found.controls[0].time in [each.time for each in found.notes if each.pitch == note.pitch]


@pytest.mark.parametrize("example", list(EXAMPLES))
def test_the_bars_of_written_music_are_trusted(example: str) -> None:
    assert timing_of(EXAMPLES[example].score()) is None


def test_retimed_music_is_not_retimed_again() -> None:
    score, _ = retimed(played("evening")[0])
    assert timing_of(score) is None


@pytest.mark.parametrize("ticks", [517, 363, 125])  # the last two are whole sixteenths but for a hair
def test_music_on_a_grid_beside_that_of_the_file_is_shifted_onto_it(ticks: int) -> None:
    song = EXAMPLES["evening"].score()
    late = song.shift_time(ticks)
    for event in (*late.tempos, *late.time_signatures):
        event.time = 0
    found, told = retimed(late)
    assert told
    assert [(note.time, note.pitch) for track in found.tracks for note in track.notes] == [
        (note.time, note.pitch) for track in song.tracks for note in track.notes
    ]
    assert [(tempo.time, round(tempo.qpm)) for tempo in found.tempos] == [(0, 84)]


def test_the_last_tempo_before_the_first_bar_stays_in_force() -> None:
    late = EXAMPLES["evening"].score().shift_time(8 * 480 + 37)
    late.time_signatures = [symusic.TimeSignature(0, 4, 4)]
    late.tempos = [symusic.Tempo(0, 150.0), symusic.Tempo(480, 160.0), symusic.Tempo(960, 90.0)]
    found, _ = retimed(late)
    assert [(tempo.time, round(tempo.qpm)) for tempo in found.tempos] == [(0, 90)]


@pytest.mark.parametrize(
    "change",
    [
        lambda score: score.tempos.append(symusic.Tempo(4000, 90.0)),  # somebody has followed the tempo
        lambda score: score.time_signatures.extend([symusic.TimeSignature(0, 4, 4), symusic.TimeSignature(3072, 3, 4)]),
        lambda score: [setattr(track, "is_drum", True) for track in score.tracks],  # drums tell nothing of harmonies
        lambda score: setattr(score, "tracks", [_first_notes(score.tracks[0])]),  # too few notes
    ],
)
def test_bars_are_not_guessed_if_the_file_or_its_notes_rule_it_out(change) -> None:
    score = played("evening")[0]
    change(score)
    assert timing_of(score) is None


def _first_notes(track: symusic.core.TrackTick) -> symusic.core.TrackTick:
    track.notes = type(track.notes)(list(track.notes)[:40])
    return track
