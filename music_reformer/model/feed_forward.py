"""The feed-forward sublayer; position-wise, so exact when computed over chunks of the sequence (paper, section 3).

Shapes: E width, F inner width; inputs may have any leading shape.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Tokens per chunk: few on a CPU, so that logits stay in its cache and need no fresh memory; on a GPU enough that
# computing takes longer than launching kernels.
TOKENS, TOKENS_ON_GPU = 2048, 16_384


class FeedForward(nn.Module):
    """Linear, GELU (tanh form), linear (Transformer, arXiv 1706.03762, section 3.3, with GELU for ReLU).

    Args:
        width: E.
        inner_width: F.
    """

    def __init__(self, *, width: int, inner_width: int) -> None:
        super().__init__()
        self.to_inner = nn.Linear(width, inner_width)
        self.to_out = nn.Linear(inner_width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., E] to [..., E]."""
        return self.to_out(nn.functional.gelu(self.to_inner(x), approximate="tanh"))


def tokens_per_chunk(chunk: int, device: torch.device) -> int:
    """Tokens per chunk: `chunk`, or the device's default if that is 0."""
    return chunk or (TOKENS_ON_GPU if device.type == "cuda" else TOKENS)
