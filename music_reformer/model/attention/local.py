"""Causal attention with rotary positions: to the last W tokens (local), or to all earlier tokens (full).

Shapes: B batch, L tokens, E width, H heads, D head width, P = D / 2 rotated pairs, W window, M keys in a cache,
N = B L rows of one head.

Local attention alternates with LSH attention. Full attention is the dense baseline that LSH attention is measured
against; it costs O(L^2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from music_reformer.model.attention.cache import GrowingCache, Moment, RecentCache
from music_reformer.model.attention.documents import Documents
from music_reformer.model.attention.rotary import Rotation, rotate
from music_reformer.model.kernels.torch_banded import RowOrder, Workspace, head_backward, head_forward, side_by_side
from music_reformer.model.kernels.triton_attention import TritonLocalAttention, form_for


class LocalAttention(nn.Module):
    """Causal self-attention to the last W tokens of the same document, itself included; rotary positions.

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

    def forward(self, x_BLE: Tensor, documents: Documents, saved: None = None) -> tuple[Tensor, None]:
        """Output [B, L, E], and None: this layer makes no choices that a recomputation must repeat."""
        return self._attend(x_BLE, documents)[0], None

    def prefill(self, x_BLE: Tensor, documents: Documents, num_rounds: int) -> tuple[Tensor, RecentCache]:
        """Output [B, L, E] for prompts, and the cache with which `step` continues; `num_rounds` is unused."""
        out_BLE, query_key_value_BLTHD = self._attend(x_BLE, documents)
        _, key_BLHD, value_BLHD = query_key_value_BLTHD.float().unbind(dim=2)
        rotated_BLHD = rotate(key_BLHD, documents.rotary(self.head_width))
        return out_BLE, RecentCache.filled(rotated_BLHD, value_BLHD, window=self.window)

    def step(self, x_BE: Tensor, cache: RecentCache, moment: Moment) -> Tensor:
        """Output [B, E] for one more token in every row; the cache is updated in place."""
        out = rotary_step(
            self.to_query_key_value, x_BE, cache, moment, num_heads=self.num_heads, head_width=self.head_width
        )
        return self.to_out(out)

    def _attend(self, x_BLE: Tensor, documents: Documents) -> tuple[Tensor, Tensor]:
        shape = (*x_BLE.shape[:2], 3, self.num_heads, self.head_width)
        attention = form_for(x_BLE.device, TorchLocalAttention, TritonLocalAttention, local_example)
        query_key_value_BLTHD = self.to_query_key_value(x_BLE).view(shape)
        out_BLHD = attention.apply(
            query_key_value_BLTHD, *documents.rotary(self.head_width), documents.in_order(), self.window
        )
        return self.to_out(out_BLHD.flatten(2)), query_key_value_BLTHD.detach()


class FullAttention(nn.Module):
    """Causal self-attention to every earlier token of the same document, itself included; rotary positions.

    Args:
        width: E, of the residual stream.
        num_heads: H.
        head_width: D.
    """

    def __init__(self, *, width: int, num_heads: int, head_width: int) -> None:
        super().__init__()
        self.num_heads, self.head_width = num_heads, head_width
        self.to_query_key_value = nn.Linear(width, 3 * num_heads * head_width, bias=False)
        self.to_out = nn.Linear(num_heads * head_width, width, bias=False)

    def forward(self, x_BLE: Tensor, documents: Documents, saved: None = None) -> tuple[Tensor, None]:
        """Output [B, L, E], and None: this layer makes no choices that a recomputation must repeat."""
        out_BLE, _, _ = self._attend(x_BLE, documents)
        return out_BLE, None

    def prefill(self, x_BLE: Tensor, documents: Documents, num_rounds: int) -> tuple[Tensor, GrowingCache]:
        """Output [B, L, E] for prompts, and the cache with which `step` continues; `num_rounds` is unused."""
        out_BLE, key_BHLD, value_BHLD = self._attend(x_BLE, documents)
        return out_BLE, GrowingCache.filled(key_BHLD, value_BHLD)

    def step(self, x_BE: Tensor, cache: GrowingCache, moment: Moment) -> Tensor:
        """Output [B, E] for one more token in every row; the cache is updated in place. Costs O(L)."""
        out = rotary_step(
            self.to_query_key_value, x_BE, cache, moment, num_heads=self.num_heads, head_width=self.head_width
        )
        return self.to_out(out)

    def _attend(self, x_BLE: Tensor, documents: Documents) -> tuple[Tensor, Tensor, Tensor]:
        query_BLHD, key_BLHD, value_BLHD = project_rotated(
            self.to_query_key_value,
            x_BLE,
            num_heads=self.num_heads,
            head_width=self.head_width,
            rotation=documents.rotary(self.head_width),
        )
        query_BHLD = query_BLHD.transpose(1, 2)
        key_BHLD = key_BLHD.transpose(1, 2)
        value_BHLD = value_BLHD.transpose(1, 2)
        if documents.single_document:
            out_BHLD = scaled_dot_product_attention(query_BHLD, key_BHLD, value_BHLD, is_causal=True)
        else:
            document_BL = documents.document_BL
            same_B1LL = (document_BL.unsqueeze(2) == document_BL.unsqueeze(1)).tril().unsqueeze(1)
            out_BHLD = scaled_dot_product_attention(query_BHLD, key_BHLD, value_BHLD, attn_mask=same_B1LL)
        return self.to_out(out_BHLD.transpose(1, 2).flatten(2)), key_BHLD, value_BHLD


def project_rotated(
    layer: nn.Linear, x: Tensor, *, num_heads: int, head_width: int, rotation: Rotation
) -> tuple[Tensor, Tensor, Tensor]:
    """Rotated queries, rotated keys, and values of inputs [..., E]: [..., H, D] each, float32."""
    shape = (*x.shape[:-1], 3, num_heads, head_width)
    query, key, value = layer(x).view(shape).float().unbind(dim=-3)
    return rotate(query, rotation), rotate(key, rotation), value


def rotary_step(
    layer: nn.Linear,
    x_BE: Tensor,
    cache: RecentCache | GrowingCache,
    moment: Moment,
    *,
    num_heads: int,
    head_width: int,
) -> Tensor:
    """Append a token to the cache and attend from it to all cached tokens, itself included; [B, H D]."""
    query_key_BXHD, value_BHD = layer(x_BE).view(len(x_BE), 3, num_heads, head_width).float().split([2, 1], dim=1)
    query_BHD, key_BHD = rotate(query_key_BXHD, moment.rotary(head_width)).unbind(dim=1)
    key_BHMD, value_BHMD, bias = cache.append(key_BHD, value_BHD.squeeze(1), moment)
    return scaled_dot_product_attention(query_BHD.unsqueeze(2), key_BHMD, value_BHMD, attn_mask=bias).flatten(1)


def local_example(device: torch.device) -> tuple[Tensor, Tensor, Tensor, RowOrder, int]:
    """Example arguments for comparing implementations of local attention."""
    query_key_value_BLTHD = torch.randn(2, 150, 3, 2, 64, generator=torch.Generator().manual_seed(0)).to(device)
    documents = Documents.plain(torch.zeros(2, 150, dtype=torch.int64, device=device))
    return query_key_value_BLTHD, *documents.rotary(64), documents.in_order(), 40


class TorchLocalAttention(torch.autograd.Function):
    """Rotation and attention, one head after another, so that only one head's rotated rows exist at a time.

    The gradient overwrites the input, which nothing else needs: at a million tokens it takes 3 GB. Autograd refuses a
    second backward through the same graph.
    """

    @staticmethod
    def forward(ctx, query_key_value_BLTHD, cosine_BL1P, sine_BL1P, order, window):  # type: ignore[no-untyped-def]
        """Attend.

        Args:
            query_key_value_BLTHD: queries, keys and values, not rotated yet, [B, L, 3, H, D].
            cosine_BL1P, sine_BL1P: rotary positions (`rotary_table`).
            order: the single round (`Documents.in_order`).
            window: W.

        Returns:
            Output [B, L, H, D], float32.
        """
        query_key_value_BLTHD = query_key_value_BLTHD.float()  # bfloat16 under autocast
        batch, length, _, num_heads, width = query_key_value_BLTHD.shape
        rotation = (cosine_BL1P.squeeze(2), sine_BL1P.squeeze(2))
        out_BLHD = query_key_value_BLTHD.new_empty(batch, length, num_heads, width)
        work = Workspace(out_BLHD.device)
        logsumexps = []
        for head in range(num_heads):
            rows_N3D = _head(query_key_value_BLTHD[:, :, :, head], rotation, work)
            out_ND, lse_N = head_forward(rows_N3D, [order], window=window, see_itself=True, work=work)
            out_BLHD[:, :, head] = out_ND.view(batch, length, width)
            logsumexps.append(lse_N)
        ctx.save_for_backward(query_key_value_BLTHD, out_BLHD, *rotation, *logsumexps)
        ctx.order, ctx.window = order, window
        return out_BLHD

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_BLHD):  # type: ignore[no-untyped-def]
        """Gradient of the first argument; the others have none."""
        query_key_value_BLTHD, out_BLHD, cosine_BLP, sine_BLP, *logsumexps = ctx.saved_tensors
        back = (cosine_BLP, -sine_BLP)
        work = Workspace(out_BLHD.device)
        for head, lse_N in enumerate(logsumexps):
            rows_N3D = _head(query_key_value_BLTHD[:, :, :, head], (cosine_BLP, sine_BLP), work)
            grad_out_N2D = side_by_side(grad_BLHD[:, :, head], out_BLHD[:, :, head], work)
            gradients = head_backward(
                grad_out_N2D, lse_N, rows_N3D, [ctx.order], window=ctx.window, see_itself=True, work=work
            )
            of_head_BLTD = query_key_value_BLTHD[:, :, :, head]
            d_query_BLD, d_key_BLD, d_value_BLD = (x.view(of_head_BLTD[:, :, 0].shape) for x in gradients)
            rotate(d_query_BLD, back, out=of_head_BLTD[:, :, 0])
            rotate(d_key_BLD, back, out=of_head_BLTD[:, :, 1])
            of_head_BLTD[:, :, 2] = d_value_BLD
        return query_key_value_BLTHD, None, None, None, None


def _head(query_key_value_BLTD: Tensor, rotation: Rotation, work: Workspace) -> Tensor:
    """Rotated queries, rotated keys and values of one head, [N, 3, D]; a buffer of `work`."""
    batch, length, _, width = query_key_value_BLTD.shape
    rows_N3D = work.take("rows", batch * length, 3, width)
    rows_BL3D = rows_N3D.view(query_key_value_BLTD.shape)
    for part in (0, 1):
        rotate(query_key_value_BLTD[:, :, part], rotation, out=rows_BL3D[:, :, part])
    rows_BL3D[:, :, 2] = query_key_value_BLTD[:, :, 2]
    return rows_N3D
