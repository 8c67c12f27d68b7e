"""The feed-forward sublayer: its formula, position by position, and the size of its chunks."""

from __future__ import annotations

import math

import torch

from music_reformer.model.feed_forward import FeedForward, tokens_per_chunk


def test_the_sublayer_is_linear_gelu_linear() -> None:
    layer = FeedForward(width=6, inner_width=10)
    x = torch.randn(2, 5, 6)
    inner = x @ layer.to_inner.weight.t() + layer.to_inner.bias
    gelu = 0.5 * inner * (1 + torch.tanh(math.sqrt(2 / math.pi) * (inner + 0.044715 * inner**3)))
    torch.testing.assert_close(layer(x), gelu @ layer.to_out.weight.t() + layer.to_out.bias)


def test_each_position_is_processed_independently() -> None:
    layer = FeedForward(width=6, inner_width=10)
    x = torch.randn(1, 8, 6, requires_grad=True)
    (grad,) = torch.autograd.grad(layer(x)[0, 3].sum(), x)
    assert grad[0].any(dim=1).tolist() == [place == 3 for place in range(8)]


def test_the_default_chunk_depends_on_the_device() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert [tokens_per_chunk(0, device) for device in (cpu, gpu)] == [2048, 16_384]
    assert [tokens_per_chunk(7, device) for device in (cpu, gpu)] == [7, 7]
