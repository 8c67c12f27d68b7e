"""Axial positions: the outer sum written out, every position distinct, gradients where they belong."""

from __future__ import annotations

import torch

from music_reformer.model.axial_position import AxialPosition


def test_embeddings_are_the_table_written_out() -> None:
    """Also for an odd width: the column part has the larger half."""
    layer = AxialPosition(shape=(3, 5), width=7)
    table = torch.stack(
        [torch.cat([layer.row.weight[row], layer.column.weight[column]]) for row in range(3) for column in range(5)]
    )
    assert layer.row.weight.shape == (3, 3)
    assert layer.column.weight.shape == (5, 4)
    assert torch.equal(layer(torch.arange(15)), table)
    position = torch.randint(0, 15, (2, 3, 4))
    assert torch.equal(layer(position), table[position])
    assert len(table.unique(dim=0)) == 15


def test_a_position_gives_gradients_to_its_row_and_column_only() -> None:
    layer = AxialPosition(shape=(3, 5), width=6)
    layer(torch.tensor([7])).sum().backward()
    assert layer.row.weight.grad is not None
    assert layer.column.weight.grad is not None
    assert layer.row.weight.grad.any(dim=1).tolist() == [False, True, False]
    assert layer.column.weight.grad.any(dim=1).tolist() == [False, False, True, False, False]
