"""`banded_attention` on a GPU: fused Triton kernels, all heads at once, nothing sorted or gathered in memory.

Shapes: N rows (all tokens of a batch), H heads, D head width, R rounds, W window.

Rounds come one after another, each joined to what came before by their logsumexp (Reformer, arXiv 2001.04451, eq. 6).
Backward recomputes the scores. Nothing is added atomically, so two runs give the same bits. See docs/decisions/007.

The kernels are held against the plain form once a process on each GPU, before they are used (`form_for`); without a
GPU, tests run them in Triton's interpreter.
"""

from __future__ import annotations

import functools
import importlib.util
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from music_reformer.model.banded_attention import MASKED
from music_reformer.model.precision import full_precision
from music_reformer.model.rotary import Rotation, rotate

# One of the two autograd functions of an attention, and arguments on which to try both.
Form = type[torch.autograd.Function]
Example = Callable[[torch.device], Sequence[Any]]

LARGEST_BLOCK = 64
SMALLEST_BLOCK = 16  # of a Triton product
# Of what differs by rounding alone, products in TF32 included.
LARGEST_DIFFERENCE = 1e-2


@dataclass
class HeadRounds:
    """The orders of all heads.

    Attributes:
        order_RHN: row that stands at each sorted place, int32; strides of both are equal (0 from head to head where
            all have one order).
        segment_RHN: segment at each sorted place, int32; equal ones stand together.
    """

    order_RHN: Tensor
    segment_RHN: Tensor


def sort_heads(segment_RHN: Tensor) -> HeadRounds:
    """Order the rows of every head by segment in each round, keeping their order within each."""
    segment_sorted_RHN, order_RHN = torch.sort(segment_RHN.to(torch.int32).contiguous(), dim=-1, stable=True)
    return HeadRounds(order_RHN=order_RHN.to(torch.int32), segment_RHN=segment_sorted_RHN)


@dataclass
class Heads:
    """What all heads attend with.

    Attributes:
        query_NHD: float32 or bfloat16; with the others views of one tensor, so that all have its strides.
        key_NHD: None: a key is its row's query brought to root mean square 1.
        value_NHD: values.
        rounds: the orders of the rows.
        window: W, how many members of its segment a row sees, itself included.
        see_itself: whether a row attends to itself. If not, a row without another to attend to takes its own value.
        successor_values: a key brings the value of the row after it.
    """

    query_NHD: Tensor
    key_NHD: Tensor | None
    value_NHD: Tensor
    rounds: HeadRounds
    window: int
    see_itself: bool
    successor_values: bool = False

    def attend(self) -> tuple[Tensor, Tensor]:
        """Jointly over rounds.

        Returns:
            Output, float32 [N, H, D], and logsumexp, float32 [H, N], `-MASKED` for rows that are alone.
        """
        from music_reformer.model.fused_kernels import forward_round

        num_rows, num_heads, width = self.query_NHD.shape
        out_NHD = self.query_NHD.new_empty(self.query_NHD.shape, dtype=torch.float32)
        lse_HN = self.query_NHD.new_empty((num_heads, num_rows), dtype=torch.float32)
        grid, options = self._launch()
        for order, first, last in self._orders():
            after = (*order, out_NHD, lse_HN, num_rows, num_heads, *self.query_NHD.stride()[:2], width**-0.5)
            forward_round[grid](*self._rows(), *after, FIRST=first, LAST=last, **options)
        return out_NHD, lse_HN

    def write_gradient(self, gradient_NPHD: Tensor, grad_NHD: Tensor, out_NHD: Tensor, lse_HN: Tensor) -> None:
        """Gradients of queries, (keys) and values; that of shared keys is added to that of the queries.

        Args:
            gradient_NPHD: where to, side by side, [N, 2 or 3, H, D]; float32 where there are several rounds.
            grad_NHD: gradient of the output.
            out_NHD, lse_HN: output and logsumexp.
        """
        from music_reformer.model.fused_kernels import backward_keys, backward_queries

        num_rows, num_heads, width = self.query_NHD.shape
        grad_NHD = grad_NHD.to(self.query_NHD.dtype).contiguous()
        with full_precision(grad_NHD.device):
            delta_HN = torch.linalg.vecdot(grad_NHD.float(), out_NHD.float()).T.contiguous()
        d_query_NHD, d_key_NHD, d_value_NHD = gradient_NPHD[:, 0], gradient_NPHD[:, -2], gradient_NPHD[:, -1]
        if self.successor_values:  # No key brings the first row.
            d_value_NHD[0] = grad_NHD[0] * (lse_HN[:, :1] == -MASKED)
        grid, options = self._launch()
        rows = (*self._rows(), grad_NHD, delta_HN, lse_HN)
        strides = (*self.query_NHD.stride()[:2], *d_query_NHD.stride()[:2])
        for order, first, _ in self._orders():
            after = (*order, num_rows, num_heads, *strides, width**-0.5)
            backward_queries[grid](*rows, d_query_NHD, *after, FIRST=first, **options)
            backward_keys[grid](*rows, d_key_NHD, d_value_NHD, *after, FIRST=first, **options)

    def _rows(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.query_NHD, self.query_NHD if self.key_NHD is None else self.key_NHD, self.value_NHD

    def _orders(self) -> Iterator[tuple[tuple[Tensor, Tensor, int], bool, bool]]:
        """Order, segments and their stride from head to head, of each round; whether it is the first and the last."""
        num_rounds = len(self.rounds.order_RHN)
        for number in range(num_rounds):
            order_HN, segment_HN = self.rounds.order_RHN[number], self.rounds.segment_RHN[number]
            yield (order_HN, segment_HN, order_HN.stride(0)), number == 0, number == num_rounds - 1

    def _launch(self) -> tuple[tuple[int, int], dict[str, Any]]:
        """Grid of programs, and what is fixed when a kernel is compiled."""
        num_rows, num_heads, width = self.query_NHD.shape
        tiling = _tiling(self.query_NHD.dtype, self.window)
        return (-(-num_rows // tiling["BLOCK"]), num_heads), {
            **tiling,
            "WIDTH": width,
            "PADDED": max(SMALLEST_BLOCK, 1 << (width - 1).bit_length()),
            "REACH": -(-(self.window - 1) // tiling["BLOCK"]),
            "WINDOW": self.window,
            "NEAREST": 0 if self.see_itself else 1,
            "SHARED": self.key_NHD is None,
            "SUCCESSOR": int(self.successor_values),
        }


def _tiling(dtype: torch.dtype, window: int) -> dict[str, Any]:
    """Size of a block and of its program, chosen so that what a program holds stays in registers (decision 7)."""
    half = dtype != torch.float32
    exact = not half and torch.get_float32_matmul_precision() == "highest"
    largest = LARGEST_BLOCK // 2 if exact else LARGEST_BLOCK
    return {
        "BLOCK": min(largest, max(SMALLEST_BLOCK, 1 << (window - 1).bit_length())),
        # Three products in TF32 are as good as one in float32, and a GPU has the units for them.
        "PRECISION": "tf32x3" if exact else "tf32",
        "num_warps": 4 if half else 8,
    }


class FusedSharedAttention(torch.autograd.Function):
    """What `lsh_attention` does with shared queries and keys; takes bfloat16, too."""

    @staticmethod
    def forward(ctx, query_value_BLTHD, segment_BL, buckets_RBLH, window, successor_values):  # type: ignore[no-untyped-def]
        """Output [B, L, H, D], of the type of the input."""
        ctx.rounds = sort_heads((segment_BL.unsqueeze(-1) + buckets_RBLH).flatten(1, 2).transpose(1, 2))
        ctx.window, ctx.successor_values = window, successor_values
        out_NHD, lse_HN = FusedSharedAttention._heads(ctx, query_value_BLTHD).attend()
        out_NHD = out_NHD.to(query_value_BLTHD.dtype)
        ctx.save_for_backward(query_value_BLTHD, out_NHD, lse_HN)
        return out_NHD.view(*segment_BL.shape, *out_NHD.shape[1:])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_BLHD):  # type: ignore[no-untyped-def]
        """Gradient of the first argument; the others have none."""
        query_value_BLTHD, out_NHD, lse_HN = ctx.saved_tensors
        gradient_BLTHD = torch.empty_like(query_value_BLTHD, dtype=torch.float32)
        heads = FusedSharedAttention._heads(ctx, query_value_BLTHD)
        heads.write_gradient(gradient_BLTHD.flatten(0, 1), grad_BLHD.flatten(0, 1), out_NHD, lse_HN)
        return gradient_BLTHD.to(query_value_BLTHD.dtype), None, None, None, None

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


class FusedLocalAttention(torch.autograd.Function):
    """What `local_attention` does with rotary queries and keys; takes bfloat16, too."""

    @staticmethod
    def forward(ctx, query_key_value_BLTHD, cosine_BL1P, sine_BL1P, one, window):  # type: ignore[no-untyped-def]
        """Output [B, L, H, D], of the type of the input."""
        num_heads = query_key_value_BLTHD.shape[3]
        order_RHN, segment_RHN = (x.to(torch.int32).expand(1, num_heads, -1) for x in (one.order_N, one.segment_N))
        rounds = HeadRounds(order_RHN, segment_RHN)
        rows = _rotated(query_key_value_BLTHD, (cosine_BL1P, sine_BL1P))
        out_NHD, lse_HN = Heads(*rows, rounds, window, see_itself=True).attend()
        out_NHD = out_NHD.to(query_key_value_BLTHD.dtype)
        ctx.rounds, ctx.window = rounds, window
        ctx.save_for_backward(query_key_value_BLTHD, out_NHD, lse_HN, cosine_BL1P, sine_BL1P)
        return out_NHD.view(*query_key_value_BLTHD.shape[:2], *out_NHD.shape[1:])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_BLHD):  # type: ignore[no-untyped-def]
        """Gradient of the first argument; the others have none.

        It takes the place of the input, which nothing else needs: at a million tokens it is 3 GB.
        """
        query_key_value_BLTHD, out_NHD, lse_HN, cosine_BL1P, sine_BL1P = ctx.saved_tensors
        rows = _rotated(query_key_value_BLTHD, (cosine_BL1P, sine_BL1P))
        heads = Heads(*rows, ctx.rounds, ctx.window, see_itself=True)
        heads.write_gradient(query_key_value_BLTHD.flatten(0, 1), grad_BLHD.flatten(0, 1), out_NHD, lse_HN)
        for part in (0, 1):
            of_rotated = query_key_value_BLTHD[:, :, part]
            of_rotated.copy_(rotate(of_rotated, (cosine_BL1P, -sine_BL1P)))
        return query_key_value_BLTHD, None, None, None, None


def _rotated(query_key_value_BLTHD: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys, rotated, and values: [N, H, D] views of one new tensor."""
    rows_BLTHD = torch.empty_like(query_key_value_BLTHD)
    for part in (0, 1):
        rows_BLTHD[:, :, part] = rotate(query_key_value_BLTHD[:, :, part], rotation)
    rows_BLTHD[:, :, 2] = query_key_value_BLTHD[:, :, 2]
    query_NHD, key_NHD, value_NHD = rows_BLTHD.flatten(0, 1).unbind(1)
    return query_NHD, key_NHD, value_NHD


@functools.cache
def form_for(device: torch.device, plain: Form, fused: Form, example: Example) -> Form:
    """The fused form on CUDA with Triton, if it agrees with the plain one; else the plain one. Found out once."""
    usable = device.type == "cuda" and importlib.util.find_spec("triton") is not None
    return fused if usable and _agree(device, plain, fused, example) else plain


def _agree(device: torch.device, plain: Form, fused: Form, example: Example) -> bool:
    """Try both on the example, forward and backward; warn if the fused form is not to be used."""
    try:
        difference = largest_difference(plain, fused, example, device)
    except Exception as error:  # Whatever a compiler says on a machine that we do not know: the plain form goes on.
        trouble = f"do not run ({type(error).__name__}: {error})"
    else:
        if difference <= LARGEST_DIFFERENCE:
            return True
        trouble = f"are off by {difference:.2g}"
    warnings.warn(
        f"the fused attention kernels {trouble} on {torch.cuda.get_device_name(device)} with torch "
        f"{torch.__version__}; the plain form, much slower there, takes their place: please report this",
        stacklevel=2,
    )
    return False


def largest_difference(plain: Form, fused: Form, example: Example, device: torch.device) -> float:
    """Between the outputs and the gradients of both forms on an example; NaN if there is one in either."""
    results = []
    # The first use of a model may well be inference.
    with torch.inference_mode(False), torch.enable_grad(), full_precision(device):
        first, *others = example(device)
        first.requires_grad_()
        for form in (plain, fused):
            out = form.apply(first.clone(), *others)  # Some write the gradient over their input.
            weight = torch.linspace(-1, 1, out.numel(), device=device).view_as(out)
            (gradient,) = torch.autograd.grad(out, first, weight)
            results.append((out.detach(), gradient.detach()))
    return float(torch.stack([(a - b).abs().max() for a, b in zip(*results, strict=True)]).max())
