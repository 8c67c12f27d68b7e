"""Variety: how much texture changes between blocks of eight bars."""

from __future__ import annotations

import pytest
import symusic

from music_reformer.evaluation.variety import MEASURES, usual_variety, variety


def sections(*played: tuple[int, int], bars: int = 8) -> symusic.Score:
    """Sections of eight bars of 4/4 on one pitch each, in so many notes a bar."""
    score, track = symusic.Score(480), symusic.Track("piano", 0, False)
    for number, (pitch, per_bar) in enumerate(played):
        for note in range(bars * per_bar):
            step = 1920 // per_bar
            track.notes.append(symusic.Note(number * bars * 1920 + note * step, step, pitch, 80))
    score.tracks.append(track)
    return score


def test_uniform_music_has_no_variety() -> None:
    found = variety(sections((60, 4), (60, 4), (60, 4)), 0, 24)
    assert found == pytest.approx(dict.fromkeys(MEASURES, 0.0))


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ((72, 4), {"density": 0.0, "register": 6.0, "pitch classes": 0.0, "rhythm": 0.0}),
        ((61, 4), {"density": 0.0, "register": 0.5, "pitch classes": 1.0, "rhythm": 0.0}),
        ((60, 16), {"density": 1.0, "register": 0.0, "pitch classes": 0.0, "rhythm": 0.5}),
    ],
)
def test_each_measure_has_its_cause(other: tuple[int, int], expected: dict[str, float]) -> None:
    assert variety(sections((60, 4), other), 0, 16) == pytest.approx(expected)


def test_only_whole_blocks_of_the_given_bars_count() -> None:
    score = sections((60, 4), (60, 4), (72, 16))
    assert variety(score, 0, 23) == pytest.approx(dict.fromkeys(MEASURES, 0.0))
    assert variety(score, 0, 15) is None
    assert variety(score, 8, 24) is None  # the last block is empty


def test_usual_variety_is_the_mean_over_stretches() -> None:
    score = sections((60, 4), (60, 4), (72, 4), (72, 4))
    found = usual_variety(score, 16)
    assert found is not None
    assert found["register"] == pytest.approx((0 + 6 + 0) / 3)
    assert usual_variety(score, 33) is None
