"""Measures of recomposed bars, each against a slow and obvious form of its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest

from helpers.scores import random_score
from music_reformer.evaluation.checks import Bars
from music_reformer.evaluation.infilled import (
    against_true,
    around,
    bar_entropies,
    content_preservation,
    onset_f1,
    onset_grid,
)


def some(seed: int, first: int = 2, num_bars: int = 3) -> Bars:
    return Bars.of(random_score(seed, programs=(0, 40)), first, num_bars)


def entropy(pitches: list[int]) -> float:
    classes = [pitch % 12 for pitch in pitches]
    shares = [classes.count(each) / len(classes) for each in set(classes)]
    return -sum(share * math.log2(share) for share in shares)


def onsets(bars: Bars, bar: int) -> set[int]:
    return {int((onset - bar) * 64 + 1e-6) for onset in bars.onset if bar <= onset < bar + 1}


@pytest.mark.parametrize("seed", range(4))
def test_entropy_and_groove_bar_by_bar(seed: int) -> None:
    bars = some(seed)
    for bar, found in enumerate(bar_entropies(bars)):
        pitches = [
            int(pitch)
            for pitch, onset, program in zip(bars.pitch, bars.onset, bars.program, strict=True)
            if program >= 0 and bar <= onset < bar + 1
        ]
        assert found == pytest.approx(entropy(pitches) if pitches else 0.0)
        assert set(np.flatnonzero(onset_grid(bars)[bar])) == onsets(bars, bar)


@pytest.mark.parametrize("seed", range(4))
def test_onset_f1_is_that_of_crossing_out_notes_one_by_one(seed: int) -> None:
    one, other = some(seed), some(seed, num_bars=2)
    other = Bars(3, other.onset, other.end, other.pitch, other.program)  # the third bar is silent
    left = [(n, p, round(o * 48)) for n, p, o in zip(one.program, one.pitch, one.onset, strict=True)]
    hits = 0
    for note in zip(other.program, other.pitch, [round(onset * 48) for onset in other.onset], strict=True):
        if note in left:
            left.remove(note)
            hits += 1
    precision, recall = hits / len(other), hits / len(one)
    assert 0 < hits < len(one)
    assert onset_f1(other, one) == pytest.approx(2 * precision * recall / (precision + recall))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("quarters", [4.0, 3.0, 3.5])
def test_content_preservation_frame_by_frame(seed: int, quarters: float) -> None:
    one, other = some(seed), some(seed + 9)

    def frame(bars: Bars, number: int) -> np.ndarray:
        chroma = np.zeros(12)
        for pitch, onset, end, program in zip(bars.pitch, bars.onset, bars.end, bars.program, strict=True):
            first = round(onset * quarters * 12)
            if program >= 0 and first <= number < max(round(end * quarters * 12), first + 1):
                chroma[pitch % 12] += 1
        return chroma

    cosines = []
    num_frames = round(3 * quarters * 12)
    for begin in range(0, num_frames - 24 + 1, 12):
        a, b = (np.mean([frame(bars, begin + i) for i in range(24)], axis=0) for bars in (one, other))
        if a.any() or b.any():
            cosines.append(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) if a.any() and b.any() else 0.0)
    assert content_preservation(one, other, quarters=quarters) == pytest.approx(np.mean(cosines))


def test_true_bars_get_the_best_scores_and_silence_the_worst() -> None:
    true = some(1)
    empty = np.zeros(0)
    silence = Bars(3, empty, empty, empty.astype(int), empty.astype(int))
    best = {"entropy difference": 0.0, "groove similarity": 1.0, "onset F1": 1.0, "content preservation": 1.0}
    assert against_true(true, true, quarters=4.0) == pytest.approx(best)
    assert against_true(silence, silence, quarters=4.0) == pytest.approx(best)
    found = against_true(silence, true, quarters=4.0)
    assert found["onset F1"] == found["content preservation"] == 0.0
    assert found["entropy difference"] == pytest.approx(bar_entropies(true).mean())


def test_bars_around_are_compared_pair_by_pair() -> None:
    new, context = some(2, num_bars=2), some(3, first=0, num_bars=4)
    agreed = [
        sum((place in onsets(new, i)) == (place in onsets(context, j)) for place in range(64)) / 64
        for i in range(2)
        for j in range(4)
    ]
    found = around(new, context)
    assert found["groove similarity"] == pytest.approx(np.mean(agreed))
    difference = abs(bar_entropies(new).mean() - bar_entropies(context).mean())
    assert found["entropy difference"] == pytest.approx(difference)
