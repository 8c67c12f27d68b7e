"""The overlap of two distributions."""

from __future__ import annotations

import numpy as np
import pytest

from music_reformer.evaluation.compare import overlap


def test_overlap_is_one_for_equal_groups_and_zero_for_disjoint_ones() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=200)
    assert overlap(values, values) == pytest.approx(1.0, abs=0.01)
    assert overlap(values, values + 30) < 0.01
    # Two normal densities one standard deviation apart: twice the tail beyond half of one, 0.617.
    assert overlap(random.normal(size=4000), random.normal(size=4000) + 1) == pytest.approx(0.617, abs=0.05)
    assert overlap(np.ones(5), np.ones(5)) == pytest.approx(1.0, abs=0.01)
