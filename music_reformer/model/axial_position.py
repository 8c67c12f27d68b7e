"""Axial position embeddings (Reformer, arXiv 2001.04451, appendix): a long table composed of two short ones.

Shapes: E width; positions may have any shape.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AxialPosition(nn.Module):
    """Learned embedding of positions 0 to rows x columns - 1: a row part and a column part, concatenated.

    Args:
        shape: (rows, columns); position p is in row p // columns and column p % columns.
        width: E; the row part takes E // 2 of it.
    """

    def __init__(self, *, shape: tuple[int, int], width: int) -> None:
        super().__init__()
        rows, self.columns = shape
        self.row = nn.Embedding(rows, width // 2)
        self.column = nn.Embedding(self.columns, width - width // 2)

    def forward(self, position: Tensor) -> Tensor:
        """Embeddings [..., E] of positions [...], int64."""
        row = self.row(position.div(self.columns, rounding_mode="floor"))
        return torch.cat([row, self.column(position % self.columns)], dim=-1)
