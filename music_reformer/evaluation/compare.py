"""Compares the distributions of a statistic over two groups of pieces."""

from __future__ import annotations

import numpy as np

from music_reformer.evaluation.notes import Floats

_POINTS = 160


def density(values: Floats, at: Floats) -> Floats:
    """Gaussian kernel density estimate with the bandwidth of Scott's rule (Scott, 1992), at the given points."""
    spread = values.std(ddof=1) if len(values) > 1 else 0.0
    # If all values are equal, the bandwidth is a hundredth of the range of the points.
    width = max(spread * len(values) ** -0.2, (at[-1] - at[0]) / 100, 1e-12)
    kernel = np.exp(-0.5 * ((at[:, None] - values[None, :]) / width) ** 2)
    return kernel.sum(axis=1) / (len(values) * width * np.sqrt(2 * np.pi))


def common_axis(*groups: Floats) -> Floats:
    """Points that span the values of all groups, with a margin for the tails."""
    together = np.concatenate(groups)
    low, high = float(together.min()), float(together.max())
    margin = 0.15 * (high - low) or max(1e-6, abs(high) * 0.1)
    return np.linspace(low - margin, high + margin, _POINTS)


def overlap(first: Floats, second: Floats) -> float:
    """Area under the minimum of two densities: 1 for equal distributions, 0 for disjoint ones.

    This is the overlapping area of Yang and Lerch (Neural Computing and Applications 2020, "On the evaluation of
    generative models in music"), computed on the values themselves.
    """
    at = common_axis(first, second)
    lower = np.minimum(density(first, at), density(second, at))
    return float(min(1.0, lower.sum() * (at[1] - at[0])))


def mean_interval(values: Floats) -> dict[str, float]:
    """Mean with its 95 % bootstrap interval over pieces, and the standard deviation of the values ("spread")."""
    random = np.random.default_rng(0)
    means = random.choice(values, size=(2000, len(values))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high), "spread": float(values.std())}
