"""Reversible residual layers (Reformer, arXiv 2001.04451, section 3; RevNet, arXiv 1707.04585).

    y1 = x1 + Attention(x2)        x2 = y2 - FeedForward(y1)
    y2 = x2 + FeedForward(y1)      x1 = y1 - Attention(x2)

Backward computes each layer's inputs again from its outputs, so activation memory does not grow with depth. What makes
the repetition the same as the first pass: the streams stay float32 whatever the autocast (a bfloat16 stream drifts),
hash buckets are kept and used again, and the random state and autocast state are restored.

Shapes: B batch, L tokens, E width.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from music_reformer.model.feed_forward import FeedForward
from music_reformer.model.sequence import Sequence


class ReversibleBlock(nn.Module):
    """One layer: an attention sublayer and a feed-forward sublayer, each with its norm and dropout.

    Args:
        width: E.
        attention: maps normed [B, L, E] to [B, L, E] and to what a repetition must use again.
        feed_forward: maps normed [..., E] to [..., E].
        dropout: probability of dropping an element of a sublayer's output.
        chunk: tokens per chunk of the feed-forward.
    """

    def __init__(
        self, *, width: int, attention: nn.Module, feed_forward: FeedForward, dropout: float, chunk: int
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention: Any = attention  # LSH, local or full: `forward`, `prefill` and `step` alike
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = feed_forward
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.chunk = chunk

    def attend(self, x_BLE: Tensor, sequence: Sequence, choices: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The attention sublayer, float32, and the choices (hash buckets) that a repetition must make again."""
        out_BLE, choices = self.attention(self.attention_norm(x_BLE), sequence, choices)
        return self.dropout(out_BLE.float()), choices

    def feed(self, x: Tensor) -> Tensor:
        """The feed-forward sublayer of one chunk, float32."""
        return self.dropout(self.feed_forward(self.feed_forward_norm(x)).float())

    def feed_chunked(self, x_BLE: Tensor) -> Tensor:
        """The feed-forward sublayer of a whole sequence, chunk by chunk."""
        return torch.cat([self.feed(part) for part in x_BLE.split(self.chunk, dim=1)], dim=1)


class ReversibleStack(nn.Module):
    """Reversible layers one after another.

    Args:
        blocks: the layers.
        recompute: compute inputs again in backward instead of keeping activations. Without it the result is the same,
            the memory grows with depth, and a step is about a quarter faster.
    """

    def __init__(self, *, blocks: Iterable[ReversibleBlock], recompute: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.recompute = recompute

    @property
    def layers(self) -> list[ReversibleBlock]:
        """The layers, by the type that they have."""
        return cast(list[ReversibleBlock], list(self.blocks))

    def forward(self, x_BLE: Tensor, sequence: Sequence) -> Tensor:
        """From the embedding, which feeds both streams, to the sum of both streams; float32 [B, L, E]."""
        if self.recompute and torch.is_grad_enabled():
            parameters = [p for p in self.parameters() if p.requires_grad]
            return _Reversible.apply(x_BLE, sequence, self.blocks, *parameters)
        first, second = x_BLE, x_BLE
        for block in self.layers:
            first = first + block.attend(second, sequence)[0]
            second = second + block.feed_chunked(first)
        return first + second


class _RandomState:
    """The random state of the CPU and of the device that the activations are on."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.cpu = torch.get_rng_state()
        self.cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def restore(self) -> None:
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda, self.device)


class _Reversible(torch.autograd.Function):
    """All layers as one node. The parameters are its inputs, so that DDP sees the gradient of each once."""

    @staticmethod
    def forward(ctx, x_BLE, sequence, blocks, *parameters):  # type: ignore[no-untyped-def]
        device = x_BLE.device
        first, second = x_BLE, x_BLE
        kept: list[tuple[Any, ...]] = []
        for block in blocks:
            before_attention = _RandomState(device)
            out, choices = block.attend(second, sequence)
            first = first + out
            before_feed = _RandomState(device)
            second = second + block.feed_chunked(first)
            kept.append((choices, before_attention, before_feed))
        ctx.save_for_backward(first, second)
        ctx.sequence, ctx.blocks, ctx.kept, ctx.parameters = sequence, blocks, kept, parameters
        ctx.autocast = {
            "device_type": device.type,
            "enabled": torch.is_autocast_enabled(device.type),
            "dtype": torch.get_autocast_dtype(device.type),
        }
        return first + second

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_BLE):  # type: ignore[no-untyped-def]
        first, second = ctx.saved_tensors
        d_first, d_second = grad_BLE.float().clone(), grad_BLE.float().clone()
        gradients = _Gradients(ctx.parameters)
        after = _RandomState(grad_BLE.device)
        with torch.autocast(**ctx.autocast):
            for block, (choices, before_attention, before_feed) in zip(
                reversed(ctx.blocks), reversed(ctx.kept), strict=True
            ):
                before_feed.restore()
                second = _undo_feed(block, first, second, d_first, d_second, gradients)
                before_attention.restore()
                with torch.enable_grad():
                    inner = second.detach().requires_grad_()
                    out, _ = block.attend(inner, ctx.sequence, choices)
                d_second = d_second + gradients.add(out, inner, d_first)
                first = first - out.detach()
        after.restore()
        return d_first + d_second, None, None, *gradients.in_order()


def _undo_feed(
    block: ReversibleBlock, first: Tensor, second: Tensor, d_first: Tensor, d_second: Tensor, gradients: _Gradients
) -> Tensor:
    """The second stream before the feed-forward sublayer; adds to `d_first` in place, chunk by chunk."""
    before = []
    length = first.shape[1]
    for begin in range(0, length, block.chunk):
        span = slice(begin, min(begin + block.chunk, length))
        with torch.enable_grad():
            inner = first[:, span].detach().requires_grad_()
            out = block.feed(inner)
        d_first[:, span] += gradients.add(out, inner, d_second[:, span])
        before.append(second[:, span] - out.detach())
    return torch.cat(before, dim=1)


class _Gradients:
    """Sums the gradients of parameters over the parts of a backward pass."""

    def __init__(self, parameters: tuple[nn.Parameter, ...]) -> None:
        self.parameters = parameters
        self.total: dict[nn.Parameter, Tensor] = {}

    def add(self, out: Tensor, inner: Tensor, grad: Tensor) -> Tensor:
        """Differentiate `out`; returns the gradient of `inner`, adds those of the parameters that it used."""
        d_inner, *d_used = torch.autograd.grad(out, [inner, *self.parameters], grad, allow_unused=True)
        for parameter, gradient in zip(self.parameters, d_used, strict=True):
            if gradient is not None:
                seen = self.total.get(parameter)
                self.total[parameter] = gradient if seen is None else seen.add_(gradient)
        return d_inner

    def in_order(self) -> list[Tensor | None]:
        """The sums, None for parameters that nothing used."""
        return [self.total.get(parameter) for parameter in self.parameters]
