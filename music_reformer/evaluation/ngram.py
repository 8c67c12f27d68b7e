"""A yardstick from before neural networks: an interpolated n-gram, fitted on the training split.

Shapes: N targets, those of the training pieces first, then those of the pieces to score.

    P_k(w | c_k) = (n(c_k w) + T(c_k) P_{k-1}(w | c_{k-1})) / (n(c_k) + T(c_k))

with c_k the last k tokens, n counts and T(c) how many different tokens followed c: Witten and Bell's interpolation
(IEEE Trans. Inf. Theory 1991, method C), down to the uniform distribution. A model of music that is not well below it
has learnt no more than which tokens follow each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
# Stands before the first token of a piece.
_BEFORE = -1


def ngram_nats(
    training: Sequence[Ids], pieces: Sequence[Ids], *, order: int, vocab_size: int
) -> list[NDArray[np.float64]]:
    """Negative log-likelihood of each target of the pieces, in nats; a target is every token but a piece's first.

    All contexts of one length are numbered by sorting, so that millions of tokens take seconds an order.

    Args:
        training: tokens of the training pieces, BOS and EOS included.
        pieces: tokens of the pieces to score.
        order: tokens that the longest n-gram has, at least 1; its context is one less.
        vocab_size: number of different tokens.
    """
    everything = [*training, *pieces]
    target_N = np.concatenate([tokens[1:] for tokens in everything])
    num_training = sum(len(tokens) - 1 for tokens in training)
    probability = np.full(len(target_N) - num_training, 1 / vocab_size)
    context_N = np.zeros(len(target_N), dtype=np.int64)
    for length in range(order):
        if length:
            # The token that lies `length` before each target joins its context.
            earlier_N = np.concatenate([_earlier(tokens, length) for tokens in everything])
            context_N = _number(context_N * (vocab_size + 1) + earlier_N + 1)
        gram_N = _number(context_N * vocab_size + target_N)
        gram_count = np.bincount(gram_N[:num_training], minlength=int(gram_N.max()) + 1)
        context_count = np.bincount(context_N[:num_training], minlength=int(context_N.max()) + 1)
        context_of_gram = np.zeros(len(gram_count), dtype=np.int64)
        context_of_gram[gram_N] = context_N
        num_followers = np.bincount(context_of_gram[gram_count > 0], minlength=len(context_count))
        context, gram = context_N[num_training:], gram_N[num_training:]
        total = context_count[context] + num_followers[context]
        # A context that training never saw says nothing: the shorter one stands.
        seen = total > 0
        interpolated = (gram_count[gram] + num_followers[context] * probability) / np.maximum(total, 1)
        probability = np.where(seen, interpolated, probability)
    ends = np.cumsum([len(tokens) - 1 for tokens in pieces])
    return np.split(-np.log(probability), ends[:-1])


def _earlier(tokens: Ids, length: int) -> Ids:
    """For each target of a piece, the token that lies `length` before it."""
    padded = np.concatenate([np.full(length, _BEFORE), tokens])
    return padded[1 : len(tokens)]


def _number(keys: Ids) -> Ids:
    """0, 1, 2 ... in the place of each different key."""
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)
