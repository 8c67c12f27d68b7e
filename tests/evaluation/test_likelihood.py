from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.small_models import SMALLEST
from helpers.small_store import write_store
from music_reformer.config import EvaluateConfig, ModelConfig, TokenizerConfig
from music_reformer.data.store import TokenStore
from music_reformer.errors import UserError
from music_reformer.evaluation.evaluate import evaluate
from music_reformer.evaluation.likelihood import num_short_context_tokens, piece_losses, short_context_losses
from music_reformer.model.reformer import ReformerLM
from music_reformer.model.weights import save_weights

SHAPE = {**SMALLEST, "axial_shape": [32, 16]}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    return write_store(tmp_path_factory.mktemp("evaluation") / "store", num_pieces=12, num_validation=6)


@pytest.fixture(scope="module")
def model(store: TokenStore) -> ReformerLM:
    torch.manual_seed(1)
    model = ReformerLM(ModelConfig(vocab_size=store.tokenizer.vocab_size, **SHAPE)).eval()
    for parameter in model.parameters():
        parameter.data.mul_(5)  # Far from uniform, so that context matters.
    return model


@pytest.fixture(scope="module")
def weights(store: TokenStore, model: ReformerLM) -> Path:
    folder = store.path.parent / "weights"
    save_weights(folder, model, store.tokenizer.to_json(), {})
    return folder


@pytest.mark.parametrize("row_tokens", [1, 400, 10_000])
def test_every_piece_is_scored_as_if_alone(store: TokenStore, model: ReformerLM, row_tokens: int) -> None:
    pieces = store.split("validation")
    found = {loss.piece.piece_id: loss for loss in piece_losses(model, store, pieces, row_tokens=row_tokens)}
    assert len(found) == len(pieces)
    for piece in pieces:
        tokens = torch.from_numpy(store.tokens(piece).astype(np.int64))
        with torch.inference_mode():
            logits = model(tokens[None, :-1])[0]
        expected = torch.nn.functional.cross_entropy(logits, tokens[1:], reduction="none")
        np.testing.assert_allclose(found[piece.piece_id].nats, expected.numpy(), rtol=1e-4, atol=1e-4)
        assert found[piece.piece_id].targets.tolist() == tokens[1:].tolist()


def test_figures_add_up(store: TokenStore, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "deep" / "figures.json"
    figures = evaluate(EvaluateConfig(checkpoint=str(weights), data=str(store.path), output=str(output)))
    assert json.loads(output.read_text()) == figures
    pieces = store.split("validation")
    assert figures["targets"] == sum(piece.length - 1 for piece in pieces)
    nats = sum(piece["nats"] for piece in figures["by_piece"])
    assert figures["nats_per_token"]["value"] == pytest.approx(nats / figures["targets"])
    notes, seconds = sum(piece.num_notes for piece in pieces), sum(piece.seconds for piece in pieces)
    assert figures["bits_per_note"]["value"] == pytest.approx(nats / math.log(2) / notes)
    assert figures["bits_per_second"]["value"] == pytest.approx(nats / math.log(2) / seconds)
    for parts in (figures["by_type"].values(), figures["by_position"]):
        assert sum(part["targets"] for part in parts) == figures["targets"]
        assert sum(part["targets"] * part["nats_per_token"] for part in parts) == pytest.approx(nats)
    assert sum(part["share"] for part in figures["by_type"].values()) == pytest.approx(1)
    shown = capsys.readouterr().out
    assert f"{figures['nats_per_token']['value']:.4f}" in shown
    assert "Velocity" in shown


@pytest.mark.parametrize("context", [2, 8, 64])
def test_losses_with_a_short_context_ignore_earlier_tokens(store: TokenStore, model: ReformerLM, context: int) -> None:
    pieces = store.split("validation")[:3]
    counted: list[int] = []
    losses = list(short_context_losses(model, store, pieces, context=context, row_tokens=256, done=counted.append))
    assert sum(counted) == num_short_context_tokens(pieces, context)
    for piece, loss in zip(pieces, losses, strict=True):
        tokens = torch.from_numpy(store.tokens(piece).astype(np.int64))
        stride = context // 2
        for target in (0, 1, stride, context - 1, context, context + 1, piece.length - 2):
            if target >= piece.length - 1:
                continue
            # The span that scores this target, alone, each token at its own position.
            begin = 0 if target < context else (target // stride - 1) * stride
            span = slice(begin, target + 1)
            with torch.inference_mode():
                logits = model(tokens[None, span], position_BL=torch.arange(begin, target + 1)[None])[0, -1]
            expected = torch.nn.functional.cross_entropy(logits, tokens[target + 1])
            assert loss.nats[target] == pytest.approx(float(expected), rel=1e-3, abs=1e-3)
        assert loss.targets.tolist() == tokens[1:].tolist()


def test_a_context_as_long_as_the_piece_changes_nothing(store: TokenStore, model: ReformerLM) -> None:
    pieces = store.split("validation")
    whole = {loss.piece.piece_id: loss.nats for loss in piece_losses(model, store, pieces)}
    for loss in short_context_losses(model, store, pieces, context=512):
        np.testing.assert_allclose(loss.nats, whole[loss.piece.piece_id], rtol=1e-4, atol=1e-4)


def test_rounds_and_limits_are_used(store: TokenStore, weights: Path) -> None:
    def figures(**changes: object) -> dict[str, object]:
        return evaluate(EvaluateConfig(checkpoint=str(weights), data=str(store.path), **changes))  # type: ignore[arg-type]

    assert figures(max_pieces=2)["pieces"] == 2
    assert figures(split="train")["pieces"] == 6
    two, eight = figures(), figures(rounds=8)
    assert (two["rounds"], eight["rounds"]) == (2, 8)
    assert two["nats_per_token"] != eight["nats_per_token"]


def test_pieces_beyond_the_positions_are_counted_and_left_out(store: TokenStore, tmp_path: Path) -> None:
    settings = {**SHAPE, "axial_shape": [16, 10]}
    short = ReformerLM(ModelConfig(vocab_size=store.tokenizer.vocab_size, **settings)).eval()
    save_weights(tmp_path / "short", short, store.tokenizer.to_json(), {})
    figures = evaluate(EvaluateConfig(checkpoint=str(tmp_path / "short"), data=str(store.path)))
    too_long = sum(piece.length - 1 > 160 for piece in store.split("validation"))
    assert 0 < too_long == figures["pieces_too_long"]
    assert figures["pieces"] == 6 - too_long


def test_mistakes_are_one_sentence(store: TokenStore, weights: Path, tmp_path: Path) -> None:
    other = write_store(tmp_path / "other", num_pieces=2, num_validation=1, config=TokenizerConfig(num_velocities=8))
    for changes, text in (
        ({"data": str(other.path)}, "was trained with a different tokenizer than"),
        ({"checkpoint": str(tmp_path / "nowhere")}, "no checkpoint at"),
        ({"checkpoint": str(store.path)}, "holds no weights of Music Reformer"),
        ({"split": "test"}, "the test split of .* is empty"),
        ({"split": "dev"}, "must be one of train, validation, test"),
        ({"rounds": 9}, r"rounds \(9\) must be 1 to 8"),
        ({"device": "toaster"}, r"device \('toaster'\) is not available"),
    ):
        settings = {"checkpoint": str(weights), "data": str(store.path), **changes}
        with pytest.raises(UserError, match=text) as caught:
            evaluate(EvaluateConfig(**settings))
        assert "\n" not in str(caught.value)
