"""Mixtures of corpora: shares of tokens, equal visits to the pieces of a corpus, independent of earlier epochs."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from music_reformer.config import MixtureConfig, TrainMixtureConfig
from music_reformer.data.mixture import Mixture, every_piece, mixture_config
from music_reformer.errors import UserError

names = ["hymns", "operas", "rags"]
of_piece = np.repeat([0, 1, 2], [7, 40, 3]).astype(np.int16)
lengths = np.random.default_rng(0).integers(50, 400, len(of_piece))


def mixture(**settings: object) -> Mixture:
    return Mixture.of(names, of_piece, lengths, MixtureConfig(**settings))  # type: ignore[arg-type]


def endless_pass(members: list[int], seed: int, corpus: int) -> Iterator[tuple[int, int]]:
    """The oracle: repeated passes over a corpus, each in another order."""
    for number in itertools.count():
        for place in np.random.default_rng([seed, 3, corpus, number]).permutation(len(members)):
            yield members[place], number


@pytest.mark.parametrize("settings", [{}, {"power": 0.0}, {"power": 1.0}, {"weights": {"rags": 5.0, "hymns": 0.0}}])
def test_epochs_are_consecutive_stretches_of_endless_passes(settings: dict[str, object]) -> None:
    mixed = mixture(**settings)
    epochs = [mixed.visits(epoch, seed=3) for epoch in range(9)]
    for corpus in range(len(names)):
        members = np.flatnonzero(of_piece == corpus).tolist()
        seen = [
            (int(piece), int(number))
            for visits in epochs
            for piece, number in zip(visits.pieces, visits.passes, strict=True)
            if of_piece[piece] == corpus
        ]
        assert seen == list(itertools.islice(endless_pass(members, 3, corpus), len(seen)))
        assert len(seen) == pytest.approx(9 * mixed.rate_C[corpus] * len(members), abs=1)


def test_corpora_get_the_requested_shares_of_tokens() -> None:
    tokens = np.bincount(of_piece, weights=lengths)
    mixed = mixture(power=0.5, weights={"rags": 2.0})
    expected = np.sqrt(tokens) * [1, 1, 2]
    assert mixed.shares_C == pytest.approx(expected / expected.sum())
    shown = Counter[int]()
    for epoch in range(400):
        for piece in mixed.visits(epoch, seed=1).pieces:
            shown[int(of_piece[piece])] += int(lengths[piece])
    assert np.array([shown[i] for i in range(3)]) / shown.total() == pytest.approx(mixed.shares_C, abs=0.01)
    # An epoch is as long as all pieces together.
    assert shown.total() / 400 == pytest.approx(tokens.sum(), rel=0.01)


def test_with_power_one_an_epoch_visits_each_piece_once() -> None:
    visits = mixture(power=1.0).visits(5, seed=1)
    assert sorted(visits.pieces.tolist()) == every_piece(len(of_piece), 5).pieces.tolist()
    assert set(visits.passes.tolist()) == {5}


def test_a_corpus_of_weight_0_is_left_out() -> None:
    mixed = mixture(weights={"operas": 0.0})
    assert mixed.shares_C[1] == 0
    assert set(of_piece[mixed.visits(0, seed=1).pieces].tolist()) == {0, 2}


def test_training_settings_override_the_mixture_of_the_store() -> None:
    of_store = {"power": 0.25, "weights": {"rags": 3.0, "hymns": 2.0}}
    assert mixture_config(of_store, TrainMixtureConfig()) == MixtureConfig(**of_store)
    changed = mixture_config(of_store, TrainMixtureConfig(power=1.0, weights={"rags": 0.0}))
    assert changed == MixtureConfig(power=1.0, weights={"rags": 0.0, "hymns": 2.0})
    assert mixture_config({}, TrainMixtureConfig()) == MixtureConfig()


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match=r"mixture\.weights \('jazz'\) must name corpora of the store: hymns, operas"):
        mixture(weights={"jazz": 1.0})
    with pytest.raises(UserError, match="leave no corpus to train on"):
        mixture(weights=dict.fromkeys(names, 0.0))
    with pytest.raises(UserError, match=r"mixture\.power \(2\) must be 0 to 1"):
        MixtureConfig(power=2.0)
