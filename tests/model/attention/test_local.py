"""Local and full attention against their definition: outputs and gradients."""

from __future__ import annotations

import pytest
import torch

from music_reformer.model.attention.documents import Documents
from music_reformer.model.attention.local import FullAttention, LocalAttention, project_rotated
from reference.attention import attend, visible_keys

HEADS, WIDTH, WINDOW = 3, 16, 8


@pytest.mark.parametrize("kind", ["local", "full"])
@pytest.mark.parametrize("packed", [False, True])
def test_attention_is_the_definition(kind: str, packed: bool) -> None:
    """Full attention is local attention with a window as long as the sequence."""
    if kind == "local":
        layer: LocalAttention | FullAttention = LocalAttention(
            width=24, num_heads=HEADS, head_width=WIDTH, window=WINDOW
        )
    else:
        layer = FullAttention(width=24, num_heads=HEADS, head_width=WIDTH)
    window = WINDOW if kind == "local" else 45
    x_BLE = torch.randn(2, 45, 24, requires_grad=True)
    document_BL = torch.tensor([[0] * 20 + [1] * 25 if packed else [0] * 45, [0] * 45])
    documents = Documents(document_BL=document_BL, position_BL=torch.randint(0, 1000, (2, 45)))
    actual, _ = layer(x_BLE, documents)
    query, key, value = project_rotated(
        layer.to_query_key_value, x_BLE, num_heads=HEADS, head_width=WIDTH, rotation=documents.rotary(WIDTH)
    )
    rows = []
    for row, document_L in enumerate(document_BL):
        visible = visible_keys(document_L, window).unsqueeze(0)
        heads = [
            attend(query[row, :, h], key[row, :, h], value[row, :, h], visible, avoid_self=False) for h in range(HEADS)
        ]
        rows.append(torch.cat(heads, dim=-1))
    expected = layer.to_out(torch.stack(rows))
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)
    grad, inputs = torch.randn_like(expected), [x_BLE, *layer.parameters()]
    for ours, theirs in zip(
        torch.autograd.grad(actual, inputs, grad), torch.autograd.grad(expected, inputs, grad), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
