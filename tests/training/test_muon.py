"""Muon against `torch.optim.Muon`, and the orthogonal matrices that it steps along."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from music_reformer.training import muon as module
from music_reformer.training.muon import Muon, orthogonalize

SHAPES = [(6, 10), (10, 6), (6, 10), (8, 8)]


def matrices() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(3)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def set_gradients(parameters: list[nn.Parameter], step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def in_bfloat16(monkeypatch: pytest.MonkeyPatch, answer: bool) -> None:
    monkeypatch.setattr(module, "has_bfloat16", lambda device_type: answer)


def test_bfloat16_steps_are_those_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    in_bfloat16(monkeypatch, True)
    ours, theirs = matrices(), matrices()
    optimizer = Muon(ours, lr=0.02, weight_decay=0.3, momentum=0.8)
    reference = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.3, momentum=0.8, adjust_lr_fn="match_rms_adamw")
    for step in range(5):
        set_gradients(ours, step)
        set_gradients(theirs, step)
        optimizer.step()
        reference.step()
    for one, other in zip(ours, theirs, strict=True):
        # A step moves an entry by some 0.02; bfloat16 has three digits.
        torch.testing.assert_close(one, other, atol=2e-3, rtol=0)


def test_float32_and_bfloat16_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    gradients_NAB = torch.randn(3, 12, 30)
    in_bfloat16(monkeypatch, False)
    exact = orthogonalize(gradients_NAB)
    in_bfloat16(monkeypatch, True)
    assert exact.dtype == torch.float32
    torch.testing.assert_close(orthogonalize(gradients_NAB).float(), exact, atol=0.03, rtol=0)


@pytest.mark.parametrize("shape", [(2, 16, 40), (2, 40, 16)])
def test_singular_values_come_close_to_one_and_directions_stay(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]
) -> None:
    in_bfloat16(monkeypatch, False)
    matrix = torch.randn(shape)
    found = orthogonalize(matrix)
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.65
    assert values.max() < 1.25
    U, _, Vh = torch.linalg.svd(matrix, full_matrices=False)
    # In the matrix's own singular vectors what remains is diagonal.
    inside = U.mT @ found @ Vh.mT
    torch.testing.assert_close(inside, torch.diag_embed(inside.diagonal(dim1=1, dim2=2)), atol=1e-4, rtol=0)


def test_each_matrix_is_normalized_on_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    in_bfloat16(monkeypatch, False)
    small, large = torch.randn(1, 7, 9), 1e4 * torch.randn(1, 7, 9)
    together = orthogonalize(torch.cat([small, large]))
    torch.testing.assert_close(together[:1], orthogonalize(small))
    torch.testing.assert_close(together[1:], orthogonalize(large))


def test_parameters_without_gradient_stay() -> None:
    one, other = matrices()[:2]
    before = other.detach().clone()
    set_gradients([one], 0)
    Muon([one, other], lr=0.1, weight_decay=0.1, momentum=0.9).step()
    assert torch.equal(other, before)


def test_muon_accepts_matrices_only() -> None:
    with pytest.raises(ValueError, match=r"matrices, not a parameter of shape \(4,\)"):
        Muon([nn.Parameter(torch.zeros(4))], lr=0.1, weight_decay=0.0, momentum=0.9)
