"""Bass and drums by rule: they follow the song, and leave the rest of it unchanged."""

from __future__ import annotations

import numpy as np
import pytest
import symusic

from music_reformer.midi.examples import EXAMPLES, TICKS_PER_QUARTER
from music_reformer.midi.rhythm_section import HIGHEST_ROOT, LOWEST_ROOT, with_rhythm_section

BAR = 4 * TICKS_PER_QUARTER


def song() -> symusic.Score:
    """32 bars of melody and piano."""
    score = EXAMPLES["evening"].score()
    score.tracks = score.tracks[:2]
    whole = score.copy()
    for again in range(1, 4):
        for track, more in zip(whole.tracks, score.copy().shift_time(again * 8 * BAR).tracks, strict=True):
            track.notes.extend(more.notes)
    return whole


def accompanied(seed: int) -> symusic.Score:
    score = with_rhythm_section(song(), np.random.default_rng(seed))
    assert score is not None
    return score


@pytest.mark.parametrize("seed", range(20))
def test_accompaniment_keeps_the_song_and_the_bass_doubles_its_lowest_notes(seed: int) -> None:
    score = accompanied(seed)
    assert [track.notes for track in score.tracks[:2]] == [track.notes for track in song().tracks]
    lowest = {}  # pitch class of the lowest note at each half bar
    for half in range(64):
        time = half * BAR // 2
        sounding = [n.pitch for t in song().tracks for n in t.notes if n.time <= time < n.time + n.duration]
        lowest[time] = min(sounding) % 12
    for track in score.tracks[2:]:
        assert all(note.time % (BAR // 16) == 0 and 1 <= note.velocity <= 127 for note in track.notes)
        if not track.is_drum:
            assert 32 <= track.program < 40
            first = [note for note in track.notes if note.time % (BAR // 2) == 0]
            assert first
            assert all(
                note.pitch % 12 == lowest[note.time] and LOWEST_ROOT <= note.pitch <= HIGHEST_ROOT for note in first
            )


def test_most_songs_get_bass_and_drums_and_equal_draws_give_equal_songs() -> None:
    kinds = [frozenset(track.is_drum for track in accompanied(seed).tracks[2:]) for seed in range(60)]
    assert kinds.count(frozenset({True, False})) > 30
    assert {frozenset({True}), frozenset({False})} <= set(kinds)
    assert len({accompanied(seed).dumps_midi() for seed in range(20)}) == 20
    assert accompanied(3).dumps_midi() == accompanied(3).dumps_midi()


def test_no_drum_is_struck_twice_at_once() -> None:
    for seed in range(20):
        for track in accompanied(seed).tracks[2:]:
            struck = [(note.time, note.pitch) for note in track.notes]
            assert len(set(struck)) == len(struck)


def test_a_band_other_metres_and_odd_ticks_are_left_alone() -> None:
    assert with_rhythm_section(EXAMPLES["evening"].score(), np.random.default_rng(1)) is None
    assert with_rhythm_section(EXAMPLES["waltz"].score(), np.random.default_rng(1)) is None
    odd = song().resample(6)
    assert with_rhythm_section(odd, np.random.default_rng(1)) is None
