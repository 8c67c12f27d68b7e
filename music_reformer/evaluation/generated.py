"""Compares generated with human music: statistics over excerpts of equal length, and copied passages.

There are three groups: generated, held out (the split), and training. The overlap of generated and held-out pieces in a
statistic is compared with the overlap of training and held-out pieces. That is the ceiling, because two human groups of
this size agree no better. Likewise, copies from the training set are compared with those of held-out pieces, which
share passages with it although they were not copied from it.
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
from music_reformer.evaluation.notes import Floats
from music_reformer.evaluation.structure import by_lag, self_similarity

GROUPS = ("generated", "held_out", "training")
# Number of generated pieces whose copied passages the report lists.
_LISTED = 20


def compare_generated(
    config: EvaluateConfig, store: TokenStore, pieces: list[Generated], refused: list[str], progress: Progress
) -> dict[str, Any]:
    """All figures about generated pieces, in JSON types.

    Args:
        config: names the split and the sizes of the groups.
        store: the human pieces; copies are searched in its training split.
        pieces: the generated pieces.
        refused: messages about files that cannot be used, passed on to the report.
        progress: gets a task for each step.

    Raises:
        UserError: one of the groups has fewer than two pieces.
    """
    require(len(pieces) >= 2, f"generated ({config.generated}) holds one piece; a distribution needs at least 2")
    seconds = excerpt_seconds(pieces, config.excerpt_seconds)
    excerpts = {"generated": generated_excerpts(pieces, seconds)}
    # Continuations begin late in a piece, so the human excerpts do, too.
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
    """Mean self-similarity at lags of 0, 1, 2 ... seconds over the pieces, up to two thirds of the excerpt."""
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
    """The longest copied n-gram of each piece, over all notes and over the top line."""
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
