"""Figures of a split from the losses of its pieces."""

from __future__ import annotations

import numpy as np
import pytest

from music_reformer.data.store import Piece
from music_reformer.evaluation.likelihood import PieceLoss
from music_reformer.evaluation.summary import summary
from music_reformer.midi.vocabulary import Vocabulary


def test_positions_are_grouped_by_powers_of_two() -> None:
    piece = Piece(0, 0, 5, "test", "a.mid", "", "", "", num_notes=2, seconds=3.0, num_bars=1)
    nats = np.array([1.0, 2.0, 4.0, 8.0])
    figures = summary([PieceLoss(piece, nats, np.array([0, 1, 1, 0]))], Vocabulary(["Pitch_1", "Bar_None"]))
    assert [(row["from"], row["to"], row["nats_per_token"]) for row in figures["by_position"]] == [
        (1, 1, 1.0),
        (2, 3, 3.0),
        (4, 7, 8.0),
    ]
    assert figures["by_type"]["Pitch"] == {"targets": 2, "nats_per_token": 4.5, "low": 4.5, "high": 4.5, "share": 0.6}
    assert figures["nats_per_token_without_end"]["value"] == pytest.approx(7 / 3)


def test_figures_by_corpus_are_the_summary_of_its_pieces() -> None:
    random = np.random.default_rng(0)
    losses = [
        PieceLoss(
            Piece(i, 0, 9, "test", f"{i}.mid", "", corpus, "", num_notes=i + 1, seconds=3.0, num_bars=1),
            random.random(8),
            np.zeros(8, dtype=np.int64),
        )
        for i, corpus in enumerate(["hymns", "rags", "rags", "hymns", "rags"])
    ]
    vocabulary = Vocabulary(["Pitch_1", "Bar_None"])
    figures = summary(losses, vocabulary)
    assert list(figures["by_corpus"]) == ["hymns", "rags"]
    for name, row in figures["by_corpus"].items():
        own = [loss for loss in losses if loss.piece.corpus == name]
        alone = summary(own, vocabulary)
        assert row == {key: alone[key] for key in row}
        assert alone["by_corpus"] == {}
        assert row["nats_per_note"]["value"] == pytest.approx(
            sum(loss.nats.sum() for loss in own) / sum(loss.piece.num_notes for loss in own)
        )
