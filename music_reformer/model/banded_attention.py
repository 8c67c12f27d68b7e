"""Attention within a band of a sorted sequence: the one kernel under both LSH and local attention.

Shapes: T rows of all heads and batch items together, D head width, R rounds, W window.

Rows are put in an order in which the members of a segment (a bucket of a document and head for LSH attention, a
document and head for local attention) stand together, oldest first. A row then attends to the rows of its own segment
at most W - 1 places before it, and to itself. Cut into blocks of W rows, a block needs itself and the block before it,
so the cost is T x 2W whatever the sequence length; blocks may straddle segments, because the mask knows.

Several rounds (several orders of the same rows) are one softmax over all keys that the rounds bring, a key counted
once for each round that brings it: Reformer (arXiv 2001.04451), section 2, eq. 6. Backward recomputes the scores from
q, k, v and the joint logsumexp, so nothing of size T x W is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

# A row's score with itself is lowered by this (paper, section 2) unless it has nothing else to attend to.
SELF_PENALTY = 1e5
MASKED = -1e30
# Blocks handled at a time: the bias of a group (blocks x W x 2W floats) should stay near the cache.
BLOCKS_PER_GROUP = 64


@dataclass
class Round:
    """One order of the rows.

    Attributes:
        order_T: row that stands at each sorted place, int64.
        segment_T: segment at each sorted place, int32, ascending.
    """

    order_T: Tensor
    segment_T: Tensor


def sort_into_segments(segment_T: Tensor) -> Round:
    """Order rows by segment, keeping their order within each (so that the oldest of a segment stands first)."""
    segment_sorted_T, order_T = torch.sort(segment_T, stable=True)
    return Round(order_T=order_T, segment_T=segment_sorted_T)


def rows_alone(rounds: list[Round]) -> Tensor:
    """Rows that come first in their segment in every round, and so have only themselves to attend to; bool [T]."""
    alone_T = None
    for one in rounds:
        first_T = torch.ones_like(one.segment_T, dtype=torch.bool)
        first_T[1:] = one.segment_T[1:] != one.segment_T[:-1]
        in_row_order_T = torch.empty_like(first_T)
        in_row_order_T[one.order_T] = first_T
        alone_T = in_row_order_T if alone_T is None else alone_T & in_row_order_T
    assert alone_T is not None, "attention needs at least one round"
    return alone_T


def banded_attention(
    q_TD: Tensor, k_TD: Tensor, v_TD: Tensor, rounds: list[Round], *, window: int, alone_T: Tensor | None = None
) -> Tensor:
    """Attend within `window` places of the same segment in each round, jointly over rounds.

    Args:
        q_TD, k_TD, v_TD: queries, keys and values, any float type; computed in float32.
        rounds: the orders of the rows.
        window: W, how many members of its segment a row sees, itself included; at least 2.
        alone_T: where given, a row attends to itself only where this says so (`rows_alone`): shared queries and keys
            would otherwise make every row attend mostly to itself.

    Returns:
        float32 [T, D].
    """
    return _BandedAttention.apply(q_TD, k_TD, v_TD, rounds, alone_T, window)


class _BandedAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q_TD, k_TD, v_TD, rounds, alone_T, window):  # type: ignore[no-untyped-def]
        q_TD, k_TD, v_TD = q_TD.float(), k_TD.float(), v_TD.float()
        out_TD, lse_T = None, None
        for one in rounds:
            out_sorted, lse_sorted = _round_forward(q_TD, k_TD, v_TD, one, alone_T, window)
            inverse_T = _inverse(one.order_T)
            out_round_TD = out_sorted.index_select(0, inverse_T)
            lse_round_T = lse_sorted[inverse_T]
            if out_TD is None or lse_T is None:
                out_TD, lse_T = out_round_TD, lse_round_T
                continue
            joint_T = torch.logaddexp(lse_T, lse_round_T)
            out_TD.mul_((lse_T - joint_T).exp_().unsqueeze(1))
            out_TD.addcmul_(out_round_TD, (lse_round_T - joint_T).exp_().unsqueeze(1))
            lse_T = joint_T
        ctx.save_for_backward(q_TD, k_TD, v_TD, out_TD, lse_T)
        ctx.rounds, ctx.alone_T, ctx.window = rounds, alone_T, window
        return out_TD

    @staticmethod
    def backward(ctx, grad_TD):  # type: ignore[no-untyped-def]
        q_TD, k_TD, v_TD, out_TD, lse_T = ctx.saved_tensors
        grad_TD = grad_TD.float().contiguous()
        grads = None
        for one in ctx.rounds:
            sorted_grads = _round_backward(grad_TD, q_TD, k_TD, v_TD, out_TD, lse_T, one, ctx.alone_T, ctx.window)
            inverse_T = _inverse(one.order_T)
            restored = [grad.index_select(0, inverse_T) for grad in sorted_grads]
            grads = restored if grads is None else [a.add_(b) for a, b in zip(grads, restored, strict=True)]
        assert grads is not None
        return grads[0], grads[1], grads[2], None, None, None


def _round_forward(
    q_TD: Tensor, k_TD: Tensor, v_TD: Tensor, one: Round, alone_T: Tensor | None, window: int
) -> tuple[Tensor, Tensor]:
    """One round's output [T, D] and logsumexp [T], both in sorted order."""
    num_rows, width = q_TD.shape
    out_TD = q_TD.new_empty(num_rows, width)
    lse_T = q_TD.new_empty(num_rows)
    for group in _groups(one, alone_T, window):
        q, k, v = group.gather(q_TD, k_TD, v_TD)
        out, lse = _attend_forward(q, k, v, group.bias)
        keep = group.stop - group.start
        out_TD[group.start : group.stop] = out.reshape(-1, width)[:keep]
        lse_T[group.start : group.stop] = lse.reshape(-1)[:keep]
    return out_TD, lse_T


def _round_backward(
    grad_TD: Tensor,
    q_TD: Tensor,
    k_TD: Tensor,
    v_TD: Tensor,
    out_TD: Tensor,
    lse_T: Tensor,
    one: Round,
    alone_T: Tensor | None,
    window: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """One round's gradients of q, k and v, [T, D] each, in sorted order."""
    num_rows, width = q_TD.shape
    # A key is in its own block and in the next one; one block more at the front takes what the first block's missing
    # predecessor would get, and one at the end the padding of the last block.
    length = (num_rows + window - 1) // window * window
    grad_q = q_TD.new_empty(length, width)
    grad_k = q_TD.new_zeros(window + length, width)
    grad_v = q_TD.new_zeros(window + length, width)
    for group in _groups(one, alone_T, window):
        q, k, v = group.gather(q_TD, k_TD, v_TD)
        rows = group.query_rows
        shape = q.shape
        d_out = grad_TD.index_select(0, rows).view(shape)
        out = out_TD.index_select(0, rows).view(shape)
        lse = lse_T[rows]
        # Rows that fill up the last block have no share in anything.
        lse[group.stop - group.start :] = -MASKED
        d_q, d_k, d_v = _attend_backward(d_out, q, k, v, out, lse.view(shape[:3]), group.bias)
        blocks = shape[0]
        begin, end = group.start, group.start + blocks * window
        grad_q[begin:end] = d_q.reshape(-1, width)
        for total, part in ((grad_k, d_k), (grad_v, d_v)):
            halves = part.reshape(blocks, 2, window, width)
            total[begin:end].view(blocks, window, width).add_(halves[:, 0])
            total[begin + window : end + window].view(blocks, window, width).add_(halves[:, 1])
    return grad_q[:num_rows], grad_k[window : window + num_rows], grad_v[window : window + num_rows]


@dataclass
class _Group:
    """Some consecutive blocks of one round: which rows they are and what they may see.

    Attributes:
        start, stop: sorted places covered, padding left out.
        query_rows: rows of the blocks, [n W]; padding repeats row 0.
        key_rows: the same with the block before, [(n + 1) W].
        bias: added to the scores, float32 [n, 1, W, 2W].
    """

    start: int
    stop: int
    query_rows: Tensor
    key_rows: Tensor
    bias: Tensor
    window: int

    def gather(self, q_TD: Tensor, k_TD: Tensor, v_TD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [n, 1, W, D]; keys and values [n, 1, 2W, D], views in which neighbouring blocks overlap."""
        width, window = q_TD.shape[1], self.window
        blocks = self.query_rows.numel() // window
        q = q_TD.index_select(0, self.query_rows).view(blocks, 1, window, width)
        strides = (window * width, window * width, width, 1)
        k, v = (
            x.index_select(0, self.key_rows).as_strided((blocks, 1, 2 * window, width), strides) for x in (k_TD, v_TD)
        )
        return q, k, v


def _groups(one: Round, alone_T: Tensor | None, window: int) -> Iterator[_Group]:
    """Cut a round into groups of blocks, oldest first."""
    order_T, segment_T = one.order_T, one.segment_T
    num_rows = order_T.numel()
    num_blocks = (num_rows + window - 1) // window
    padding = num_blocks * window - num_rows
    # One block before the first and the padding after the last belong to no segment.
    order = torch.nn.functional.pad(order_T, (window, padding))
    segment = torch.nn.functional.pad(segment_T.int(), (window, padding), value=-1)
    place = torch.arange(window, device=order_T.device)
    distance = (place + window).unsqueeze(1) - torch.arange(2 * window, device=order_T.device)
    in_band = (distance >= 0) & (distance < window)
    for first in range(0, num_blocks, BLOCKS_PER_GROUP):
        blocks = min(BLOCKS_PER_GROUP, num_blocks - first)
        begin, end = first * window, (first + blocks + 1) * window
        key_rows = order[begin:end]
        query_rows = key_rows[window:]
        key_segment = segment[begin:end].as_strided((blocks, 2 * window), (window, 1), first * window)
        query_segment = key_segment[:, window:]
        visible = (query_segment.unsqueeze(2) == key_segment.unsqueeze(1)) & in_band
        bias = torch.where(visible, 0.0, MASKED)
        if alone_T is not None:
            itself = bias[:, :, window:].diagonal(dim1=1, dim2=2)
            itself.copy_(torch.where(alone_T[query_rows].view(blocks, window), 0.0, -SELF_PENALTY))
        yield _Group(
            start=begin,
            stop=min(begin + blocks * window, num_rows),
            query_rows=query_rows,
            key_rows=key_rows,
            bias=bias.unsqueeze(1),
            window=window,
        )


def _inverse(order_T: Tensor) -> Tensor:
    inverse_T = torch.empty_like(order_T)
    inverse_T[order_T] = torch.arange(order_T.numel(), device=order_T.device)
    return inverse_T


def _fused_on(device: torch.device) -> bool:
    return device.type == "cpu"


def _attend_forward(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Dense attention of each block, and its logsumexp; float32."""
    scale = q.shape[-1] ** -0.5
    if _fused_on(q.device):
        # Torch's own fused kernel: 2.7 times the speed of the lines below (docs/experiments.md).
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            q, k, v, 0.0, False, attn_mask=bias, scale=scale
        )
    scores = torch.matmul(q, k.transpose(-1, -2)).mul_(scale).add_(bias)
    lse = torch.logsumexp(scores, dim=-1)
    return torch.matmul(scores.sub_(lse.unsqueeze(-1)).exp_(), v), lse


def _attend_backward(
    d_out: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of one round's q, k and v under the *joint* output and logsumexp of all rounds.

    With those, exp(score - lse) is a key's share of the joint softmax, and the usual flash-attention backward
    (arXiv 2307.08691, algorithm 2) gives this round's part of the joint gradient.
    """
    scale = q.shape[-1] ** -0.5
    if _fused_on(q.device):
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            d_out, q, k, v, out, lse, 0.0, False, attn_mask=bias, scale=scale
        )
    scores = torch.matmul(q, k.transpose(-1, -2)).mul_(scale).add_(bias)
    share = scores.sub_(lse.unsqueeze(-1)).exp_()
    d_v = torch.matmul(share.transpose(-1, -2), d_out)
    d_share = torch.matmul(d_out, v.transpose(-1, -2))
    d_scores = d_share.sub_((d_out * out).sum(-1, keepdim=True)).mul_(share).mul_(scale)
    return torch.matmul(d_scores, k), torch.matmul(d_scores.transpose(-1, -2), q), d_v
