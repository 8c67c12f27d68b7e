"""Reversible residual layers (Reformer, arXiv 2001.04451, section 3; RevNet, arXiv 1707.04585).

    y1 = x1 + Attention(x2)        x2 = y2 - FeedForward(y1)
    y2 = x2 + FeedForward(y1)      x1 = y1 - Attention(x2)

Backward recomputes each layer's inputs from its outputs, so activation memory does not grow with depth. To make the
recomputation exact, the streams stay float32 under autocast (a bfloat16 stream drifts), hash buckets are kept and
reused, and the random state and autocast state are restored.

Shapes: B batch, L tokens, E width.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from music_reformer.model.attention.documents import Documents
from music_reformer.model.attention.lsh import LSHAttention
from music_reformer.model.feed_forward import FeedForward


class ReversibleBlock(nn.Module):
    """One layer (paper, section 3, eq. 9): an attention and a feed-forward sublayer, each with its norm and dropout.

    Args:
        width: E.
        attention: maps a normed stream [B, L, E] to an output [B, L, E] and the choices that a recomputation must
            reuse.
        feed_forward: maps a normed stream [..., E] to [..., E].
        dropout: probability of dropping an element of a sublayer's output.
    """

    def __init__(self, *, width: int, attention: nn.Module, feed_forward: FeedForward, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention: Any = attention  # LSH, local or full: `forward`, `prefill` and `step` alike
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = feed_forward
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.is_random = dropout > 0
        if isinstance(attention, LSHAttention):
            attention.hash_across(self.attention_norm)

    def attend(
        self, x_BLE: Tensor, documents: Documents, choices: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Output of the attention sublayer, float32, and its choices (hash buckets), for a recomputation to reuse."""
        out_BLE, choices = self.attention(self.attention_norm(x_BLE), documents, choices)
        return self.dropout(out_BLE.float()), choices

    def feed(self, x: Tensor) -> Tensor:
        """Output of the feed-forward sublayer for one chunk, float32."""
        return self.dropout(self.feed_forward(self.feed_forward_norm(x)).float())

    def feed_chunked(self, x_BLE: Tensor, chunk: int) -> Tensor:
        """Output of the feed-forward sublayer for all tokens, `chunk` of each row at a time (paper, section 3)."""
        return torch.cat([self.feed(x_BLE[:, span]) for span in _spans(x_BLE.shape[1], chunk)], dim=1)


def _spans(length: int, chunk: int) -> list[slice]:
    """Slices of `chunk` tokens that cover `length`; the last may be shorter."""
    return [slice(begin, min(begin + chunk, length)) for begin in range(0, length, chunk)]


class ReversibleStack(nn.Module):
    """Reversible layers one after another.

    Args:
        blocks: the layers.
        recompute: recompute inputs in backward instead of keeping activations. Without it, results are the same, memory
            grows with depth, and a step is about a quarter faster.
    """

    def __init__(self, *, blocks: Iterable[ReversibleBlock], recompute: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.recompute = recompute

    @property
    def layers(self) -> list[ReversibleBlock]:
        """The layers, typed."""
        return cast(list[ReversibleBlock], list(self.blocks))

    def forward(self, x_BLE: Tensor, documents: Documents, chunk: int) -> Tensor:
        """Run both streams, which start as the embedding, through all layers; returns their sum, float32 [B, L, E].

        Args:
            x_BLE: the embedding, float32.
            documents: of the batch.
            chunk: tokens of a row that the feed-forward processes at a time; bounds its memory, with equal results.
        """
        if self.recompute and torch.is_grad_enabled():
            parameters = [p for p in self.parameters() if p.requires_grad]
            return _Reversible.apply(x_BLE, documents, chunk, self.blocks, *parameters)
        first, second = x_BLE, x_BLE
        for block in self.layers:
            first = first + block.attend(second, documents)[0]
            second = second + block.feed_chunked(first, chunk)
        return first + second


class _RandomState:
    """The random state of the CPU and of the activations' device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.cpu = torch.get_rng_state()
        self.cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def restore(self) -> None:
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda, self.device)


class _Reversible(torch.autograd.Function):
    """All layers as one autograd node. The parameters are its inputs, so that DDP sees each gradient once.

    Streams and gradients are accumulated in place. Tensors that outlive their layer (buckets, gradients of parameters)
    are allocated before the layers run: among the layers' activations they would fragment the memory, and its use would
    grow with depth after all.
    """

    @staticmethod
    def forward(ctx, x_BLE, documents, chunk, blocks, *parameters):  # type: ignore[no-untyped-def]
        device = x_BLE.device
        first, second = x_BLE.clone(), x_BLE.clone()
        spans = _spans(x_BLE.shape[1], chunk)
        kept: list[tuple[Any, ...]] = []
        room = None
        for number, block in enumerate(blocks):
            before_attention = _RandomState(device) if block.is_random else None
            out, choices = block.attend(second, documents)
            first += out
            del out
            if choices is not None:
                room = choices.new_empty(len(blocks), *choices.shape) if room is None else room
                choices = room[number].copy_(choices)
            before_feed = _RandomState(device) if block.is_random else None
            for span in spans:
                second[:, span] += block.feed(first[:, span])
            kept.append((choices, before_attention, before_feed))
        ctx.save_for_backward(first, second)
        ctx.documents, ctx.spans, ctx.blocks, ctx.kept, ctx.parameters = documents, spans, blocks, kept, parameters
        ctx.autocast = {
            "device_type": device.type,
            "enabled": torch.is_autocast_enabled(device.type),
            "dtype": torch.get_autocast_dtype(device.type),
        }
        learning = set(parameters)
        needed = [n for n, block in enumerate(blocks) if not learning.isdisjoint(block.parameters())]
        ctx.lowest_needed = 0 if ctx.needs_input_grad[0] or not needed else needed[0]
        return first + second

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_BLE):  # type: ignore[no-untyped-def]
        # Overwritten below, so that autograd refuses a second backward through the same graph instead of miscomputing.
        first, second = ctx.saved_tensors
        gradients = _Gradients(ctx.parameters)
        d_first, d_second = grad_BLE.float().clone(), grad_BLE.float().clone()
        after = _RandomState(grad_BLE.device)
        with torch.autocast(**ctx.autocast):
            for number in range(len(ctx.blocks) - 1, ctx.lowest_needed - 1, -1):
                block, (choices, before_attention, before_feed) = ctx.blocks[number], ctx.kept[number]
                if before_feed is not None:
                    before_feed.restore()
                for span in ctx.spans:
                    with torch.enable_grad():
                        inner = first[:, span].detach().requires_grad_()
                        out = block.feed(inner)
                    second[:, span] -= out.detach()
                    d_first[:, span] += gradients.add(block, get_gradient_edge(out), inner, d_second[:, span])
                if before_attention is not None:
                    before_attention.restore()
                with torch.enable_grad():
                    inner = second.detach().requires_grad_()
                    out, _ = block.attend(inner, ctx.documents, choices)
                first -= out.detach()
                edge = get_gradient_edge(out)
                del out  # Only its graph node is needed.
                d_second += gradients.add(block, edge, inner, d_first)
                del inner, edge
                torch.clear_autocast_cache()  # Otherwise it would keep a bfloat16 copy of every layer's weights.
        after.restore()
        return d_first.add_(d_second), None, None, None, *gradients.in_order()


class _Gradients:
    """Sums the gradients of parameters over the parts of a backward pass."""

    def __init__(self, parameters: tuple[nn.Parameter, ...]) -> None:
        self.total = {parameter: torch.zeros_like(parameter) for parameter in parameters}
        self.used: set[nn.Parameter] = set()

    def add(self, block: nn.Module, out: GradientEdge, inner: Tensor, grad: Tensor) -> Tensor:
        """Differentiate from `out`; returns the gradient of `inner` and adds those of the block's parameters.

        Args:
            block: the layer.
            out: graph node of the output of one of its sublayers.
            inner: the input of that sublayer.
            grad: gradient of the output.
        """
        parameters = [parameter for parameter in block.parameters() if parameter in self.total]
        d_inner, *d_used = torch.autograd.grad(out, [inner, *parameters], grad, allow_unused=True)
        for parameter, gradient in zip(parameters, d_used, strict=True):
            if gradient is not None:
                self.total[parameter] += gradient
                self.used.add(parameter)
        return d_inner

    def in_order(self) -> list[Tensor | None]:
        """The sums, in the order of the parameters; None for unused ones."""
        return [total if parameter in self.used else None for parameter, total in self.total.items()]
