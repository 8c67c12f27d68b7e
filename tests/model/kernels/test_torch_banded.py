"""The banded kernel against the definition: outputs and gradients."""

from __future__ import annotations

import pytest
import torch

from music_reformer.model.attention import local as local_attention
from music_reformer.model.attention import lsh as lsh_attention
from music_reformer.model.kernels import torch_banded as kernel
from music_reformer.model.kernels.torch_banded import RowOrder, Workspace, rows_alone, sort_into_segments
from reference.attention import attend, visible_keys

CASES = [
    # length, window, segments, rounds, avoid_self
    (1, 4, 1, 1, True),
    (7, 8, 1, 1, False),
    (40, 8, 1, 1, False),
    (65, 8, 5, 1, True),
    (64, 16, 3, 2, True),
    (97, 4, 12, 4, True),
    (50, 2, 4, 2, True),
    (90, 8, 60, 2, True),  # most rows are alone in their segment
]


def _case(length: int, segments: int, rounds: int) -> tuple[torch.Tensor, ...]:
    tensors = [torch.randn(length, 16, requires_grad=True) for _ in range(3)]
    return (*tensors, torch.randint(0, segments, (rounds, length)))


class _OneHead(torch.autograd.Function):
    """Forward and backward of one head as one function; rows that are alone take their own value."""

    @staticmethod
    def forward(ctx, q, k, v, rounds, see_itself, window):  # type: ignore[no-untyped-def]
        rows = torch.stack([q, k, v], dim=1)
        out, lse = kernel.head_forward(rows, rounds, window=window, see_itself=see_itself, work=Workspace(q.device))
        out = out.clone()
        alone = [] if see_itself else rows_alone(rounds)
        out[alone], lse[alone] = v[alone], -kernel.MASKED
        ctx.kept = (lse, rows, rounds)
        ctx.out = out
        ctx.options = {"window": window, "see_itself": see_itself, "work": Workspace(q.device)}
        ctx.alone = alone
        return out

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        d_q, d_k, d_v = kernel.head_backward(torch.stack([grad, ctx.out], dim=1), *ctx.kept, **ctx.options)
        d_v[ctx.alone] += grad[ctx.alone]
        return d_q, d_k, d_v, None, None, None


def one_head(*tensors: torch.Tensor, rounds: list[RowOrder], avoid_self: bool, window: int = 8) -> torch.Tensor:
    return _OneHead.apply(*tensors, rounds, not avoid_self, window)


@pytest.mark.parametrize(("length", "window", "segments", "rounds", "avoid_self"), CASES)
def test_blocked_is_the_definition(length: int, window: int, segments: int, rounds: int, avoid_self: bool) -> None:
    q, k, v, segment_RL = _case(length, segments, rounds)
    visible = torch.stack([visible_keys(segment, window) for segment in segment_RL])
    expected = attend(q, k, v, visible, avoid_self=avoid_self)
    sorted_rounds = [sort_into_segments(s) for s in segment_RL]
    actual = one_head(q, k, v, rounds=sorted_rounds, avoid_self=avoid_self, window=window)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)
    grad = torch.randn_like(expected)
    for ours, theirs in zip(
        torch.autograd.grad(actual, (q, k, v), grad), torch.autograd.grad(expected, (q, k, v), grad), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_lines_of_torch_give_what_its_own_kernel_gives(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices other than the CPU run the plain lines, which must give the same results."""

    shape, window = (5, 1, 8, 16), 8
    q = torch.randn(shape) * scale
    k, v = torch.randn(5, 1, 2 * window, 16), torch.randn(5, 1, 2 * window, 16)
    bias = torch.where(torch.rand(5, 1, window, 2 * window) < 0.5, 0.0, kernel.MASKED)
    bias[..., 0] = 0.0
    flash, flash_lse = kernel._attend_forward(q, k, v, bias)
    d_out = torch.randn_like(flash)
    flash_grads = kernel._attend_backward(d_out, q, k, v, flash, flash_lse, bias)
    monkeypatch.setattr(kernel, "_has_flash_attention", lambda device: False)
    plain, plain_lse = kernel._attend_forward(q, k, v, bias)
    torch.testing.assert_close(plain, flash, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(plain_lse, flash_lse, atol=1e-5, rtol=1e-5)
    plain_grads = kernel._attend_backward(d_out, q, k, v, flash, flash_lse, bias)
    for a, b in zip(plain_grads, flash_grads, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5 * scale, rtol=1e-4)


@pytest.mark.parametrize("layer", ["lsh", "local"])
def test_plain_torch_form_stays_float32_under_autocast(layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Autocast would compute its products in bfloat16."""
    monkeypatch.setattr(kernel, "_has_flash_attention", lambda device: False)
    if layer == "local":
        form, example = local_attention.TorchLocalAttention, local_attention.local_example
    else:
        form, example = lsh_attention.TorchSharedAttention, lsh_attention.shared_example
    results = []
    for autocast in (False, True):
        rows, *others = example(torch.device("cpu"))
        rows.requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            out = form.apply(rows.clone(), *others)
            results.append((out, *torch.autograd.grad(out.square().sum(), rows)))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_groups_of_blocks_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v, segment_RL = _case(203, 3, 2)
    rounds = [sort_into_segments(s) for s in segment_RL]
    whole = one_head(q, k, v, rounds=rounds, avoid_self=True)
    grad = torch.randn_like(whole)
    whole_grads = torch.autograd.grad(whole, (q, k, v), grad)
    monkeypatch.setattr(kernel, "ROWS_PER_GROUP", 16)
    parts = one_head(q, k, v, rounds=rounds, avoid_self=True)
    torch.testing.assert_close(parts, whole, atol=1e-6, rtol=1e-6)
    for a, b in zip(torch.autograd.grad(parts, (q, k, v), grad), whole_grads, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-6)


def test_large_logits_stay_finite() -> None:
    q, k, v, segment_RL = _case(50, 4, 2)
    rounds = [sort_into_segments(s) for s in segment_RL]
    out = one_head(q * 300, k * 300, v, rounds=rounds, avoid_self=True)
    grads = torch.autograd.grad(out.sum(), (q, k, v))
    assert out.isfinite().all()
    assert all(grad.isfinite().all() for grad in grads)


def test_sorting_keeps_the_order_within_a_segment() -> None:
    one = sort_into_segments(torch.tensor([2, 0, 2, 1, 0]))
    assert one.order_N.tolist() == [1, 4, 3, 0, 2]
    assert one.segment_N.tolist() == [0, 0, 1, 2, 2]
    assert one.begins().tolist() == [True, False, True, True, False]
