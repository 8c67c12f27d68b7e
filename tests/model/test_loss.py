"""The chunked loss against torch's cross-entropy of all logits at once: values, gradients, ignored targets."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from music_reformer.model.loss import IGNORED, chunked_loss, chunked_token_losses

TOKENS, WIDTH, VOCABULARY = 50, 12, 30


def example() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    hidden_NE = torch.randn(TOKENS, WIDTH, requires_grad=True)
    weight_VE = torch.randn(VOCABULARY, WIDTH, requires_grad=True)
    target_N = torch.randint(0, VOCABULARY, (TOKENS,))
    target_N[::7] = IGNORED
    return hidden_NE, weight_VE, target_N


@pytest.mark.parametrize("chunk", [1, 7, 50, 1000])
def test_loss_and_gradients_are_those_of_all_logits_at_once(chunk: int) -> None:
    hidden_NE, weight_VE, target_N = example()
    found = chunked_loss(hidden_NE, weight_VE, target_N, chunk=chunk)
    expected = cross_entropy(hidden_NE @ weight_VE.t(), target_N, ignore_index=IGNORED, reduction="sum")
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    inputs = (hidden_NE, weight_VE)
    for ours, theirs in zip(
        torch.autograd.grad(3 * found, inputs), torch.autograd.grad(3 * expected, inputs), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_losses_of_each_token_add_up_and_ignored_ones_are_nothing() -> None:
    hidden_NE, weight_VE, target_N = example()
    losses_N = chunked_token_losses(hidden_NE, weight_VE, target_N, chunk=8)
    expected = cross_entropy(hidden_NE @ weight_VE.t(), target_N, ignore_index=IGNORED, reduction="none")
    torch.testing.assert_close(losses_N, expected.detach(), rtol=1e-5, atol=1e-5)
    assert (losses_N[target_N == IGNORED] == 0).all()
    assert (losses_N[target_N != IGNORED] > 0).all()


def test_targets_that_are_all_ignored_cost_and_teach_nothing() -> None:
    hidden_NE, weight_VE, target_N = example()
    loss = chunked_loss(hidden_NE, weight_VE, torch.full_like(target_N, IGNORED), chunk=8)
    assert loss == 0
    assert all((grad == 0).all() for grad in torch.autograd.grad(loss, (hidden_NE, weight_VE)))


def test_losses_stay_float32_under_autocast() -> None:
    hidden_NE, weight_VE, target_N = example()
    exact = chunked_loss(hidden_NE, weight_VE, target_N, chunk=8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(chunked_loss(hidden_NE, weight_VE, target_N, chunk=8), exact)
        losses_N = chunked_token_losses(hidden_NE, weight_VE, target_N, chunk=8)
    assert torch.equal(losses_N, chunked_token_losses(hidden_NE, weight_VE, target_N, chunk=8))


def test_frozen_weights_get_no_gradient() -> None:
    hidden_NE, weight_VE, target_N = example()
    weight_VE = weight_VE.detach()
    (grad_NE,) = torch.autograd.grad(chunked_loss(hidden_NE, weight_VE, target_N, chunk=8), hidden_NE)
    assert (grad_NE[target_N == IGNORED] == 0).all()
    assert (grad_NE[target_N != IGNORED] != 0).any(dim=1).all()
    assert not chunked_loss(hidden_NE.detach(), weight_VE, target_N, chunk=8).requires_grad
