"""A baseline: an interpolated n-gram model, fitted on the training split.

Shapes: N targets, those of the training pieces first; M targets of the pieces to score; A weights.

    P_k(w | c_k) = (n(c_k w) + a T(c_k) P_{k-1}(w | c_{k-1})) / (n(c_k) + a T(c_k))

c_k are the last k tokens, n counts occurrences, and T(c) is the number of different tokens that followed c. The
recursion ends at the uniform distribution. With a = 1 this is the interpolation of Witten and Bell (IEEE Trans. Inf.
Theory 1991, method C). A larger weight a trusts long contexts less; it is chosen on a part of the training pieces. A
model whose loss is not well below this baseline has learnt no more than which tokens follow each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
WEIGHTS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
# One in this many training pieces is used to choose the weight.
_CHOOSE_ON = 10
# Padding before the first token of a piece.
_BEFORE = -1


def ngram_nats(
    training: Sequence[Ids], pieces: Sequence[Ids], *, order: int, vocab_size: int, weight: float = 1.0
) -> list[NDArray[np.float64]]:
    """Negative log-likelihood of each target of the pieces, in nats; a target is every token but a piece's first.

    Args:
        training: tokens of the training pieces, with BOS and EOS.
        pieces: tokens of the pieces to score.
        order: length of the longest n-gram, at least 1; its context is one token shorter.
        vocab_size: number of token ids.
        weight: of shorter contexts, a in the formula.
    """
    (probability,) = _probabilities(training, pieces, order, vocab_size, (weight,))
    ends = np.cumsum([len(tokens) - 1 for tokens in pieces])
    return np.split(-np.log(probability), ends[:-1])


def choose_weight(training: Sequence[Ids], *, order: int, vocab_size: int, copies: int = 1) -> float:
    """The weight among `WEIGHTS` with which most of the training pieces predict the rest best.

    Args:
        training, order, vocab_size: as in `ngram_nats`.
        copies: number of consecutive entries of `training` that are one piece in several keys and stay together.
    """
    chosen = [(number // copies) % _CHOOSE_ON == 0 for number in range(len(training))]
    scored = [piece for piece, held_out in zip(training, chosen, strict=True) if held_out]
    others = [piece for piece, held_out in zip(training, chosen, strict=True) if not held_out]
    if not others:
        return 1.0
    return WEIGHTS[int(np.log(_probabilities(others, scored, order, vocab_size, WEIGHTS)).sum(axis=1).argmax())]


def _probabilities(
    training: Sequence[Ids], pieces: Sequence[Ids], order: int, vocab_size: int, weights: Sequence[float]
) -> NDArray[np.float64]:
    """Probability of each target of the pieces with each weight, [A, M].

    Contexts of one length are numbered by sorting, so that millions of tokens take seconds per order.
    """
    everything = [*training, *pieces]
    target_N = np.concatenate([tokens[1:] for tokens in everything])
    num_training = sum(len(tokens) - 1 for tokens in training)
    weight_A1 = np.array(weights)[:, None]
    probability_AM = np.full((len(weights), len(target_N) - num_training), 1 / vocab_size)
    context_N = np.zeros(len(target_N), dtype=np.int64)
    for length in range(order):
        if length:
            # The token `length` places before each target extends its context.
            earlier_N = np.concatenate([_earlier(tokens, length) for tokens in everything])
            context_N = _number(context_N * (vocab_size + 1) + earlier_N + 1)
        gram_N = _number(context_N * vocab_size + target_N)
        gram_count = np.bincount(gram_N[:num_training], minlength=int(gram_N.max()) + 1)
        context_count = np.bincount(context_N[:num_training], minlength=int(context_N.max()) + 1)
        context_of_gram = np.zeros(len(gram_count), dtype=np.int64)
        context_of_gram[gram_N] = context_N
        num_followers = np.bincount(context_of_gram[gram_count > 0], minlength=len(context_count))
        context_M, gram_M = context_N[num_training:], gram_N[num_training:]
        shorter_AM = weight_A1 * num_followers[context_M]
        total_AM = context_count[context_M] + shorter_AM
        # For a context that is not in the training pieces, the shorter one is used.
        interpolated_AM = (gram_count[gram_M] + shorter_AM * probability_AM) / np.maximum(total_AM, 1e-9)
        probability_AM = np.where(total_AM > 0, interpolated_AM, probability_AM)
    return probability_AM


def _earlier(tokens: Ids, length: int) -> Ids:
    """For each target of a piece, the token `length` places before it."""
    padded = np.concatenate([np.full(length, _BEFORE), tokens])
    return padded[1 : len(tokens)]


def _number(keys: Ids) -> Ids:
    """Replace the distinct keys by 0, 1, 2 ..."""
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)
