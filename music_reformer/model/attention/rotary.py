"""Rotary positions (RoFormer, arXiv 2104.09864), and what local and full attention share by using them.

Shapes: B batch, L tokens, E width, H heads, D head width, W keys that are seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

if TYPE_CHECKING:
    from music_reformer.model.attention.cache import GrowingCache, Moment, RecentCache

Rotation = tuple[Tensor, Tensor]


def rotary_table(position: Tensor, head_width: int) -> Rotation:
    """Cosine and sine for positions of any shape [...]: float32 [..., D / 2].

    The angle is taken in float64: at position 1,000,000 a float32 angle is off by 0.06 radians.
    """
    exponent = torch.arange(0, head_width, 2, dtype=torch.float64, device=position.device) / head_width
    angle = position.unsqueeze(-1).double() * 10_000.0**-exponent
    return angle.cos().float(), angle.sin().float()


def rotate(x: Tensor, rotation: Rotation, out: Tensor | None = None) -> Tensor:
    """Rotate the two halves of the last dimension by the angle of each position; into `out` without autograd."""
    cosine, sine = rotation
    first, second = x.chunk(2, dim=-1)
    if out is None:
        return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)
    out_first, out_second = out.chunk(2, dim=-1)
    torch.mul(first, cosine, out=out_first).addcmul_(second, sine, value=-1.0)
    torch.mul(first, sine, out=out_second).addcmul_(second, cosine)
    return out


def project_rotated(
    layer: nn.Linear, x: Tensor, *, num_heads: int, head_width: int, rotation: Rotation
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys, rotated, and values of inputs [..., E]: [..., H, D] each, float32."""
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
    """Attend from one token more to what the cache holds, itself included; the cache is updated in place. [B, H D]."""
    query_key_BXHD, value_BHD = layer(x_BE).view(len(x_BE), 3, num_heads, head_width).float().split([2, 1], dim=1)
    query_BHD, key_BHD = rotate(query_key_BXHD, moment.rotary(head_width)).unbind(dim=1)
    key_BHMD, value_BHMD, bias = cache.append(key_BHD, value_BHD.squeeze(1), moment)
    return scaled_dot_product_attention(query_BHD.unsqueeze(2), key_BHMD, value_BHMD, attn_mask=bias).flatten(1)
