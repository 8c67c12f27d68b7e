"""Rotary positions (RoFormer, arXiv 2104.09864): queries and keys are rotated by angles that grow with position.

Shapes: D head width; positions may have any shape.
"""

from __future__ import annotations

import torch
from torch import Tensor

Rotation = tuple[Tensor, Tensor]


def rotary_table(position: Tensor, head_width: int) -> Rotation:
    """Cosines and sines for positions of any shape [...]: float32 [..., D / 2] each.

    The angle is taken in float64: at position 1,000,000 a float32 angle is off by 0.06 radians.
    """
    exponent = torch.arange(0, head_width, 2, dtype=torch.float64, device=position.device) / head_width
    angle = position.unsqueeze(-1).double() * 10_000.0**-exponent
    return angle.cos().float(), angle.sin().float()


def rotate(x: Tensor, rotation: Rotation, out: Tensor | None = None) -> Tensor:
    """Rotate the two halves of the last dimension, as pairs, by each position's angles.

    With `out`, the result is written there, without autograd; `out` must not be `x`.
    """
    cosine, sine = rotation
    first, second = x.chunk(2, dim=-1)
    if out is None:
        return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)
    out_first, out_second = out.chunk(2, dim=-1)
    torch.mul(first, cosine, out=out_first).addcmul_(second, sine, value=-1.0)
    torch.mul(first, sine, out=out_second).addcmul_(second, cosine)
    return out
