"""Figures of a split, computed from the losses of its pieces, in JSON types.

Shapes: P pieces, K kinds of token or octaves of position.

Nats per token compare models with the same tokenizer; nats or bits per note and per second compare different
tokenizers, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from music_reformer.evaluation.confidence import ratio, ratios
from music_reformer.evaluation.likelihood import PieceLoss
from music_reformer.midi.vocabulary import Vocabulary


def summary(losses: Sequence[PieceLoss], vocabulary: Vocabulary) -> dict[str, Any]:
    """All figures of a split; every "value" comes with its 95 % interval over pieces.

    Args:
        losses: of its pieces, at least one.
        vocabulary: of the tokenizer.
    """
    nats_P = np.array([loss.nats.sum() for loss in losses])
    targets_P = np.array([len(loss.nats) for loss in losses], dtype=float)
    notes_P = np.array([loss.piece.num_notes for loss in losses], dtype=float)
    seconds_P = np.array([loss.piece.seconds for loss in losses])
    bits_P = nats_P / math.log(2)
    figures: dict[str, Any] = {
        "pieces": len(losses),
        "targets": int(targets_P.sum()),
        "notes": int(notes_P.sum()),
        "seconds": float(seconds_P.sum()),
        "nats_per_token": ratio(nats_P, targets_P),
    }
    # A corpus of integers has neither notes nor seconds.
    if notes_P.sum() > 0:
        figures["nats_per_note"] = ratio(nats_P, notes_P)
        figures["bits_per_note"] = ratio(bits_P, notes_P)
    if seconds_P.sum() > 0:
        figures["bits_per_second"] = ratio(bits_P, seconds_P)
    return {
        **figures,
        "nats_per_token_without_end": without_end(losses),
        "by_corpus": _by_corpus(losses),
        "by_type": _by_type(losses, vocabulary),
        "by_position": _by_position(losses),
        "by_piece": [
            {"source": loss.piece.source, "targets": len(loss.nats), "nats": float(loss.nats.sum())}
            for loss in sorted(losses, key=lambda loss: loss.piece.piece_id)
        ],
    }


def per_token(losses: Sequence[PieceLoss]) -> dict[str, float]:
    """Nats per token of some pieces, with its interval."""
    return ratio(np.array([loss.nats.sum() for loss in losses]), np.array([float(len(loss.nats)) for loss in losses]))


def without_end(losses: Sequence[PieceLoss]) -> dict[str, float]:
    """Nats per token without EOS, as benchmarks over fixed grids report it."""
    return ratio(
        np.array([loss.nats[:-1].sum() for loss in losses]), np.array([float(len(loss.nats) - 1) for loss in losses])
    )


def _by_corpus(losses: Sequence[PieceLoss]) -> dict[str, dict[str, Any]]:
    """The figures of each corpus; empty if all pieces are of one."""
    of_corpus: dict[str, list[PieceLoss]] = {}
    for loss in losses:
        of_corpus.setdefault(loss.piece.corpus, []).append(loss)
    if len(of_corpus) < 2:
        return {}
    found = {}
    for name, some in sorted(of_corpus.items()):
        nats_P = np.array([loss.nats.sum() for loss in some])
        notes_P = np.array([loss.piece.num_notes for loss in some], dtype=float)
        found[name] = {
            "pieces": len(some),
            "targets": sum(len(loss.nats) for loss in some),
            "notes": int(notes_P.sum()),
            "nats_per_token": per_token(some),
            "nats_per_note": ratio(nats_P, notes_P) if notes_P.sum() > 0 else None,
        }
    return found


def _by_type(losses: Sequence[PieceLoss], vocabulary: Vocabulary) -> dict[str, dict[str, Any]]:
    """Mean nats and share of all nats by kind of token, largest share first."""
    kinds = sorted(vocabulary.ids_of)
    kind_of_id = np.array([kinds.index(kind) for kind in vocabulary.kinds])
    nats_PK, count_PK = _sums(losses, [kind_of_id[loss.targets] for loss in losses], len(kinds))
    occurs = count_PK.sum(axis=0) > 0
    kinds = [kind for kind, there in zip(kinds, occurs, strict=True) if there]
    nats_PK, count_PK = nats_PK[:, occurs], count_PK[:, occurs]
    count_K, nats_K = count_PK.sum(axis=0), nats_PK.sum(axis=0)
    means = ratios(nats_PK, count_PK)
    return {
        kinds[i]: {
            "targets": int(count_K[i]),
            "nats_per_token": means[i]["value"],
            "low": means[i]["low"],
            "high": means[i]["high"],
            "share": float(nats_K[i] / nats_K.sum()),
        }
        for i in np.argsort(-nats_K)
    }


def _by_position(losses: Sequence[PieceLoss]) -> list[dict[str, float]]:
    """Mean nats of the targets 1, 2-3, 4-7, ... after BOS."""
    octaves = [np.floor(np.log2(np.arange(1, len(loss.nats) + 1))).astype(int) for loss in losses]
    nats_PK, count_PK = _sums(losses, octaves, 1 + max(int(octave[-1]) for octave in octaves))
    return [
        {
            "from": 2**i,
            "to": 2 ** (i + 1) - 1,
            "targets": int(count_PK[:, i].sum()),
            "nats_per_token": mean["value"],
            "low": mean["low"],
            "high": mean["high"],
        }
        for i, mean in enumerate(ratios(nats_PK, count_PK))
    ]


def _sums(
    losses: Sequence[PieceLoss], groups: Sequence[NDArray[np.int64]], num_groups: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nats and number of targets of each piece in each group, [P, K]."""
    nats_PK, count_PK = np.zeros((2, len(losses), num_groups))
    for piece, (loss, group) in enumerate(zip(losses, groups, strict=True)):
        np.add.at(nats_PK[piece], group, loss.nats)
        np.add.at(count_PK[piece], group, 1)
    return nats_PK, count_PK
