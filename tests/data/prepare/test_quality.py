"""A score is rejected for the first thing that it lacks, and the sentence says what."""

from __future__ import annotations

import pytest
import symusic

from helpers.scores import random_score
from music_reformer.config import QualityConfig
from music_reformer.data.prepare.quality import fault_of, mean_bpm


def with_pitches(*pitches: int, is_drum: bool = False) -> symusic.Score:
    score = symusic.Score(480)
    score.tempos.append(symusic.Tempo(0, 120.0))
    track = symusic.Track("", 0, is_drum)
    track.notes.extend([symusic.Note(place * 480, 480, pitch, 80) for place, pitch in enumerate(pitches)])
    score.tracks.append(track)
    return score


@pytest.mark.parametrize(
    ("score", "kind", "sentence"),
    [
        (with_pitches(), "no notes", "has no notes"),
        (with_pitches(*[36, 38] * 8, is_drum=True), "drums only", "no instruments but drums"),
        (with_pitches(60, 62, 64), "few notes", r"has 3 notes, fewer than 8 (quality.min_notes)"),
        (with_pitches(*[60] * 8), "one pitch", r"has 1 pitches, fewer than 2 (quality.min_pitches)"),
    ],
)
def test_missing_qualities_are_named(score: symusic.Score, kind: str, sentence: str) -> None:
    fault = fault_of(score, QualityConfig())
    assert fault is not None
    assert fault[0] == kind
    assert sentence in fault[1]


def test_bounds_are_those_of_the_settings() -> None:
    three = with_pitches(60, 62, 64)
    assert fault_of(three, QualityConfig(min_notes=3)) is None
    drums = with_pitches(*[36, 38] * 8, is_drum=True)
    assert fault_of(drums, QualityConfig(drums_only=True)) is None
    assert fault_of(three, QualityConfig(min_notes=3, max_bpm=100.0)) == (
        "absurd tempo",
        "has a mean of 120.0 bpm, not 10 to 100 (quality.min_bpm, max_bpm)",
    )


def test_the_mean_tempo_counts_time() -> None:
    score = random_score(0)
    score.tempos = [symusic.Tempo(0, 60.0)]
    assert mean_bpm(score) == pytest.approx(60)
    halves = with_pitches(*[60] * 8)  # 8 beats: 4 at 60, 4 at 120 take 6 seconds
    halves.tempos = [symusic.Tempo(0, 60.0), symusic.Tempo(4 * 480, 120.0)]
    assert mean_bpm(halves) == pytest.approx(80)
