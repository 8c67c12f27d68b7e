"""Bootstrap intervals cover the truth as often as they say."""

from __future__ import annotations

import numpy as np

from music_reformer.evaluation.confidence import ratio, ratios


def test_pieces_without_a_kind_do_not_affect_its_interval() -> None:
    found = ratios(np.array([[4.0, 0.0], [6.0, 0.0], [8.0, 3.0]]), np.array([[2.0, 0.0], [2.0, 0.0], [2.0, 2.0]]))
    assert found[0]["low"] < found[0]["value"] == 3.0 < found[0]["high"]
    assert found[1] == {"value": 1.5, "low": 1.5, "high": 1.5}


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(30):
        length = random.integers(50, 500, 40).astype(float)
        found = ratio(length * random.normal(2.0, 0.3, 40), length)
        covered += found["low"] <= 2.0 <= found["high"]
        assert found["low"] <= found["value"] <= found["high"]
    assert 25 <= covered <= 30  # 95 % of 30 is 28.5.
