"""The n-gram baseline against counting with dictionaries."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from music_reformer.evaluation.ngram import WEIGHTS, choose_weight, ngram_nats


def slow_probability(
    training: list[list[int]], context: list[int], token: int, vocab_size: int, weight: float
) -> float:
    """The recursion of the docstring, word by word; contexts that reach before a piece are filled with -1."""
    shorter = slow_probability(training, context[1:], token, vocab_size, weight) if context else 1 / vocab_size
    followers: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for piece in training:
        padded = [-1] * len(context) + piece
        for place in range(len(context) + 1, len(padded)):
            followers[tuple(padded[place - len(context) : place])][padded[place]] += 1
    found = followers[tuple(context)]
    if not found:
        return shorter
    return (found[token] + weight * len(found) * shorter) / (found.total() + weight * len(found))


@pytest.mark.parametrize("weight", [1.0, 4.0])
@pytest.mark.parametrize("order", [1, 2, 4])
def test_probabilities_are_those_of_counting(order: int, weight: float) -> None:
    random = np.random.default_rng(order)
    training = [[1, *random.integers(3, 7, random.integers(1, 30)).tolist(), 2] for _ in range(6)]
    pieces = [[1, *random.integers(3, 8, random.integers(1, 12)).tolist(), 2] for _ in range(3)]  # 7 is never seen
    arrays = [[np.array(piece) for piece in some] for some in (training, pieces)]
    found = ngram_nats(*arrays, order=order, vocab_size=8, weight=weight)
    for piece, nats in zip(pieces, found, strict=True):
        padded = [-1] * (order - 1) + piece
        for target in range(1, len(piece)):
            context = padded[target : target + order - 1]
            expected = -math.log(slow_probability(training, context, piece[target], 8, weight))
            assert nats[target - 1] == pytest.approx(expected)


def test_probabilities_sum_to_one() -> None:
    training = [np.array([1, 3, 4, 3, 5, 3, 4, 2])]
    total = sum(
        math.exp(-ngram_nats(training, [np.array([1, 3, 4, token])], order=3, vocab_size=8)[0][-1])
        for token in range(8)
    )
    assert total == pytest.approx(1.0)


def test_the_weight_is_the_best_one_for_held_out_pieces() -> None:
    random = np.random.default_rng(0)
    # Each token is likely the last plus one: pairs tell all, longer contexts are noise.
    pieces = []
    for _ in range(40):
        piece = [0]
        for _ in range(30):
            piece.append((piece[-1] + 1) % 9 if random.random() < 0.7 else int(random.integers(0, 9)))
        pieces.append(np.array(piece))
    chosen = choose_weight(pieces, order=5, vocab_size=9)
    scored, others = pieces[::10], [piece for number, piece in enumerate(pieces) if number % 10]
    nats = {
        weight: np.concatenate(ngram_nats(others, scored, order=5, vocab_size=9, weight=weight)).mean()
        for weight in WEIGHTS
    }
    assert chosen == min(nats, key=lambda weight: nats[weight])
    assert chosen > 1
    assert choose_weight(pieces[:1], order=5, vocab_size=9) == 1.0
