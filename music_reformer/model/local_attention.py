"""Sliding-window attention with rotary positions: the layer that alternates with LSH attention.

Shapes: B batch, L tokens, E width, H heads, D head width, W window.
"""

from __future__ import annotations

from torch import Tensor, nn

from music_reformer.model.banded_attention import banded_attention
from music_reformer.model.decode_state import RecentCache
from music_reformer.model.rotary import project_rotated, rotary_step
from music_reformer.model.sequence import Sequence


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
        out_BLE, _, _ = self._attend(x_BLE, sequence)
        return out_BLE, None

    def prefill(self, x_BLE: Tensor, sequence: Sequence) -> tuple[Tensor, RecentCache]:
        """The parallel pass over a prompt, and the cache from which `step` goes on."""
        out_BLE, key_BLHD, value_BLHD = self._attend(x_BLE, sequence)
        return out_BLE, RecentCache.filled(key_BLHD, value_BLHD, window=self.window)

    def step(self, x_BE: Tensor, cache: RecentCache) -> Tensor:
        """One token more for every row; the cache is updated in place."""
        out = rotary_step(self.to_query_key_value, x_BE, cache, num_heads=self.num_heads, head_width=self.head_width)
        return self.to_out(out)

    def _attend(self, x_BLE: Tensor, sequence: Sequence) -> tuple[Tensor, Tensor, Tensor]:
        query_BLHD, key_BLHD, value_BLHD = project_rotated(
            self.to_query_key_value,
            x_BLE,
            num_heads=self.num_heads,
            head_width=self.head_width,
            rotation=sequence.rotary(self.head_width),
        )
        out_BLHD = banded_attention(query_BLHD, key_BLHD, value_BLHD, sequence.in_order(), window=self.window)
        return self.to_out(out_BLHD.flatten(2)), key_BLHD, value_BLHD
