"""Reversible layers: gradients of plain autograd, memory independent of depth, and a restored random state."""

from __future__ import annotations

import pytest
import torch

from helpers.small_models import build, tokens
from music_reformer.model.attention.documents import Documents


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_reversible_gradients_are_those_of_plain_autograd(mode: str, dropout: float, bf16: bool) -> None:
    """To 1e-4 in float32, and to 2 % in bfloat16 with weights of a trained size.

    The streams are recovered up to float32 rounding; sublayers round their inputs to 8 bits, and large scores amplify
    the differences.
    """
    x, target = tokens(2, 130), tokens(2, 130)
    results = []
    for recompute in (True, False):
        model = build(std=0.1 if bf16 else 0.2, num_layers=6, dropout=dropout, recompute=recompute)
        model.train(mode == "train")
        model.redraw_rotations(3)
        torch.manual_seed(9)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss, count = model.loss(x, target)
        assert count == 260
        loss.backward()
        noise = torch.rand(3)
        results.append((loss.detach(), {n: p.grad for n, p in model.named_parameters()}, noise))
    (loss_a, grads_a, noise_a), (loss_b, grads_b, noise_b) = results
    torch.testing.assert_close(loss_a, loss_b)
    assert torch.equal(noise_a, noise_b), "the recomputation must leave the random state as plain autograd does"
    for name, expected in grads_b.items():
        error = (grads_a[name] - expected).norm() / expected.norm().clamp(min=1e-12)
        assert error < (2e-2 if bf16 else 1e-4), f"{name}: {error}"


class _Kept:
    """Records the bytes of the tensors that autograd keeps for backward."""

    def __init__(self) -> None:
        self.seen: dict[int, int] = {}

    def pack(self, tensor: torch.Tensor) -> torch.Tensor:
        self.seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    @property
    def total(self) -> int:
        return sum(self.seen.values())


def _kept_for_backward(num_layers: int, recompute: bool) -> int:
    """Bytes of activations kept between forward and backward, without parameters."""
    model = build(num_layers=num_layers, attention=["local"], recompute=recompute)
    model.train()
    kept = _Kept()
    x = tokens(1, 512)
    with torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda tensor: tensor):
        loss, _ = model.loss(x, x)
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    total = sum(size for pointer, size in kept.seen.items() if pointer not in parameters)
    loss.backward()
    return total


def test_activation_memory_does_not_grow_with_depth() -> None:
    shallow, deep = _kept_for_backward(2, True), _kept_for_backward(16, True)
    assert deep <= 1.02 * shallow
    assert _kept_for_backward(16, False) > 4 * _kept_for_backward(2, False), "the measure must see activations"


def test_inputs_of_a_layer_are_recovered_from_its_outputs() -> None:
    """y1 = x1 + A(x2), y2 = x2 + F(y1) back to x2 = y2 - F(y1), x1 = y1 - A(x2)."""
    model = build()
    documents = Documents.plain(tokens(2, 60))
    x1, x2 = torch.randn(2, 2, 60, 32)
    for block in model.stack.layers:
        y1 = x1 + block.attend(x2, documents)[0]
        y2 = x2 + block.feed_chunked(y1, 7)
        back2 = y2 - block.feed_chunked(y1, 1000)
        torch.testing.assert_close(back2, x2, atol=1e-5, rtol=0)
        torch.testing.assert_close(y1 - block.attend(back2, documents)[0], x1, atol=1e-4, rtol=0)
