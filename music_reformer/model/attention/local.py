"""Sliding-window attention with rotary positions: the layer that alternates with LSH attention.

Shapes: B batch, L tokens, E width, H heads, D head width, W window.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from music_reformer.model.attention.cache import Moment, RecentCache
from music_reformer.model.attention.documents import Sequence
from music_reformer.model.attention.rotary import Rotation, rotary_step, rotate
from music_reformer.model.kernels.torch_banded import Round, Workspace, head_backward, head_forward, side_by_side
from music_reformer.model.kernels.triton_attention import FusedLocalAttention, form_for


class LocalAttention(nn.Module):
    """Causal self-attention to the last W tokens of the same document, itself included.

    Args:
        width: E, of the residual stream.
        num_heads: H.
        head_width: D.
        window: W, in tokens.
    """

    def __init__(self, *, width: int, num_heads: int, head_width: int, window: int) -> None:
        super().__init__()
        self.num_heads, self.head_width, self.window = num_heads, head_width, window
        self.to_query_key_value = nn.Linear(width, 3 * num_heads * head_width, bias=False)
        self.to_out = nn.Linear(num_heads * head_width, width, bias=False)

    def forward(self, x_BLE: Tensor, sequence: Sequence, saved: None = None) -> tuple[Tensor, None]:
        """Attend: [B, L, E]. The second value is for layers that must repeat a choice; this one makes none."""
        return self._attend(x_BLE, sequence)[0], None

    def prefill(self, x_BLE: Tensor, sequence: Sequence) -> tuple[Tensor, RecentCache]:
        """The parallel pass over a prompt, and the cache from which `step` goes on."""
        out_BLE, query_key_value_BLTHD = self._attend(x_BLE, sequence)
        _, key_BLHD, value_BLHD = query_key_value_BLTHD.float().unbind(dim=2)
        rotated_BLHD = rotate(key_BLHD, sequence.rotary(self.head_width))
        return out_BLE, RecentCache.filled(rotated_BLHD, value_BLHD, window=self.window)

    def step(self, x_BE: Tensor, cache: RecentCache, moment: Moment) -> Tensor:
        """One token more for every row; the cache is updated in place."""
        out = rotary_step(
            self.to_query_key_value, x_BE, cache, moment, num_heads=self.num_heads, head_width=self.head_width
        )
        return self.to_out(out)

    def _attend(self, x_BLE: Tensor, sequence: Sequence) -> tuple[Tensor, Tensor]:
        shape = (*x_BLE.shape[:2], 3, self.num_heads, self.head_width)
        attention = form_for(x_BLE.device, _LocalAttention, FusedLocalAttention, _example)
        query_key_value_BLTHD = self.to_query_key_value(x_BLE).view(shape)
        out_BLHD = attention.apply(
            query_key_value_BLTHD, *sequence.rotary(self.head_width), sequence.in_order(), self.window
        )
        return self.to_out(out_BLHD.flatten(2)), query_key_value_BLTHD.detach()


def _example(device: torch.device) -> tuple[Tensor, Tensor, Tensor, Round, int]:
    """Arguments of an attention with rotary queries and keys, to try one on."""
    query_key_value_BLTHD = torch.randn(2, 150, 3, 2, 64, generator=torch.Generator().manual_seed(0)).to(device)
    sequence = Sequence.plain(torch.zeros(2, 150, dtype=torch.int64, device=device))
    return query_key_value_BLTHD, *sequence.rotary(64), sequence.in_order(), 40


class _LocalAttention(torch.autograd.Function):
    """Rotation and attention, one head after another: nothing rotated of the size of the input is kept or made.

    The gradient takes the place of the input, which nothing else needs: at a million tokens it is 3 GB. Autograd
    refuses a second backward through the same graph.
    """

    @staticmethod
    def forward(ctx, query_key_value_BLTHD, cosine_BL1P, sine_BL1P, one, window):  # type: ignore[no-untyped-def]
        query_key_value_BLTHD = query_key_value_BLTHD.float()  # Under autocast it is not.
        batch, length, _, num_heads, width = query_key_value_BLTHD.shape
        rotation = (cosine_BL1P.squeeze(2), sine_BL1P.squeeze(2))
        out_BLHD = query_key_value_BLTHD.new_empty(batch, length, num_heads, width)
        work = Workspace(out_BLHD.device)
        logsumexps = []
        for head in range(num_heads):
            rows_N3D = _head(query_key_value_BLTHD[:, :, :, head], rotation, work)
            out_ND, lse_N = head_forward(rows_N3D, [one], window=window, see_itself=True, work=work)
            out_BLHD[:, :, head] = out_ND.view(batch, length, width)
            logsumexps.append(lse_N)
        ctx.save_for_backward(query_key_value_BLTHD, out_BLHD, *rotation, *logsumexps)
        ctx.one, ctx.window = one, window
        return out_BLHD

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_BLHD):  # type: ignore[no-untyped-def]
        query_key_value_BLTHD, out_BLHD, cosine_BLP, sine_BLP, *logsumexps = ctx.saved_tensors
        back = (cosine_BLP, -sine_BLP)
        work = Workspace(out_BLHD.device)
        for head, lse_N in enumerate(logsumexps):
            rows_N3D = _head(query_key_value_BLTHD[:, :, :, head], (cosine_BLP, sine_BLP), work)
            grad_out_N2D = side_by_side(grad_BLHD[:, :, head], out_BLHD[:, :, head], work)
            gradients = head_backward(
                grad_out_N2D, lse_N, rows_N3D, [ctx.one], window=ctx.window, see_itself=True, work=work
            )
            of_head_BLTD = query_key_value_BLTHD[:, :, :, head]
            d_query_BLD, d_key_BLD, d_value_BLD = (x.view(of_head_BLTD[:, :, 0].shape) for x in gradients)
            rotate(d_query_BLD, back, out=of_head_BLTD[:, :, 0])
            rotate(d_key_BLD, back, out=of_head_BLTD[:, :, 1])
            of_head_BLTD[:, :, 2] = d_value_BLD
        return query_key_value_BLTHD, None, None, None, None


def _head(query_key_value_BLTD: Tensor, rotation: Rotation, work: Workspace) -> Tensor:
    """Rotated queries and keys, and values, of one head, [N, 3, D]; in `work`."""
    batch, length, _, width = query_key_value_BLTD.shape
    rows_N3D = work.take("rows", batch * length, 3, width)
    rows_BL3D = rows_N3D.view(query_key_value_BLTD.shape)
    for part in (0, 1):
        rotate(query_key_value_BLTD[:, :, part], rotation, out=rows_BL3D[:, :, part])
    rows_BL3D[:, :, 2] = query_key_value_BLTD[:, :, 2]
    return rows_N3D
