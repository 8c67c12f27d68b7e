"""Losses on disk are found only for the same weights, rounds and tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.small_store import write_store
from music_reformer.data.store import TokenStore
from music_reformer.evaluation.likelihood import PieceLoss
from music_reformer.evaluation.scored import ScoredPieces


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    return write_store(tmp_path_factory.mktemp("store"), num_pieces=3)


def test_stored_losses_are_found_by_a_run_with_the_same_settings(store: TokenStore, tmp_path: Path) -> None:
    piece, other = store.pieces[0], store.pieces[1]
    targets = store.tokens(piece)[1:].astype(np.int64)
    nats = np.random.default_rng(0).random(len(targets))
    ScoredPieces(tmp_path, "weights", store, rounds=2).add(PieceLoss(piece, nats, targets))
    again = ScoredPieces(tmp_path, "weights", store, rounds=2)
    found = again.get(piece)
    assert found is not None
    np.testing.assert_array_equal(found.nats, nats)
    np.testing.assert_array_equal(found.targets, targets)
    assert again.get(other) is None
    assert not ScoredPieces(tmp_path, "weights", store, rounds=4).has(piece)
    assert not ScoredPieces(tmp_path, "others", store, rounds=2).has(piece)
    ScoredPieces.forget(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_nothing_is_stored(store: TokenStore) -> None:
    piece = store.pieces[0]
    scored = ScoredPieces(None, "weights", store, rounds=2)
    scored.add(PieceLoss(piece, np.zeros(piece.length - 1), np.zeros(piece.length - 1, dtype=np.int64)))
    assert not scored.has(piece)
    assert scored.get(piece) is None
