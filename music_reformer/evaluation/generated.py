"""Generated music against human music: statistics of the same number of seconds of each, and copied passages.

Three groups: generated, held out (the split), training. How much generated and held-out pieces overlap in a statistic
is read against how much training and held-out pieces do: two human groups of that size agree no better, so that is the
ceiling. Copies from the training set are read against those of held-out pieces: human pieces that were not copied from
it share so much with it by themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from music_reformer.config import EvaluateConfig, require
from music_reformer.data.store import TokenStore
from music_reformer.evaluation.compare import mean_interval, overlap
from music_reformer.evaluation.copies import TrainingSet
from music_reformer.evaluation.groups import (
    Excerpt,
    Generated,
    excerpt_seconds,
    generated_excerpts,
    human_excerpts,
)
from music_reformer.evaluation.musical import STATISTICS, statistics
from music_reformer.evaluation.structure import by_lag, self_similarity

GROUPS = ("generated", "held_out", "training")
# Outputs listed in the report with the passage that they share with the training set.
_LISTED = 20

Floats = NDArray[np.float64]


def compare_generated(
    config: EvaluateConfig, store: TokenStore, pieces: list[Generated], refused: list[str], progress: Progress
) -> dict[str, Any]:
    """All figures about generated pieces, ready for JSON.

    Args:
        config: split, sizes of the groups.
        store: of the human pieces; its training split is what may have been copied.
        pieces: at least two.
        refused: sentences about files that cannot be used, told along.
        progress: gets a task for each step.

    Raises:
        UserError: fewer than two pieces, in one of the groups.
    """
    require(len(pieces) >= 2, f"generated ({config.generated}) holds one piece; a distribution needs at least 2")
    seconds = excerpt_seconds(pieces, config.excerpt_seconds)
    excerpts = {"generated": generated_excerpts(pieces, seconds)}
    # Continuations begin late in a piece: the human excerpts that they are held against do so too.
    begin_s = float(np.median([piece.begin_s - piece.notes.first_s for piece in pieces]))
    for group, split in (("held_out", config.split), ("training", "train")):
        excerpts[group] = list(
            human_excerpts(store, split, num_pieces=config.human_pieces, begin_s=begin_s, seconds=seconds)
        )
        require(
            len(excerpts[group]) >= 2, f"the {split} split of {config.data} has fewer than 2 pieces to compare with"
        )
    found = _all_statistics(excerpts, progress)
    named = [name for name in STATISTICS if all(np.isfinite(found[group][name]).sum() >= 2 for group in GROUPS)]
    values = {group: {name: _finite(found[group][name]) for name in named} for group in GROUPS}
    return {
        "folder": str(config.generated),
        "refused": refused,
        "excerpt_seconds": seconds,
        "begin_seconds": begin_s,
        "groups": {
            group: {
                "pieces": len(excerpts[group]),
                "statistics": {name: mean_interval(values[group][name]) for name in named},
                "values": {name: values[group][name].tolist() for name in named},
                "likeness_by_lag": _mean_by_lag(excerpts[group], int(seconds)),
            }
            for group in GROUPS
        },
        "overlap": {
            name: {other: overlap(values[other][name], values["held_out"][name]) for other in ("generated", "training")}
            for name in named
        },
        "originality": _originality(store, excerpts["generated"], excerpts["held_out"], progress),
    }


def _all_statistics(excerpts: dict[str, list[Excerpt]], progress: Progress) -> dict[str, dict[str, Floats]]:
    """Values of each statistic over the pieces of each group."""
    task = progress.add_task("musical statistics", total=sum(map(len, excerpts.values())), rate="")
    found = {}
    for group, pieces in excerpts.items():
        rows = []
        for piece in pieces:
            rows.append(statistics(piece.notes))
            progress.advance(task)
        found[group] = {name: np.array([row[name] for row in rows]) for name in STATISTICS}
    return found


def _finite(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _mean_by_lag(pieces: list[Excerpt], seconds: int) -> list[float]:
    """Mean likeness of seconds 0, 1, 2 ... apart, over the pieces; to two thirds of the excerpt, where it gets thin."""
    longest = max(2, seconds * 2 // 3)
    rows = np.full((len(pieces), longest), np.nan)
    for row, piece in zip(rows, pieces, strict=True):
        lags = by_lag(self_similarity(piece.notes))[:longest]
        row[: len(lags)] = lags
    counted = np.isfinite(rows).sum(axis=0)
    means = np.nansum(rows, axis=0) / np.maximum(counted, 1)
    return [round(float(mean), 5) for mean in means[counted > 0]]


def _originality(
    store: TokenStore, generated: list[Excerpt], held_out: list[Excerpt], progress: Progress
) -> dict[str, Any]:
    """Longest copied n-gram of every piece, over all notes and over the top line alone."""
    training = store.split("train")
    task = progress.add_task("looking for copies", total=len(training), rate="")
    index = TrainingSet.of(store, done=lambda: progress.advance(task))
    figures: dict[str, Any] = {"training_pieces": len(training), "training_notes": index.num_notes}
    generated_copies = [index.copies(piece.notes) for piece in generated]
    held_out_copies = [index.copies(piece.notes) for piece in held_out]
    for line in ("all_notes", "top_line"):
        own = np.array([copies[line]["notes"] for copies in generated_copies])
        human = np.array([copies[line]["notes"] for copies in held_out_copies])
        order = np.argsort(-own, kind="stable")[:_LISTED]
        figures[line] = {
            "generated": {**_spread(own), "beyond": int((own > human.max()).sum())},
            "held_out": _spread(human),
            "longest": [{"file": generated[i].name, **generated_copies[i][line]} for i in order],
        }
    return figures


def _spread(lengths: NDArray[np.int64]) -> dict[str, Any]:
    return {
        "pieces": len(lengths),
        "median": float(np.median(lengths)),
        "percentile_95": float(np.percentile(lengths, 95)),
        "largest": int(lengths.max()),
        "lengths": sorted(lengths.tolist()),
    }
