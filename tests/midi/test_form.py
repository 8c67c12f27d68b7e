from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import symusic

from music_reformer.midi.beats import beats_of
from music_reformer.midi.form import (
    SIGNS,
    bar_contents,
    best_boundaries,
    boundary_signs,
    letters_of,
    mean_along_diagonals,
    sections_of,
    standardised_likeness,
)

QUARTER = 24


def phrase(seed: int, num_bars: int) -> list[tuple[int, int, int]]:
    """(onset, length, pitch) of a melody over a bass, which rests at its end."""
    random = np.random.default_rng(seed)
    notes = []
    for bar in range(num_bars):
        notes.append((bar * 96, 96, int(random.integers(40, 52))))
        last = 2 if bar == num_bars - 1 else 8
        notes += [
            (bar * 96 + int(slot) * 12, 12, int(random.integers(60, 84)))
            for slot in range(last)
            if random.random() < 0.7
        ]
    return notes


def piece(*phrases: tuple[int, int]) -> symusic.Score:
    """Phrases of (seed, bars), one after the other."""
    score = symusic.Score(QUARTER)
    track = symusic.Track()
    start = 0
    for seed, num_bars in phrases:
        for onset, length, pitch in phrase(seed, num_bars):
            track.notes.append(symusic.Note(start + onset, length, pitch, 80))
        start += num_bars * 96
    score.tracks.append(track)
    return score


def test_repeated_phrases_are_found_and_get_their_letters() -> None:
    found = sections_of(piece((1, 8), (2, 8), (1, 8), (3, 8), (2, 8), (1, 8)))
    assert [(section.first_bar, section.num_bars, section.letter) for section in found] == [
        (0, 8, "A"),
        (8, 8, "B"),
        (16, 8, "A"),
        (24, 8, "C"),
        (32, 8, "B"),
        (40, 8, "A"),
    ]


@pytest.mark.parametrize("num_bars", [1, 2, 3, 5, 9, 40])
def test_sections_cover_every_bar_once(num_bars: int) -> None:
    score = piece((5, num_bars))
    found = sections_of(score)
    assert found[0].first_bar == 0
    assert all(one.first_bar + one.num_bars == other.first_bar for one, other in itertools.pairwise(found))
    assert found[-1].first_bar + found[-1].num_bars == len(beats_of(score).bar_ticks) - 1
    assert all(section.num_bars > 0 for section in found)


def test_drums_alone_and_nothing_have_sections_too() -> None:
    score = piece((5, 12))
    score.tracks[0].is_drum = True
    assert sum(section.num_bars for section in sections_of(score)) == 12
    assert len(sections_of(symusic.Score(QUARTER))) == 1


def test_transposing_and_splitting_tracks_leaves_the_form() -> None:
    score = piece((1, 8), (2, 4), (1, 8), (4, 8))
    found = sections_of(score)
    assert sections_of(score.shift_pitch(5)) == found
    apart = score.copy()
    bass = symusic.Track()
    for note in score.tracks[0].notes:
        if note.pitch < 55:
            bass.notes.append(note)
    apart.tracks[0].notes = [note for note in score.tracks[0].notes if note.pitch >= 55]
    apart.tracks.append(bass)
    assert sections_of(apart) == found


@pytest.mark.parametrize("seed", range(10))
def test_boundaries_are_the_best_of_all(seed: int) -> None:
    random = np.random.default_rng(seed)
    num_bars, longest = int(random.integers(1, 9)), int(random.integers(2, 9))
    odds, length = random.normal(size=num_bars), random.normal(size=longest + 1)

    def total(starts: Sequence[int]) -> float:
        lengths = np.diff([*starts, num_bars])
        if lengths.max() > longest:
            return -np.inf
        return float(odds[list(starts[1:])].sum() + length[lengths].sum())

    choices = [[0, *rest] for count in range(num_bars) for rest in itertools.combinations(range(1, num_bars), count)]
    assert best_boundaries(odds, length) == max(choices, key=total)


def test_boundary_signs_equal_those_of_slow_loops() -> None:
    """Repetitions and novelty, bar by bar."""
    contents = bar_contents(piece((1, 8), (2, 8), (1, 8), (3, 5)))
    likeness = standardised_likeness(contents)
    signs = boundary_signs(contents, likeness)
    num_bars = len(likeness)
    for length in (4, 8):
        runs = mean_along_diagonals(likeness, length)
        for one, other in itertools.product(range(num_bars - length + 1), repeat=2):
            slow = np.mean([likeness[one + step, other + step] for step in range(length)])
            assert runs[one, other] == pytest.approx(slow, abs=1e-9)
        for bar in range(num_bars - length + 1):
            best = max(runs[bar, other] for other in range(len(runs)) if abs(bar - other) >= 4)
            assert signs[bar, SIGNS.index(f"starts {length}")] == pytest.approx(max(best, -2.0))
            if bar + length < num_bars:
                assert signs[bar + length, SIGNS.index(f"ends {length}")] == pytest.approx(max(best, -2.0))
    for bar in range(1, num_bars):
        before, after = range(max(0, bar - 8), bar), range(bar, min(num_bars, bar + 8))
        within = [
            np.mean([likeness[one, other] for one, other in itertools.permutations(bars, 2)] or [0.0])
            for bars in (before, after)
        ]
        between = np.mean([likeness[one, other] for one in before for other in after])
        assert signs[bar, SIGNS.index("novelty")] == pytest.approx(np.mean(within) - between)


def test_letters_continue_after_z() -> None:
    starts = list(range(30))
    letters = letters_of(starts, np.eye(30) * 0, same=0.5)
    assert letters[:2] + letters[25:28] == ["A", "B", "Z", "AA", "AB"]
