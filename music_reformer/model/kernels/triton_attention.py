"""The attention of `torch_banded.py`, and hashing, as Triton kernels: all heads at once, no gathered copies of rows.

Shapes: B batch, L tokens, N = B L rows, T parts (queries, keys, values) side by side, H heads, D head width, P rotated
pairs, R rounds, W window, K components of a rotated query, G groups of batch rows with the same rotations.

Rounds are computed one after another, each merged with the earlier ones by logsumexp (Reformer, arXiv 2001.04451,
eq. 6). Backward recomputes the scores. There are no atomic additions, so results are bitwise reproducible. See
docs/decisions/007.

Before they are used, the kernels are compared with the plain form, once per process and GPU (`form_for`). Without a
GPU, tests run them in Triton's interpreter.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from music_reformer.model.attention.rotary import Rotation
from music_reformer.model.kernels.triton_launch import Fixed, launch
from music_reformer.model.kernels.verified import Example, agrees, attention_difference, bucket_difference

# An autograd function that attends, or a function that hashes.
Form = TypeVar("Form", bound=Any)

LARGEST_BLOCK = 64
SMALLEST_BLOCK = 16  # what `tl.dot` needs
ROTATED_BLOCK = 32


@dataclass
class HeadOrders:
    """The orders of the rows of all heads. In both tensors N is contiguous and the strides over H are equal.

    Attributes:
        order_RHN: index of the row at each sorted place; stride 0 over H if all heads share one order.
        segment_RHN: segment at each sorted place; equal segments are adjacent.
    """

    order_RHN: Tensor
    segment_RHN: Tensor


def sort_heads(segment_BL: Tensor, buckets_RBLH: Tensor) -> HeadOrders:
    """Sort the rows of every head by segment and bucket in each round, stably.

    Args:
        segment_BL: first segment of each token's group (`Documents.segments`), int64.
        buckets_RBLH: bucket of each query, added to the segment.
    """
    num_rounds, batch, length, num_heads = buckets_RBLH.shape
    segment_RHBL = segment_BL.new_empty((num_rounds, num_heads, batch, length), dtype=torch.int32)
    torch.add(buckets_RBLH.permute(0, 3, 1, 2), segment_BL, out=segment_RHBL)
    segment_sorted_RHN, order_RHN = torch.sort(segment_RHBL.flatten(2), dim=-1, stable=True)
    return HeadOrders(order_RHN=order_RHN, segment_RHN=segment_sorted_RHN)


@dataclass
class Heads:
    """The attention of all heads: its inputs and settings.

    Attributes:
        query_NHD: queries, float32 or bfloat16. Queries, keys and values are views of one tensor, with equal strides.
        key_NHD: keys; None: each row's query, scaled to root mean square 1.
        value_NHD: values.
        rounds: the order of the rows in each round.
        window: W, the number of members of its segment that a row sees, itself included.
        see_itself: whether a row attends to itself. If not, a row that sees no other takes its own value.
        successor_values: a key is paired with the value of the row after it.
    """

    query_NHD: Tensor
    key_NHD: Tensor | None
    value_NHD: Tensor
    rounds: HeadOrders
    window: int
    see_itself: bool
    successor_values: bool = False

    def attend(self) -> tuple[Tensor, Tensor]:
        """Attend, jointly over rounds.

        Returns:
            Output [N, H, D], of the queries' dtype, and logsumexp, float32 [H, N]; `-MASKED` for rows that see no
            other.
        """
        from music_reformer.model.kernels.triton_kernels import forward_round

        num_rows, num_heads, width = self.query_NHD.shape
        out_NHD = self.query_NHD.new_empty(self.query_NHD.shape)
        joined_NHD = out_NHD if len(self.rounds.order_RHN) == 1 else _float(out_NHD)
        lse_HN = self.query_NHD.new_empty((num_heads, num_rows), dtype=torch.float32)
        to = (joined_NHD, out_NHD, lse_HN)
        sizes = (num_rows, num_heads, *self.query_NHD.stride()[:2], width**-0.5)
        for order, grid, fixed in self._launches():
            launch(forward_round, grid, (*self._rows(), *order, *to, *sizes), fixed)
        return out_NHD, lse_HN

    def write_gradient(self, gradient_NPHD: Tensor, grad_NHD: Tensor, out_NHD: Tensor, lse_HN: Tensor) -> None:
        """Write the gradients of queries, (keys) and values; the gradient of shared keys is part of the queries'.

        Args:
            gradient_NPHD: overwritten with the gradients, side by side, [N, 2 or 3, H, D].
            grad_NHD: gradient of the output.
            out_NHD, lse_HN: output and logsumexp, from `attend`.
        """
        from music_reformer.model.kernels.triton_kernels import backward_keys, backward_queries

        num_rows, num_heads, width = self.query_NHD.shape
        grad_NHD = grad_NHD.to(self.query_NHD.dtype).contiguous()
        delta_HN = torch.empty_like(lse_HN)
        # Sums over rounds, and over queries and shared keys, are in float32.
        is_whole = self.key_NHD is not None and len(self.rounds.order_RHN) == 1
        sum_NPHD = gradient_NPHD if is_whole else _float(gradient_NPHD)
        sums, gradients = ((x[:, 0], x[:, -2], x[:, -1]) for x in (sum_NPHD, gradient_NPHD))
        rows = (*self._rows(), grad_NHD)
        strides = (*self.query_NHD.stride()[:2], *gradients[0].stride()[:2])
        for order, grid, fixed in self._launches():
            after = (*order, num_rows, num_heads, *strides, width**-0.5)
            to_queries = (out_NHD, delta_HN, lse_HN, sums[0], gradients[0])
            launch(backward_queries, grid, (*rows, *to_queries, *after), fixed)
            launch(backward_keys, grid, (*rows, delta_HN, lse_HN, *sums[1:], *gradients[1:], *after), fixed)

    def _rows(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.query_NHD, self.query_NHD if self.key_NHD is None else self.key_NHD, self.value_NHD

    def _launches(self) -> Iterator[tuple[tuple[Tensor, Tensor, int], tuple[int, int, int], Fixed]]:
        """For each round: order, segments and their stride over heads; the grid; the compile-time arguments."""
        num_rows, num_heads, width = self.query_NHD.shape
        num_rounds = len(self.rounds.order_RHN)
        for number in range(num_rounds):
            fixed = _fixed(
                self.query_NHD.dtype,
                torch.get_float32_matmul_precision(),
                WIDTH=width,
                WINDOW=self.window,
                NEAREST=0 if self.see_itself else 1,
                SHARED=self.key_NHD is None,
                SUCCESSOR=int(self.successor_values),
                FIRST=number == 0,
                LAST=number == num_rounds - 1,
            )
            order_HN, segment_HN = self.rounds.order_RHN[number], self.rounds.segment_RHN[number]
            grid = (-(-num_rows // fixed.constants["BLOCK"]), num_heads, 1)
            yield (order_HN, segment_HN, order_HN.stride(0)), grid, fixed


@functools.cache
def _fixed(dtype: torch.dtype, float32_precision: str, *, WIDTH: int, WINDOW: int, **flags: int) -> Fixed:
    """The compile-time arguments of an attention kernel.

    Block size and number of warps are chosen so that what a program holds stays in registers (docs/decisions/007).
    """
    half = dtype != torch.float32
    exact = not half and float32_precision == "highest"
    block = min(LARGEST_BLOCK // 2 if exact else LARGEST_BLOCK, _padded(WINDOW))
    return Fixed(
        num_warps=4 if half else 8,
        BLOCK=block,
        # Three TF32 products are as precise as one in float32, and run on the tensor cores.
        PRECISION="tf32x3" if exact else "tf32",
        PADDED=_padded(WIDTH),
        REACH=-(-(WINDOW - 1) // block),
        WIDTH=WIDTH,
        WINDOW=WINDOW,
        **flags,
    )


class TritonSharedAttention(torch.autograd.Function):
    """`attention.lsh.TorchSharedAttention` in Triton; takes float32 or bfloat16."""

    @staticmethod
    def forward(ctx, query_value_BLTHD, segment_BL, buckets_RBLH, window, successor_values):  # type: ignore[no-untyped-def]
        """Output [B, L, H, D], of the input's dtype; arguments as in `TorchSharedAttention`."""
        ctx.rounds = sort_heads(segment_BL, buckets_RBLH)
        ctx.window, ctx.successor_values = window, successor_values
        out_NHD, lse_HN = TritonSharedAttention._heads(ctx, query_value_BLTHD).attend()
        ctx.save_for_backward(query_value_BLTHD, out_NHD, lse_HN)
        return out_NHD.view(*segment_BL.shape, *out_NHD.shape[1:])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_BLHD):  # type: ignore[no-untyped-def]
        """Gradient of the first argument; the others have none."""
        query_value_BLTHD, out_NHD, lse_HN = ctx.saved_tensors
        gradient_BLTHD = torch.empty_like(query_value_BLTHD)
        heads = TritonSharedAttention._heads(ctx, query_value_BLTHD)
        heads.write_gradient(gradient_BLTHD.flatten(0, 1), grad_BLHD.flatten(0, 1), out_NHD, lse_HN)
        return gradient_BLTHD, None, None, None, None

    @staticmethod
    def _heads(ctx, query_value_BLTHD):  # type: ignore[no-untyped-def]
        query_NHD, value_NHD = query_value_BLTHD.flatten(0, 1).unbind(1)
        return Heads(
            query_NHD,
            None,
            value_NHD,
            ctx.rounds,
            ctx.window,
            see_itself=False,
            successor_values=ctx.successor_values,
        )


class TritonLocalAttention(torch.autograd.Function):
    """`attention.local.TorchLocalAttention` in Triton; takes float32 or bfloat16."""

    @staticmethod
    def forward(ctx, query_key_value_BLTHD, cosine_BL1P, sine_BL1P, order, window):  # type: ignore[no-untyped-def]
        """Output [B, L, H, D], of the input's dtype; arguments as in `TorchLocalAttention`."""
        num_heads = query_key_value_BLTHD.shape[3]
        rounds = HeadOrders(*(x.contiguous().expand(1, num_heads, -1) for x in (order.order_N, order.segment_N)))
        rows = _rotated(query_key_value_BLTHD, (cosine_BL1P, sine_BL1P))
        out_NHD, lse_HN = Heads(*rows, rounds, window, see_itself=True).attend()
        ctx.rounds, ctx.window = rounds, window
        ctx.save_for_backward(query_key_value_BLTHD, out_NHD, lse_HN, cosine_BL1P, sine_BL1P)
        return out_NHD.view(*query_key_value_BLTHD.shape[:2], *out_NHD.shape[1:])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_BLHD):  # type: ignore[no-untyped-def]
        """Gradient of the first argument; the others have none.

        It overwrites the input, which nothing else needs: at a million tokens it takes 3 GB.
        """
        query_key_value_BLTHD, out_NHD, lse_HN, cosine_BL1P, sine_BL1P = ctx.saved_tensors
        rows = _rotated(query_key_value_BLTHD, (cosine_BL1P, sine_BL1P))
        heads = Heads(*rows, ctx.rounds, ctx.window, see_itself=True)
        heads.write_gradient(query_key_value_BLTHD.flatten(0, 1), grad_BLHD.flatten(0, 1), out_NHD, lse_HN)
        _rotate(query_key_value_BLTHD, (cosine_BL1P, sine_BL1P), to=query_key_value_BLTHD, sign=-1)
        return query_key_value_BLTHD, None, None, None, None


def _rotated(query_key_value_BLTHD: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys, rotated, and values: [N, H, D] views of one new tensor."""
    rows_BLTHD = torch.empty_like(query_key_value_BLTHD)
    _rotate(query_key_value_BLTHD, rotation, to=rows_BLTHD, sign=1)
    query_NHD, key_NHD, value_NHD = rows_BLTHD.flatten(0, 1).unbind(1)
    return query_NHD, key_NHD, value_NHD


def _rotate(query_key_value_BLTHD: Tensor, rotation: Rotation, *, to: Tensor, sign: int) -> None:
    """Write queries and keys to `to`, rotated by the angles (`sign` 1) or back (`sign` -1), and values unchanged."""
    from music_reformer.model.kernels.triton_kernels import rotate_rows

    batch, length, parts, num_heads, width = query_key_value_BLTHD.shape
    cosine, sine = (x.contiguous() for x in rotation)
    grid = (-(-batch * length // ROTATED_BLOCK), parts * num_heads, 1)
    sizes = (batch * length, num_heads, parts * num_heads * width, sign)
    launch(rotate_rows, grid, (query_key_value_BLTHD, cosine, sine, to, *sizes), _fixed_rotation(width // 2))


@functools.cache
def _fixed_rotation(pairs: int) -> Fixed:
    return Fixed(num_warps=None, PAIRS=pairs, PADDED=_padded(pairs), BLOCK=ROTATED_BLOCK)


def triton_hash(query_BLHD: Tensor, rotations_GRHDK: Tensor, factors: Sequence[Sequence[int]]) -> Tensor:
    """`attention.hashing.hash_queries` in Triton; int16 [R, B, L, H].

    Args:
        query_BLHD: float32 or bfloat16; contiguous in D.
        rotations_GRHDK: one set per row of the batch (G = B), or one for all rows (G = 1).
        factors: for each round, the number of buckets of each of its one or two hashes.
    """
    from music_reformer.model.kernels.triton_kernels import hash_rows

    batch, length, num_heads, width = query_BLHD.shape
    groups, num_rounds, _, _, columns = rotations_GRHDK.shape
    rotations_GRHDK = rotations_GRHDK.contiguous()
    buckets_RBLH = torch.empty((num_rounds, batch, length, num_heads), dtype=torch.int16, device=query_BLHD.device)
    strides = (*query_BLHD.stride()[:3], rotations_GRHDK.stride(0) if groups > 1 else 0, columns)
    first = 0
    # One launch for neighbouring rounds that have equally many buckets.
    for of_round, equal in itertools.groupby(map(tuple, factors)):
        count = len(list(equal))
        grid = (-(-length // LARGEST_BLOCK), batch * num_heads, count)
        rounds = (rotations_GRHDK[:, first:], buckets_RBLH[first:])
        launch(hash_rows, grid, (query_BLHD, *rounds, length, num_heads, *strides), _fixed_hash(width, *of_round))
        first += count
    return buckets_RBLH


@functools.cache
def _fixed_hash(width: int, first: int, second: int = 0) -> Fixed:
    return Fixed(
        num_warps=None,
        WIDTH=width,
        PADDED=_padded(width),
        BLOCK=LARGEST_BLOCK,
        COLUMNS=_padded((first + second) // 2),
        FIRST_HALF=first // 2,
        SECOND_HALF=second // 2,
    )


def _float(x: Tensor) -> Tensor:
    """A float32 tensor of the shape of `x`, to accumulate its values in; `x` itself if it is float32."""
    return x if x.dtype == torch.float32 else torch.empty_like(x, dtype=torch.float32)


def _padded(width: int) -> int:
    """The number of columns rounded up to a power of two, and to the least that `tl.dot` takes."""
    return max(SMALLEST_BLOCK, 1 << (width - 1).bit_length())


@functools.cache
def form_for(device: torch.device, plain: Form, triton_form: Form, example: Example) -> Form:
    """The Triton form on CUDA where Triton is installed and agrees with the plain form; else the plain one.

    Args:
        device: device of the computation; the answer is cached for each.
        plain, triton_form: two autograd functions that attend, or two functions that hash.
        example: makes the arguments on which they are compared.
    """
    usable = device.type == "cuda" and importlib.util.find_spec("triton") is not None
    return triton_form if usable and triton_agrees(device, plain, triton_form, example) else plain


def triton_agrees(device: torch.device, plain: Form, triton_form: Form, example: Example) -> bool:
    """Whether both forms agree on the example; warns if not."""
    difference = attention_difference if isinstance(plain, type) else bucket_difference
    return agrees(
        lambda: difference(plain, triton_form, example, device),
        name="the Triton attention kernels",
        machine=lambda: f"{torch.cuda.get_device_name(device)} with torch {torch.__version__}",
        instead="the plain form, much slower there, takes their place",
    )
