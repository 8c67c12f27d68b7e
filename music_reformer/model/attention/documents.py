"""Documents and positions of a batch, which attention needs besides the activations.

Shapes: B batch, L tokens, H heads, D head width.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from music_reformer.model.attention.rotary import Rotation, rotary_table
from music_reformer.model.kernels.torch_banded import RowOrder


@dataclass
class Documents:
    """Documents and positions of one batch; shared by all layers.

    Attributes:
        document_BL: number of each token's document, int64. Tokens see only their own document, whose tokens are
            adjacent.
        position_BL: position of each token in its document, int64.
    """

    document_BL: Tensor
    position_BL: Tensor
    _rotary: dict[int, Rotation] = field(default_factory=dict)
    _segments: dict[int, Tensor] = field(default_factory=dict)
    _group_BL: Tensor | None = None

    @classmethod
    def plain(cls, tokens_BL: Tensor) -> Documents:
        """One document per row, positions from 0."""
        row_B1, position_L = _row_numbers(tokens_BL), torch.arange(tokens_BL.shape[1], device=tokens_BL.device)
        return cls(
            document_BL=torch.zeros_like(tokens_BL),
            position_BL=position_L.expand_as(tokens_BL),
            _group_BL=row_B1.expand_as(tokens_BL).contiguous(),
        )

    @property
    def single_document(self) -> bool:
        """Whether every row is one document."""
        return bool((self.document_BL == self.document_BL[:, :1]).all())

    @property
    def group_BL(self) -> Tensor:
        """A number for each (row, document), int64 [B, L]: tokens attend only within their group."""
        if self._group_BL is None:
            lowest = self.document_BL.amin()
            num_documents = self.document_BL.amax() - lowest + 1
            self._group_BL = _row_numbers(self.document_BL) * num_documents + (self.document_BL - lowest)
        return self._group_BL

    def segments(self, num_buckets: int) -> Tensor:
        """First segment of each token's group, int64 [B, L]; a group has `num_buckets` segments, one per bucket."""
        if num_buckets not in self._segments:
            self._segments[num_buckets] = self.group_BL * num_buckets
        return self._segments[num_buckets]

    def in_order(self) -> RowOrder:
        """Tokens in the order of the batch, one segment per document: the single round of local attention."""
        segment_N = self.group_BL.flatten()
        return RowOrder(order_N=torch.arange(segment_N.numel(), device=segment_N.device), segment_N=segment_N)

    def rotary(self, head_width: int) -> Rotation:
        """Cosines and sines of rotary positions, float32 [B, L, 1, D / 2] each."""
        if head_width not in self._rotary:
            self._rotary[head_width] = rotary_table(self.position_BL.unsqueeze(-1), head_width)
        return self._rotary[head_width]


def _row_numbers(x_BL: Tensor) -> Tensor:
    """Numbers of the rows, int64 [B, 1]."""
    return torch.arange(x_BL.shape[0], device=x_BL.device).unsqueeze(1)
