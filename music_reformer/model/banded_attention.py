"""Attention within a band of a sorted sequence: the one kernel under both LSH and local attention.

Shapes: B batch, L tokens, H heads, D head width, R rounds, W window, N = B L rows of one head.

The rows of a head are put in an order in which the members of a segment (a bucket of a document for LSH attention, a
document for local attention) stand together, oldest first. A row then attends to the rows of its own segment at most
W - 1 places before it, and to itself. Cut into blocks of W rows, a block needs itself and the block before it, so the
cost is N x 2W whatever the sequence length; blocks may straddle segments, because the mask knows.

Several rounds (several orders of the same rows) are one softmax over all keys that the rounds bring, a key counted
once for each round that brings it: Reformer (arXiv 2001.04451), section 2, eq. 6. Backward recomputes the scores from
q, k, v and the joint logsumexp, so nothing of size N x W is kept. Heads come one after another, so that what is sorted
and gathered is that of one head at a time.
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
    """One order of the rows of a head.

    Attributes:
        order_N: row that stands at each sorted place, int64; None: the rows stand in order as they are.
        segment_N: segment at each sorted place; equal ones stand together.
    """

    order_N: Tensor | None
    segment_N: Tensor

    def begins(self) -> Tensor:
        """Sorted places at which a segment begins, bool [N]."""
        begins_N = torch.ones_like(self.segment_N, dtype=torch.bool)
        begins_N[1:] = self.segment_N[1:] != self.segment_N[:-1]
        return begins_N

    def sorted(self, rows: Tensor) -> Tensor:
        """Rows [N, ...] brought into this order."""
        return rows if self.order_N is None else rows.index_select(0, self.order_N)

    def restored(self, rows: Tensor) -> Tensor:
        """Sorted rows [N, ...] brought back."""
        if self.order_N is None:
            return rows
        inverse_N = torch.empty_like(self.order_N)
        inverse_N[self.order_N] = torch.arange(inverse_N.numel(), device=inverse_N.device)
        return rows.index_select(0, inverse_N)


def sort_into_segments(segment_N: Tensor) -> Round:
    """Order rows by segment, keeping their order within each (so that the oldest of a segment stands first)."""
    segment_sorted_N, order_N = torch.sort(segment_N, stable=True)
    return Round(order_N=order_N, segment_N=segment_sorted_N)


def rows_alone(rounds: list[Round]) -> Tensor:
    """Rows that come first in their segment in every round, and so have only themselves to attend to; bool [N]."""
    alone_N = None
    for one in rounds:
        first_N = one.restored(one.begins())
        alone_N = first_N if alone_N is None else alone_N & first_N
    assert alone_N is not None, "attention needs at least one round"
    return alone_N


def banded_attention(q_BLHD: Tensor, k_BLHD: Tensor, v_BLHD: Tensor, one: Round, *, window: int) -> Tensor:
    """Attend within `window` places of the same segment, all heads in the same order.

    Args:
        q_BLHD, k_BLHD, v_BLHD: queries, keys and values, float32.
        one: the order of the N = B L rows of a head.
        window: W, how many members of its segment a row sees, itself included; at least 2.

    Returns:
        float32 [B, L, H, D].
    """
    return _BandedAttention.apply(q_BLHD, k_BLHD, v_BLHD, one, window)


class _BandedAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q_BLHD, k_BLHD, v_BLHD, one, window):  # type: ignore[no-untyped-def]
        out_BLHD = torch.empty(q_BLHD.shape, dtype=torch.float32, device=q_BLHD.device)
        logsumexps = []
        for head in range(q_BLHD.shape[2]):
            packed_NC = pack(q_BLHD[:, :, head], k_BLHD[:, :, head], v_BLHD[:, :, head])
            out_ND, lse_N = head_forward(packed_NC, [one], None, window)
            out_BLHD[:, :, head] = out_ND.view(*out_BLHD.shape[:2], -1)
            logsumexps.append(lse_N)
        ctx.save_for_backward(q_BLHD, k_BLHD, v_BLHD, out_BLHD, *logsumexps)
        ctx.one, ctx.window = one, window
        return out_BLHD

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_BLHD):  # type: ignore[no-untyped-def]
        q_BLHD, k_BLHD, v_BLHD, out_BLHD, *logsumexps = ctx.saved_tensors
        grads = [torch.empty(q_BLHD.shape, device=q_BLHD.device) for _ in range(3)]
        for head, lse_N in enumerate(logsumexps):
            packed_NC = pack(q_BLHD[:, :, head], k_BLHD[:, :, head], v_BLHD[:, :, head])
            grad_ND, out_ND = (x[:, :, head].flatten(0, 1) for x in (grad_BLHD, out_BLHD))
            parts_NC = head_backward(grad_ND, out_ND, lse_N, packed_NC, [ctx.one], None, ctx.window)
            for grad, part_ND in zip(grads, parts_NC.chunk(3, dim=1), strict=True):
                grad[:, :, head] = part_ND.view(*grad.shape[:2], -1)
        return *grads, None, None


def pack(query_BLD: Tensor, key_BLD: Tensor, value_BLD: Tensor) -> Tensor:
    """What one head attends with, side by side, so that one look-up per row brings all three; [N, 3 D]."""
    return torch.cat([query_BLD, key_BLD, value_BLD], dim=-1).flatten(0, 1)


def head_forward(packed_NC: Tensor, rounds: list[Round], alone_N: Tensor | None, window: int) -> tuple[Tensor, Tensor]:
    """Attend with one head, jointly over rounds.

    Args:
        packed_NC: query, key and value of each row side by side, float32 [N, 3 D].
        rounds: the orders of the rows.
        alone_N: where given, a row attends to itself only where this says so (`rows_alone`): shared queries and keys
            would otherwise make every row attend mostly to itself.
        window: W, how many members of its segment a row sees, itself included; at least 2.

    Returns:
        Output [N, D] and logsumexp [N], float32.
    """
    out_ND, lse_N = None, None
    for one in rounds:
        out_sorted, lse_sorted = _round_forward(packed_NC, one, alone_N, window)
        out_round_ND, lse_round_N = one.restored(out_sorted), one.restored(lse_sorted)
        if out_ND is None or lse_N is None:
            out_ND, lse_N = out_round_ND, lse_round_N
            continue
        joint_N = torch.logaddexp(lse_N, lse_round_N)
        out_ND.mul_((lse_N - joint_N).exp_().unsqueeze(1))
        out_ND.addcmul_(out_round_ND, (lse_round_N - joint_N).exp_().unsqueeze(1))
        lse_N = joint_N
    assert out_ND is not None
    assert lse_N is not None
    return out_ND, lse_N


def head_backward(
    grad_ND: Tensor,
    out_ND: Tensor,
    lse_N: Tensor,
    packed_NC: Tensor,
    rounds: list[Round],
    alone_N: Tensor | None,
    window: int,
) -> Tensor:
    """Gradients of query, key and value of one head side by side, [N, 3 D], given those of its output [N, D]."""
    outer_NC = torch.cat([grad_ND, out_ND], dim=1)
    total_NC = None
    for one in rounds:
        part_NC = one.restored(_round_backward(outer_NC, lse_N, packed_NC, one, alone_N, window))
        total_NC = part_NC if total_NC is None else total_NC.add_(part_NC)
    assert total_NC is not None
    return total_NC


def _round_forward(packed_NC: Tensor, one: Round, alone_N: Tensor | None, window: int) -> tuple[Tensor, Tensor]:
    """One round's output [N, D] and logsumexp [N], both in sorted order."""
    num_rows, width = packed_NC.shape[0], packed_NC.shape[1] // 3
    out_ND = packed_NC.new_empty(num_rows, width)
    lse_N = packed_NC.new_empty(num_rows)
    for group in _groups(one, alone_N, window):
        q, k, v = group.query_key_value(packed_NC)
        out, lse = _attend_forward(q, k, v, group.bias)
        out_ND[group.start : group.stop] = out.reshape(-1, width)[: group.size]
        lse_N[group.start : group.stop] = lse.reshape(-1)[: group.size]
    return out_ND, lse_N


def _round_backward(
    outer_NC: Tensor, lse_N: Tensor, packed_NC: Tensor, one: Round, alone_N: Tensor | None, window: int
) -> Tensor:
    """One round's gradients of query, key and value, [N, 3 D], in sorted order.

    Args:
        outer_NC: gradient of the joint output and that output side by side, [N, 2 D].
        lse_N: joint logsumexp.
        packed_NC, one, alone_N, window: as in `head_forward`.
    """
    num_rows, width = packed_NC.shape[0], packed_NC.shape[1] // 3
    # A key is in its own block and in the next one; one block more at the front takes what the first block's missing
    # predecessor would get, and the end has room for the padding of the last block.
    length = (num_rows + window - 1) // window * window
    total = packed_NC.new_empty(window + length, 3 * width)
    d_query, d_key, d_value = (total[:, i * width : (i + 1) * width] for i in range(3))
    for group in _groups(one, alone_N, window):
        q, k, v = group.query_key_value(packed_NC)
        d_out, out = group.queries(outer_NC, 2)
        lse = lse_N.index_select(0, group.query_rows)
        # Rows that fill up the last block have no share in anything.
        lse[group.size :] = -MASKED
        d_q, d_k, d_v = _attend_backward(d_out, q, k, v, out, lse.view(q.shape[:3]), group.bias)
        begin = group.start + window
        end = begin + group.blocks * window
        d_query[begin:end] = d_q.reshape(-1, width)
        for whole, part in ((d_key, d_k), (d_value, d_v)):
            halves = part.reshape(group.blocks, 2, window, width)
            whole[begin:end] = halves[:, 1].reshape(-1, width)
            if group.start:  # The block before the first is nobody's.
                whole[begin - window : begin] += halves[0, 0]
            whole[begin : end - window] += halves[1:, 0].reshape(-1, width)
    return total[window : window + num_rows]


@dataclass
class _Group:
    """Some consecutive blocks of one round: which rows they are and what they may see.

    Attributes:
        start, stop: sorted places covered, padding left out.
        key_rows: rows of the blocks and of the block before them, [(n + 1) W]; padding repeats row 0.
        bias: added to the scores, float32 [n, 1, W, 2W].
    """

    start: int
    stop: int
    key_rows: Tensor
    bias: Tensor
    window: int

    @property
    def size(self) -> int:
        """Rows covered, padding left out."""
        return self.stop - self.start

    @property
    def blocks(self) -> int:
        """n."""
        return self.bias.shape[0]

    @property
    def query_rows(self) -> Tensor:
        """Rows of the blocks, [n W]."""
        return self.key_rows[self.window :]

    def query_key_value(self, packed_NC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [n, 1, W, D]; keys and values [n, 1, 2W, D], views in which neighbouring blocks overlap."""
        window, columns = self.window, packed_NC.shape[1]
        width = columns // 3
        rows = packed_NC.index_select(0, self.key_rows)
        strides = (window * columns, window * columns, columns, 1)
        q = rows.as_strided((self.blocks, 1, window, width), strides, window * columns)
        k, v = (rows.as_strided((self.blocks, 1, 2 * window, width), strides, i * width) for i in (1, 2))
        return q, k, v

    def queries(self, packed_NC: Tensor, parts: int) -> tuple[Tensor, ...]:
        """What is packed in `parts` equal columns of the blocks' own rows, [n, 1, W, D] each."""
        rows = packed_NC.index_select(0, self.query_rows)
        return rows.view(self.blocks, 1, self.window, -1).chunk(parts, dim=-1)


def _groups(one: Round, alone_N: Tensor | None, window: int) -> Iterator[_Group]:
    """Cut a round into groups of blocks, oldest first."""
    device, num_rows = one.segment_N.device, one.segment_N.numel()
    num_blocks = (num_rows + window - 1) // window
    padding = num_blocks * window - num_rows
    order_N = torch.arange(num_rows, device=device) if one.order_N is None else one.order_N
    order = torch.nn.functional.pad(order_N, (window, padding))
    # A row sees the places from the start of its segment on; padding sees, and is seen by, nothing real.
    place = torch.arange(num_rows, device=device)
    segment_start = torch.where(one.begins(), place, 0).cummax(0).values
    segment_start = torch.nn.functional.pad(segment_start, (0, padding), value=num_rows)
    in_block = torch.arange(window, device=device)
    distance = (in_block + window).unsqueeze(1) - torch.arange(2 * window, device=device)
    band = torch.where((distance >= 0) & (distance < window), 0.0, MASKED)
    if alone_N is not None:
        band[distance == 0] = -SELF_PENALTY
        alone_sorted = torch.nn.functional.pad(one.sorted(alone_N), (0, padding))
    key_place = torch.arange(2 * window, device=device, dtype=torch.int16)
    for first in range(0, num_blocks, BLOCKS_PER_GROUP):
        blocks = min(BLOCKS_PER_GROUP, num_blocks - first)
        begin, end = first * window, (first + blocks) * window
        # Where the row's segment starts, counted from the block before the row's own.
        block_begin = torch.arange(begin - window, end - window, window, device=device).unsqueeze(1)
        seen_from = (segment_start[begin:end].view(blocks, window) - block_begin).clamp_(min=0).to(torch.int16)
        bias = torch.where(key_place >= seen_from.unsqueeze(2), band, MASKED)
        if alone_N is not None:
            alone = alone_sorted[begin:end].view(blocks, window).nonzero()
            bias[alone[:, 0], alone[:, 1], alone[:, 1] + window] = 0.0
        yield _Group(
            start=begin,
            stop=min(end, num_rows),
            key_rows=order[begin : end + window],
            bias=bias.unsqueeze(1),
            window=window,
        )


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
