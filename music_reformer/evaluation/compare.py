"""Two groups of pieces by a statistic: do they look as if drawn from one distribution?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_POINTS = 160
Floats = NDArray[np.float64]


def density(values: Floats, at: Floats) -> Floats:
    """Gaussian kernel density of some values, its width by Scott's rule (Scott, 1992)."""
    spread = values.std(ddof=1) if len(values) > 1 else 0.0
    # Values that are all alike get a peak of a hundredth of the range that is looked at.
    width = max(spread * len(values) ** -0.2, (at[-1] - at[0]) / 100, 1e-12)
    kernel = np.exp(-0.5 * ((at[:, None] - values[None, :]) / width) ** 2)
    return kernel.sum(axis=1) / (len(values) * width * np.sqrt(2 * np.pi))


def common_axis(*groups: Floats) -> Floats:
    """Points that span all groups with room for the tails."""
    together = np.concatenate(groups)
    low, high = float(together.min()), float(together.max())
    margin = 0.15 * (high - low) or max(1e-6, abs(high) * 0.1)
    return np.linspace(low - margin, high + margin, _POINTS)


def overlap(first: Floats, second: Floats) -> float:
    """Area under the lower of two densities: 1 for one distribution, 0 for groups far apart.

    The overlapping area of Yang and Lerch (Neural Computing and Applications 2020, "On the evaluation of generative
    models in music"), of the values themselves.
    """
    at = common_axis(first, second)
    lower = np.minimum(density(first, at), density(second, at))
    return float(min(1.0, lower.sum() * (at[1] - at[0])))


def mean_interval(values: Floats) -> dict[str, float]:
    """Mean, its 95 % interval by resampling pieces, and the spread (standard deviation) of the values."""
    random = np.random.default_rng(0)
    means = random.choice(values, size=(2000, len(values))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high), "spread": float(values.std())}
