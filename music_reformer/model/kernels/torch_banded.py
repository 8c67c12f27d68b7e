"""Attention within a band of sorted rows, in plain torch: the kernel of both LSH and local attention.

Shapes: B batch, L tokens, H heads, D head width, W window, S rows per block, N = B L rows of one head, X = 2 or 3
queries, (keys) and values side by side, n blocks of a group, M = W + n S rows that these see.

The rows of a head are sorted so that the members of a segment (a bucket within a document for LSH attention, a document
for local attention) stand together, oldest first. A row then attends to the rows of its own segment at most W - 1
places before it. Cut into blocks of S rows, a block needs itself and the W places before it, so the cost is
N x (W + S), linear in the length. Blocks may straddle segments: the mask keeps segments apart.

Several rounds (several orders of the same rows) form one softmax over the keys of all rounds, in which a key counts
once for each round that it occurs in: Reformer (arXiv 2001.04451), section 2, eq. 6. Backward recomputes the scores
from q, k, v and the joint logsumexp, so nothing of size N x W is kept. Heads are computed one after another, to sort
and gather the rows of one head at a time, and groups of blocks one after another, to stay within the CPU's cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from music_reformer.model.precision import full_precision

MASKED = -1e30
# Wider blocks waste more products on keys that the mask hides, narrower ones run slower (docs/experiments.md).
LARGEST_BLOCK = 32
# Rows handled at a time: few enough for what they need to stay in the cache of a core.
ROWS_PER_GROUP = 2048


@dataclass
class RowOrder:
    """One order of the rows of a head.

    Attributes:
        order_N: index of the row at each sorted place, int64.
        segment_N: segment at each sorted place, int64; equal segments are adjacent.
    """

    order_N: Tensor
    segment_N: Tensor

    def begins(self) -> Tensor:
        """Sorted places at which a segment begins, bool [N]."""
        begins_N = torch.ones_like(self.segment_N, dtype=torch.bool)
        begins_N[1:] = self.segment_N[1:] != self.segment_N[:-1]
        return begins_N


def sort_into_segments(segment_N: Tensor) -> RowOrder:
    """Sort rows by segment, stably: the oldest row of a segment comes first."""
    segment_sorted_N, order_N = torch.sort(segment_N, stable=True)
    return RowOrder(order_N=order_N, segment_N=segment_sorted_N)


def rows_alone(rounds: list[RowOrder]) -> Tensor:
    """Indices of rows that are first in their segment in every round, and so see only themselves; int64 [rows]."""
    times_first_N = torch.zeros_like(rounds[0].order_N)
    for order in rounds:
        times_first_N[order.order_N[order.begins()]] += 1
    return (times_first_N == len(rounds)).nonzero().squeeze(1)


class Workspace:
    """Buffers that are reused from head to head.

    Fresh memory costs a page fault per 4 KiB; for the rows of each head, these took a quarter of the whole time.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._buffers: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int) -> Tensor:
        """An uninitialised float32 tensor of this shape, valid until the same name is taken again."""
        if name not in self._buffers:
            self._buffers[name] = torch.empty(shape, device=self._device)
        return self._buffers[name]


def side_by_side(grad_BLD: Tensor, out_BLD: Tensor, work: Workspace) -> Tensor:
    """A head's output gradient and output side by side, [N, 2, D], for `head_backward`; a buffer of `work`."""
    batch, length, width = grad_BLD.shape
    grad_out_N2D = work.take("gradient and output", batch * length, 2, width)
    for part, x_BLD in enumerate((grad_BLD, out_BLD)):
        grad_out_N2D.view(batch, length, 2, width)[:, :, part] = x_BLD
    return grad_out_N2D


def head_forward(
    rows_NXD: Tensor,
    rounds: list[RowOrder],
    *,
    window: int,
    see_itself: bool,
    work: Workspace,
    key_scale_N: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Attend with one head, jointly over rounds.

    Args:
        rows_NXD: queries, keys and values, float32, contiguous [N, 3, D]: side by side, so that one look-up reads all
            three. With `key_scale_N`, queries and values only, [N, 2, D].
        rounds: the order of the rows in each round.
        window: W, the number of members of its segment that a row sees, itself included; at least 2.
        see_itself: whether a row attends to itself. If not, the output of rows that see no other
            (`rows_alone`) is undefined.
        work: holds the output.
        key_scale_N: factor from each row's query to its key; None: `rows_NXD` holds the keys.

    Returns:
        Output [N, D], valid until `work` is used again, and logsumexp [N]; float32.
    """
    num_rows, _, width = rows_NXD.shape
    out_ND, lse_N = work.take("head output", num_rows, width), rows_NXD.new_empty(num_rows)
    for number, order in enumerate(rounds):
        first = number == 0
        out_round_ND = out_ND if first else work.take("round output", num_rows, width)
        lse_round_N = lse_N if first else torch.empty_like(lse_N)
        for group in _groups(order, window, see_itself):
            out, lse = _attend_forward(*group.look_up(rows_NXD, key_scale_N), group.bias)
            out_round_ND.index_copy_(0, group.rows, group.results(out))
            lse_round_N.index_copy_(0, group.rows, group.results(lse))
        if not first:
            out_ND.lerp_(out_round_ND, torch.sigmoid(lse_round_N - lse_N).unsqueeze(1))
            lse_N = torch.logaddexp(lse_N, lse_round_N)
    return out_ND, lse_N


def head_backward(
    grad_out_N2D: Tensor,
    lse_N: Tensor,
    rows_NXD: Tensor,
    rounds: list[RowOrder],
    *,
    window: int,
    see_itself: bool,
    work: Workspace,
    key_scale_N: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries, keys and values of one head, [N, D] each; buffers of `work`.

    With `key_scale_N`, the query's gradient does not include its part through the key.

    Args:
        grad_out_N2D: gradient of the output and the output, side by side (`side_by_side`).
        lse_N: logsumexp from `head_forward`; `-MASKED` excludes a row as a query.
        rows_NXD, rounds, window, see_itself, work, key_scale_N: as in `head_forward`.
    """
    num_rows, _, width = rows_NXD.shape
    d_query, d_key, d_value = (work.take(f"gradient of {x}", num_rows, width) for x in ("q", "k", "v"))
    # In sorted order, with W places before the first row for the first block to look back at.
    sorted_length = window + _padded_length(num_rows, window)
    d_key_sorted, d_value_sorted = (work.take(f"sorted gradient of {x}", sorted_length, width) for x in ("k", "v"))
    for number, order in enumerate(rounds):
        put: Callable[[Tensor, int, Tensor, Tensor], Tensor] = Tensor.index_copy_ if number == 0 else Tensor.index_add_
        for group in _groups(order, window, see_itself):
            grad, out = group.own(grad_out_N2D)
            d_q, d_k, d_v = _attend_backward(
                grad, *group.look_up(rows_NXD, key_scale_N), out, group.logsumexp(lse_N), group.bias
            )
            put(d_query, 0, group.rows, group.results(d_q))
            group.add_keys(d_k, d_key_sorted)
            group.add_keys(d_v, d_value_sorted)
        put(d_key, 0, order.order_N, d_key_sorted[window : window + num_rows])
        put(d_value, 0, order.order_N, d_value_sorted[window : window + num_rows])
    return d_query, d_key, d_value


@dataclass
class _Group:
    """Some consecutive blocks of one round: their rows, and the rows that they may see.

    Attributes:
        start: sorted place of the first row.
        key_rows: indices of the blocks' rows and of the W places before them, [W + n S]; padding repeats row 0.
        rows: indices of the blocks' rows, without padding.
        bias: mask added to the scores, float32 [n, 1, S, W + S].
        window: W.
    """

    start: int
    key_rows: Tensor
    rows: Tensor
    bias: Tensor
    window: int

    def look_up(self, rows_NXD: Tensor, key_scale_N: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of the blocks' own rows, [n, 1, S, D], and keys and values of all that they see, [n, 1, W + S, D]."""
        rows_MXD = rows_NXD.index_select(0, self.key_rows)
        if key_scale_N is None:
            key_MD = rows_MXD[:, 1]
        else:
            key_MD = rows_MXD[:, 0] * key_scale_N.index_select(0, self.key_rows).unsqueeze(1)
        return self._blocks(rows_MXD[self.window :, 0]), self._overlapping(key_MD), self._overlapping(rows_MXD[:, -1])

    def own(self, rows_NXD: Tensor) -> tuple[Tensor, ...]:
        """The blocks' own rows: X tensors of [n, 1, S, D]."""
        rows_MXD = rows_NXD.index_select(0, self.key_rows[self.window :])
        return tuple(self._blocks(x_MD) for x_MD in rows_MXD.unbind(1))

    def _blocks(self, x_MD: Tensor) -> Tensor:
        num_blocks, _, block, _ = self.bias.shape
        return x_MD.unflatten(0, (num_blocks, 1, block))

    def _overlapping(self, x_MD: Tensor) -> Tensor:
        """The rows that each block sees, [n, 1, W + S, D]: a view in which neighbouring blocks overlap."""
        num_blocks, _, block, num_keys = self.bias.shape
        apart, width = x_MD.stride(0), x_MD.shape[1]
        return x_MD.as_strided((num_blocks, 1, num_keys, width), (block * apart, block * apart, apart, 1))

    def logsumexp(self, lse_N: Tensor) -> Tensor:
        """Logsumexp of the blocks' own rows, [n, 1, S]; padding is excluded by `-MASKED`."""
        num_blocks, _, block, _ = self.bias.shape
        lse = lse_N.index_select(0, self.key_rows[self.window :])
        lse[len(self.rows) :] = -MASKED
        return lse.view(num_blocks, 1, block)

    def results(self, x: Tensor) -> Tensor:
        """Results of the blocks' own rows, [n, 1, S, ...], as [rows, ...] without padding."""
        return x.flatten(0, 2)[: len(self.rows)]

    def add_keys(self, x: Tensor, total: Tensor) -> None:
        """Add gradients of keys or values, [n, 1, W + S, D], to `total` [W + N and padding, D] in sorted order.

        `total` starts uninitialised: blocks first write the gradients of their own rows, then add to those before.
        """
        num_blocks, _, block, num_keys = self.bias.shape
        by_place = x.view(num_blocks, num_keys // block, block, -1)
        for number in reversed(range(num_keys // block)):
            first = self.start + number * block
            rows = total[first : first + num_blocks * block].view(num_blocks, block, -1)
            if (number + 1) * block == num_keys:
                rows.copy_(by_place[:, number])
            else:
                rows.add_(by_place[:, number])


def _block_rows(window: int) -> int:
    """S: divides W, so that blocks overlap in whole blocks."""
    return math.gcd(window, LARGEST_BLOCK)


def _padded_length(num_rows: int, window: int) -> int:
    block = _block_rows(window)
    return (num_rows + block - 1) // block * block


def _groups(order: RowOrder, window: int, see_itself: bool) -> Iterator[_Group]:
    """Cut a round into groups of blocks, oldest first."""
    device, num_rows = order.order_N.device, order.order_N.numel()
    block = _block_rows(window)
    num_keys, length = window + block, _padded_length(num_rows, window)
    padded_order = torch.nn.functional.pad(order.order_N, (window, length - num_rows))
    # A row sees places from the start of its segment on; padding neither sees real rows nor is seen by them.
    place = torch.arange(length, device=device)
    segment_start = torch.where(order.begins(), place[:num_rows], 0).cummax(0).values
    segment_start = torch.nn.functional.pad(segment_start, (0, length - num_rows), value=length)
    # The same, relative to the first place that the row's block sees.
    seen_from = (segment_start - place // block * block + window).clamp_(0, num_keys)
    key_place = torch.arange(num_keys, device=device)
    distance = torch.arange(window, num_keys, device=device).unsqueeze(1) - key_place
    nearest = 0 if see_itself else 1
    band = torch.where((distance >= nearest) & (distance < window), 0.0, MASKED)
    # A row's mask, by the first place that it sees: a table look-up is faster than comparisons.
    hidden = torch.where(key_place < torch.arange(num_keys + 1, device=device).unsqueeze(1), MASKED, 0.0)
    step = max(1, ROWS_PER_GROUP // block) * block
    for start in range(0, length, step):
        stop = min(start + step, length)
        bias = hidden.index_select(0, seen_from[start:stop]).view(-1, 1, block, num_keys)
        yield _Group(
            start=start,
            key_rows=padded_order[start : window + stop],
            rows=order.order_N[start : min(stop, num_rows)],
            bias=bias.add_(band),
            window=window,
        )


def _has_flash_attention(device: torch.device) -> bool:
    return device.type == "cpu"


def _attend_forward(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Dense attention of each block, [n, 1, S, D], and its logsumexp, [n, 1, S]; float32."""
    scale = q.shape[-1] ** -0.5
    if _has_flash_attention(q.device):
        # Torch's own kernel is 2.7 times as fast as the lines below (docs/experiments.md).
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            q, k, v, 0.0, False, attn_mask=bias, scale=scale
        )
    with full_precision(q.device):
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
    if _has_flash_attention(q.device):
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            d_out, q, k, v, out, lse, 0.0, False, attn_mask=bias, scale=scale
        )
    with full_precision(q.device):
        scores = torch.matmul(q, k.transpose(-1, -2)).mul_(scale).add_(bias)
        share = scores.sub_(lse.unsqueeze(-1)).exp_()
        d_v = torch.matmul(share.transpose(-1, -2), d_out)
        d_share = torch.matmul(d_out, v.transpose(-1, -2))
        d_scores = d_share.sub_((d_out * out).sum(-1, keepdim=True)).mul_(share).mul_(scale)
        return torch.matmul(d_scores, k), torch.matmul(d_scores.transpose(-1, -2), q), d_v
