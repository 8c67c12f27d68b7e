"""LSH attention against its definition, and its causality: attended keys exactly, values and gradients."""

from __future__ import annotations

import pytest
import torch

from music_reformer.model.attention.documents import Documents
from music_reformer.model.attention.lsh import LSHAttention
from reference.attention import attend, visible_keys

HEADS, WIDTH = 2, 8


def _layer(
    *, window: int = 8, num_buckets: tuple[int, ...] = (6,), num_rounds: int = 2, successor_values: bool = True
) -> LSHAttention:
    layer = LSHAttention(
        width=24,
        num_heads=HEADS,
        head_width=WIDTH,
        window=window,
        num_buckets=num_buckets,
        num_rounds=num_rounds,
        max_rounds=8,
        successor_values=successor_values,
    ).eval()
    norm = torch.nn.LayerNorm(24)
    torch.nn.init.normal_(norm.bias)
    layer.hash_across(norm)
    return layer


def _by_definition(layer: LSHAttention, x_BLE: torch.Tensor, document_BL: torch.Tensor) -> torch.Tensor:
    batch, length, _ = x_BLE.shape
    projected = layer.to_query_value(x_BLE).view(batch, length, 2, HEADS, WIDTH)
    query, value = projected.unbind(2)
    rows = []
    for b in range(batch):
        heads = []
        for h in range(HEADS):
            q, v = query[b, :, h], value[b, :, h]
            k = q / q.norm(dim=-1, keepdim=True) * WIDTH**0.5
            visible = []
            for r in range(layer.num_rounds):
                bucket = _bucket(layer, q, r, h)
                visible.append(visible_keys(document_BL[b] * layer.num_buckets[r] + bucket, layer.window))
            heads.append(attend(q, k, v, torch.stack(visible), avoid_self=True, successors=layer.successor_values))
        rows.append(torch.cat(heads, dim=-1))
    return layer.to_out(torch.stack(rows))


def _bucket(layer: LSHAttention, q_LD: torch.Tensor, round_: int, head: int) -> torch.Tensor:
    """Buckets [L]; a fine hash, which has two factors, ignores the direction of the norm's projected bias."""
    factors = layer.factors[round_]
    if len(factors) > 1:
        shift_D = (layer.to_query_value.weight @ layer._norm[0].bias)[head * WIDTH : (head + 1) * WIDTH]
        q_LD = q_LD - (q_LD @ shift_D / shift_D.square().sum()).unsqueeze(1) * shift_D
    bucket, first = 0, 0
    for factor in factors:
        rotated = q_LD @ layer.rotations_RHDK[round_, head, :, first : first + factor // 2]
        bucket = bucket * factor + torch.cat([rotated, -rotated], dim=-1).argmax(-1)
        first += factor // 2
    return bucket


@pytest.mark.parametrize("successor_values", [True, False])
@pytest.mark.parametrize(
    ("num_rounds", "num_buckets"), [(1, (6,)), (2, (6,)), (2, (4, 160)), (4, (4, 160)), (8, (6,))], ids=str
)
def test_attention_is_the_definition(num_rounds: int, num_buckets: tuple[int, ...], successor_values: bool) -> None:
    layer = _layer(num_rounds=num_rounds, num_buckets=num_buckets, successor_values=successor_values)
    x = torch.randn(2, 70, 24, requires_grad=True)
    document = torch.zeros(2, 70, dtype=torch.int64)
    document[0, 30:] = 1
    documents = Documents(document_BL=document, position_BL=torch.arange(70).expand(2, 70))
    actual, _ = layer(x, documents)
    expected = _by_definition(layer, x, document)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)
    grad = torch.randn_like(expected)
    inputs = [x, *layer.parameters()]
    for ours, theirs in zip(
        torch.autograd.grad(actual, inputs, grad), torch.autograd.grad(expected, inputs, grad), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_the_set_of_attended_keys_does_not_depend_on_the_future() -> None:
    """Exactly: with one-hot values the output names the keys, so two passes must agree to the last key."""
    layer = _layer(num_buckets=(4,))
    x = torch.randn(1, 120, 24)
    changed = x.clone()
    changed[:, 60:] = torch.randn(1, 60, 24)

    def buckets(x: torch.Tensor) -> torch.Tensor:
        query = layer._project(x)[:, :, 0]
        return layer.buckets(query)[:, 0]

    for r in range(layer.num_rounds):
        for h in range(HEADS):
            before = visible_keys(buckets(x)[r, :, h], layer.window)
            after = visible_keys(buckets(changed)[r, :, h], layer.window)
            assert torch.equal(before[:60], after[:60])
            assert not torch.equal(before[60:], after[60:]), "the test must change something"
    out, _ = layer(x, Documents.plain(x[..., 0].long()))
    out_changed, _ = layer(changed, Documents.plain(x[..., 0].long()))
    torch.testing.assert_close(out[:, :60], out_changed[:, :60], atol=1e-6, rtol=1e-6)


def test_rotations_are_fresh_in_training_and_fixed_in_evaluation() -> None:
    layer, x = _layer(), torch.randn(2, 64, 24)
    documents = Documents.plain(x[..., 0].long())
    stored = layer(x, documents)[1]
    layer.train()
    layer.redraw_rotations(range(1, 9))
    first = layer(x, documents)[1]
    layer.redraw_rotations(range(2, 9))
    second = layer(x, documents)[1]
    layer.redraw_rotations(range(1, 9))
    assert torch.equal(first, layer(x, documents)[1])
    assert not torch.equal(first, second)
    assert not torch.equal(first, stored)
    assert torch.equal(stored, layer.eval()(x, documents)[1])
