"""How often the pieces of each corpus of a store are trained on, so that no corpus dominates the others.

A corpus of T training tokens gets a share of all training tokens in proportion to weight * T ** power. With power 1,
shares follow the sizes of the corpora; with power 0, only the weights count; between them, pieces of small corpora are
visited more often than those of large ones.

Shapes: P pieces, C corpora.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from music_reformer.config import MixtureConfig, TrainMixtureConfig, require

# Separates the random streams of this module from those of `rows.py`, which begin with 0, 1 and 2.
_PASS = 3


@dataclass(frozen=True)
class Visits:
    """The visits of an epoch to pieces.

    Attributes:
        pieces: index of each visited piece in the list of pieces, int64.
        passes: number of earlier passes over the piece's corpus, int64; different for any two visits to a piece.
    """

    pieces: NDArray[np.int64]
    passes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pieces)


def every_piece(num_pieces: int, epoch: int) -> Visits:
    """An epoch that visits each piece once."""
    return Visits(np.arange(num_pieces), np.full(num_pieces, epoch))


@dataclass(frozen=True)
class Mixture:
    """Rates at which corpora are visited.

    Attributes:
        names: names of the corpora, [C].
        corpus_P: index of each piece's corpus.
        shares_C: share of each corpus in all training tokens.
        rate_C: mean number of visits of a piece in an epoch; an epoch has as many tokens as all pieces together.
    """

    names: Sequence[str]
    corpus_P: NDArray[np.int16]
    shares_C: NDArray[np.float64]
    rate_C: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        corpus_P: NDArray[np.int16],
        length_P: NDArray[np.int64],
        config: MixtureConfig,
    ) -> Mixture:
        """The mixture of the pieces of a training split.

        Raises:
            UserError: a weight is given to a corpus that is not there, or all weights are 0.
        """
        for name in config.weights:
            require(name in names, f"mixture.weights ({name!r}) must name corpora of the store: {', '.join(names)}")
        tokens_C = np.bincount(corpus_P, weights=length_P, minlength=len(names))
        weight_C = np.array([config.weights.get(name, 1.0) for name in names])
        share_C = np.where(tokens_C > 0, weight_C * np.maximum(tokens_C, 1) ** config.power, 0.0)
        require(
            bool(share_C.sum() > 0), "mixture.weights leave no corpus to train on; give at least one a weight above 0"
        )
        share_C = share_C / share_C.sum()
        return cls(names, corpus_P, share_C, share_C * tokens_C.sum() / np.maximum(tokens_C, 1))

    def visits(self, epoch: int, *, seed: int) -> Visits:
        """The visits of an epoch, a function of the arguments alone.

        Each corpus is passed over repeatedly, every time in another order, and an epoch continues where the one before
        stopped. So all pieces of a corpus are visited equally often.
        """
        pieces, passes = [], []
        for corpus in range(len(self.names)):
            members = np.flatnonzero(self.corpus_P == corpus)
            quota = float(self.rate_C[corpus]) * len(members)
            place = np.arange(int(epoch * quota), int((epoch + 1) * quota))
            number = place // max(1, len(members))
            for each in np.unique(number):
                order = np.random.default_rng([seed, _PASS, corpus, int(each)]).permutation(len(members))
                pieces.append(members[order[place[number == each] % len(members)]])
            passes.append(number)
        return Visits(np.concatenate(pieces), np.concatenate(passes))


def mixture_config(of_store: Mapping[str, Any], asked: TrainMixtureConfig) -> MixtureConfig:
    """The mixture to train with: that of the store, with the requested changes.

    Args:
        of_store: "mixture" of `store.json`; empty for a store without one.
        asked: changes in the settings of the training run.
    """
    stored = MixtureConfig(**of_store)
    power = stored.power if asked.power is None else asked.power
    return MixtureConfig(power=power, weights={**stored.weights, **asked.weights})
