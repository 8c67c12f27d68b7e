"""Aligning songs: a song shifted off its grid is moved back; notes on no grid are left alone."""

from __future__ import annotations

import numpy as np
import pytest
import symusic

from music_reformer.midi.align import aligned
from music_reformer.midi.examples import EXAMPLES, TICKS_PER_QUARTER

BAR = 4 * TICKS_PER_QUARTER
SONG = EXAMPLES["evening"].score()


def moved(score: symusic.Score, ticks: int) -> symusic.Score:
    """All notes moved later, with tempo and metre still at the start."""
    late = score.shift_time(ticks)
    for event in (*late.tempos, *late.time_signatures):
        event.time = 0
    return late


def shaken(score: symusic.Score, ticks: int) -> symusic.Score:
    """Every note moved by a random number of ticks, at most `ticks`."""
    shaken = score.copy()
    random = np.random.default_rng(1)
    for track in shaken.tracks:
        for note in track.notes:
            note.time = max(0, note.time + int(random.integers(-ticks, ticks + 1)))
    return shaken


def notes(score: symusic.Score) -> list[tuple[int, int, int, int]]:
    return sorted(
        (note.time, note.pitch, note.duration, note.velocity) for track in score.tracks for note in track.notes
    )


@pytest.mark.parametrize("ticks", [0, 1, 41, 120, 599, 960, BAR - 1, BAR, 5 * BAR + 77])
def test_a_song_moved_off_its_grid_comes_back(ticks: int) -> None:
    back = aligned(moved(SONG, ticks))
    assert back is not None
    assert notes(back) == notes(SONG)
    assert [(tempo.time, round(tempo.qpm)) for tempo in back.tempos] == [(0, 84)]


@pytest.mark.parametrize("beats", [3, 4])
def test_songs_in_3_4_and_4_4_are_aligned(beats: int) -> None:
    song = {3: EXAMPLES["waltz"], 4: EXAMPLES["evening"]}[beats].score()
    back = aligned(moved(song, 333))
    assert back is not None
    assert notes(back) == notes(song)


def test_an_upbeat_stays_before_the_first_bar_line() -> None:
    song = moved(SONG, BAR)
    song.tracks[0].notes.insert(0, symusic.Note(BAR - TICKS_PER_QUARTER, TICKS_PER_QUARTER, 67, 80))
    back = aligned(moved(song, 250))
    assert back is not None
    assert notes(back) == notes(song)


def test_drums_that_begin_first_are_not_moved_before_the_start() -> None:
    song = moved(SONG, 2 * BAR)
    drums = next(track for track in song.tracks if track.is_drum)
    drums.notes.insert(0, symusic.Note(0, 60, 49, 90))
    back = aligned(moved(song, 100))
    assert back is not None
    assert notes(back) == notes(song)


def test_notes_slightly_off_the_grid_are_all_shifted_equally() -> None:
    late = moved(shaken(SONG, 12), 700)
    back = aligned(late)
    assert back is not None
    shifts = {before[0] - after[0] for before, after in zip(notes(late), notes(back), strict=True) if after[0] > 0}
    assert len(shifts) == 1
    # The downbeat is found, and the grid to within some ticks of 120.
    assert abs(shifts.pop() - 700) < 6


def test_tempo_and_key_in_force_at_the_new_beginning_are_kept() -> None:
    late = SONG.copy().shift_time(3 * BAR)
    late.tempos = [symusic.Tempo(0, qpm=50), symusic.Tempo(BAR, qpm=60), symusic.Tempo(4 * BAR, qpm=70)]
    late.tracks[0].controls.append(symusic.ControlChange(0, 7, 99))
    late.tracks[0].lyrics.append(symusic.TextMeta(0, "before"))
    back = aligned(late)
    assert back is not None
    assert [(tempo.time, round(tempo.qpm)) for tempo in back.tempos] == [(0, 60), (BAR, 70)]
    assert [(control.time, control.value) for control in back.tracks[0].controls] == [(0, 99)]
    assert len(back.tracks[0].lyrics) == 0


def test_notes_on_no_grid_are_not_aligned() -> None:
    assert aligned(shaken(SONG, 60)) is None


def test_changing_metres_and_drums_alone_are_left_alone() -> None:
    changing = SONG.copy()
    changing.time_signatures.append(symusic.TimeSignature(2 * BAR, 3, 4))
    assert aligned(changing) is None
    drums = SONG.copy()
    drums.tracks = [track for track in drums.tracks if track.is_drum]
    assert aligned(drums) is None
