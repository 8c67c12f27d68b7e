"""Confidence intervals over pieces: how much a figure depends on which pieces were scored.

Shapes: P pieces, K figures, R resamples.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 10_000
_AT_A_TIME = 100  # resamples in memory at once, which bounds the memory for splits of many pieces


def ratio(numerator_P: NDArray[np.float64], denominator_P: NDArray[np.float64]) -> dict[str, float]:
    """Ratio of two sums over pieces ("value"), and its 95 % interval ("low", "high"); see `ratios`."""
    return ratios(numerator_P[:, None], denominator_P[:, None])[0]


def ratios(numerator_PK: NDArray[np.float64], denominator_PK: NDArray[np.float64]) -> list[dict[str, float]]:
    """K ratios of sums over pieces, each with its 95 % interval by the percentile bootstrap (Efron, 1979).

    Whole pieces are drawn with replacement, because tokens of a piece are not independent. The draws are seeded, so the
    same pieces give the same interval.
    """
    values_RK = []
    with np.errstate(invalid="ignore", divide="ignore"):
        for counts_RP in _resamples(len(numerator_PK)):
            values_RK.append((counts_RP @ numerator_PK) / (counts_RP @ denominator_PK))
        # A resample may lack the few pieces that have a token of some kind.
        low_K, high_K = np.nanpercentile(np.concatenate(values_RK), [2.5, 97.5], axis=0)
        value_K = numerator_PK.sum(axis=0) / denominator_PK.sum(axis=0)
    return [
        {"value": float(value), "low": float(low), "high": float(high)}
        for value, low, high in zip(value_K, low_K, high_K, strict=True)
    ]


def _resamples(num_pieces: int) -> Iterator[NDArray[np.int64]]:
    """Number of times that each piece is in each resample, in blocks of [_AT_A_TIME, P]."""
    random = np.random.default_rng(0)
    for _ in range(_RESAMPLES // _AT_A_TIME):
        yield random.multinomial(num_pieces, np.full(num_pieces, 1 / num_pieces), size=_AT_A_TIME)
