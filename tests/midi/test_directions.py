from __future__ import annotations

import bisect

import numpy as np
import pytest
import symusic

from music_reformer.midi.beats import beats_of
from music_reformer.midi.directions import (
    DENSITY_EDGES,
    ENDS_IN_BARS,
    POLYPHONY_EDGES,
    REGISTER_SEMITONES,
    PartDirections,
    RangeDirections,
    describe,
)

QUARTER = 24


def score_of(*parts: list[tuple[int, int, int]], drums: tuple[int, ...] = ()) -> symusic.Score:
    """A score of parts of (onset, length, pitch), in ticks."""
    score = symusic.Score(QUARTER)
    score.time_signatures = [symusic.TimeSignature(0, 4, 4)]
    for index, part in enumerate(parts):
        track = symusic.Track(is_drum=index in drums)
        for onset, length, pitch in part:
            track.notes.append(symusic.Note(onset, length, pitch, 80))
        score.tracks.append(track)
    return score


def slowly(score: symusic.Score, first_bars: list[int]) -> list[RangeDirections]:
    """`describe`, tick by tick."""
    lines = beats_of(score).bar_ticks.tolist()
    num_bars = len(lines) - 1
    found = []
    for number, bar in enumerate(first_bars):
        until = first_bars[number + 1] if number + 1 < len(first_bars) else num_bars
        parts = []
        for index, track in enumerate(score.tracks):
            if not len(track.notes):
                continue
            begins = sum(lines[bar] <= note.time < lines[until] for note in track.notes)
            at_once = [
                [note.pitch for note in track.notes if note.time <= tick < note.time + note.duration]
                for tick in range(lines[bar], lines[until])
            ]
            sounding = [pitches for pitches in at_once if pitches]
            all_pitches = [pitch for pitches in sounding for pitch in pitches]
            density = bisect.bisect_right(DENSITY_EDGES, begins / ((lines[until] - lines[bar]) / QUARTER))
            has_pitch = bool(begins and sounding and not track.is_drum)
            parts.append(
                PartDirections(
                    index,
                    density if begins else None,
                    int(round(float(np.mean(all_pitches)), 6) // REGISTER_SEMITONES) if has_pitch else None,
                    bisect.bisect_right(POLYPHONY_EDGES, len(all_pitches) / len(sounding)) if has_pitch else None,
                )
            )
        left = num_bars - bar
        ends_in = next((bin_ for bin_, most in enumerate(ENDS_IN_BARS) if left <= most), len(ENDS_IN_BARS))
        found.append(RangeDirections(bar, until - bar, tuple(parts), ends_in))
    return found


@pytest.mark.parametrize("seed", range(12))
def test_directions_are_those_of_counting_tick_by_tick(seed: int) -> None:
    random = np.random.default_rng(seed)
    parts = [
        [
            (int(onset), int(random.integers(1, 150)), int(pitch))
            for onset, pitch in zip(random.integers(0, 1200, count), random.integers(20, 100, count), strict=True)
        ]
        for count in random.integers(0, 40, 4)
    ]
    score = score_of(*parts, [(0, 10, 60)], drums=(1,))
    num_bars = len(beats_of(score).bar_ticks) - 1
    first = sorted(random.choice(num_bars, size=min(num_bars, 4), replace=False).tolist())
    assert describe(score, first) == slowly(score, first)


def test_a_plain_piece() -> None:
    melody = [(beat * QUARTER, QUARTER, 72) for beat in range(16)]
    chords = [(bar * 96, 96, pitch) for bar in range(2) for pitch in (48, 52, 55)]
    beat = [(eighth * 12, 1, 42) for eighth in range(32)]
    first, second = describe(score_of(melody, chords, beat, drums=(2,)), [0, 2])
    one_a_quarter, three_in_four, two_a_quarter = (np.digitize(x, DENSITY_EDGES) for x in (1, 0.75, 2))
    assert first.parts == (
        PartDirections(0, one_a_quarter, 18, 0),
        PartDirections(1, three_in_four, 12, 3),
        PartDirections(2, two_a_quarter, None, None),
    )
    assert [part.plays for part in second.parts] == [True, False, True]
    assert (first.first_bar, first.num_bars, first.ends_in) == (0, 2, ENDS_IN_BARS.index(4))
    assert second.ends_in == ENDS_IN_BARS.index(2)


def test_order_of_tracks_only_changes_their_order() -> None:
    one, other = [(0, 30, 60), (50, 20, 64)], [(10, 5, 40)]
    straight, turned = (describe(score_of(*parts), [0])[0].parts for parts in ([one, other], [other, one]))
    assert [(part.density, part.register, part.polyphony) for part in straight] == [
        (part.density, part.register, part.polyphony) for part in turned[::-1]
    ]
