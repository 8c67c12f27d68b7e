"""Dense causal attention with rotary positions: the baseline that LSH attention is measured against.

Shapes: B batch, L tokens, E width, H heads, D head width.
"""

from __future__ import annotations

from torch import Tensor, nn

from music_reformer.model.attention.cache import GrowingCache, Moment
from music_reformer.model.attention.documents import Sequence
from music_reformer.model.attention.rotary import project_rotated, rotary_step


class FullAttention(nn.Module):
    """Causal self-attention to every earlier token of the same document, itself included.

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

    def forward(self, x_BLE: Tensor, sequence: Sequence, saved: None = None) -> tuple[Tensor, None]:
        """Attend: [B, L, E]. The second value is for layers that must repeat a choice; this one makes none."""
        out_BLE, _, _ = self._attend(x_BLE, sequence)
        return out_BLE, None

    def prefill(self, x_BLE: Tensor, sequence: Sequence) -> tuple[Tensor, GrowingCache]:
        """The parallel pass over a prompt, and the cache from which `step` goes on."""
        out_BLE, key_BHLD, value_BHLD = self._attend(x_BLE, sequence)
        return out_BLE, GrowingCache.filled(key_BHLD, value_BHLD)

    def step(self, x_BE: Tensor, cache: GrowingCache, moment: Moment) -> Tensor:
        """One token more for every row; the cache is updated in place. Costs O(L)."""
        out = rotary_step(
            self.to_query_key_value, x_BE, cache, moment, num_heads=self.num_heads, head_width=self.head_width
        )
        return self.to_out(out)

    def _attend(self, x_BLE: Tensor, sequence: Sequence) -> tuple[Tensor, Tensor, Tensor]:
        query_BLHD, key_BLHD, value_BLHD = project_rotated(
            self.to_query_key_value,
            x_BLE,
            num_heads=self.num_heads,
            head_width=self.head_width,
            rotation=sequence.rotary(self.head_width),
        )
        query_BHLD = query_BLHD.transpose(1, 2)
        key_BHLD = key_BLHD.transpose(1, 2)
        value_BHLD = value_BLHD.transpose(1, 2)
        attend = nn.functional.scaled_dot_product_attention
        if sequence.single_document:
            out_BHLD = attend(query_BHLD, key_BHLD, value_BHLD, is_causal=True)
        else:
            document_BL = sequence.document_BL
            same_B1LL = (document_BL.unsqueeze(2) == document_BL.unsqueeze(1)).tril().unsqueeze(1)
            out_BHLD = attend(query_BHLD, key_BHLD, value_BHLD, attn_mask=same_B1LL)
        return self.to_out(out_BHLD.transpose(1, 2).flatten(2)), key_BHLD, value_BHLD
