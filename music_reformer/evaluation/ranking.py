"""Ranks continuations by how close they stay to the piece, for the order in which they are shown, or kept.

Distances of the nine checks in `checks.py` are squared and added up: failing one check is worse than coming near the
limit of several. Benchmarks report results with this choice separately (docs/benchmarks.md), because they measure by
the same checks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

import symusic

from music_reformer.evaluation.checks import distances
from music_reformer.midi.score import bar_starts, with_likely_metre

FARTHEST = 3.0  # distances are clipped to this


def cost(found: Mapping[str, float]) -> float:
    """The sum of squared distances, each up to `FARTHEST`; lower is closer to the piece."""
    return sum(min(distance, FARTHEST) ** 2 for distance in found.values())


def best(
    scores: Sequence[symusic.Score], most: int, *, cut_tick: int, end_tick: int
) -> list[tuple[int, symusic.Score]]:
    """The scores to keep, with their indices: all in order or, if there are more than `most`, the closest."""
    order = list(range(len(scores)))
    if len(scores) > most:
        order = ranked(scores, cut_tick=cut_tick, end_tick=end_tick)[:most]
    return [(index, scores[index]) for index in order]


def ranked(scores: Sequence[symusic.Score], *, cut_tick: int, end_tick: int) -> list[int]:
    """Indices of the scores, the closest to the piece first; in given order if there is no music before the cut.

    Args:
        scores: the same piece with different new music in each, in ticks.
        cut_tick, end_tick: where the new music begins and ends.
    """
    costs = []
    for score in scores:
        played = with_likely_metre(score)
        lines = bar_starts(played)
        cut_bar = bisect_left(lines, cut_tick)
        if cut_bar == 0:
            return list(range(len(scores)))
        costs.append(cost(distances(played, cut_bar, max(1, bisect_left(lines, end_tick) - cut_bar))))
    return sorted(range(len(scores)), key=lambda index: costs[index])
