"""The self-check: a form that agrees is used without a warning; one that fails, differs or gives NaN is not used."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

from music_reformer.model.kernels.verified import TOLERANCE, agrees, attention_difference, bucket_difference

CPU = torch.device("cpu")


def check(difference: Callable[[], float]) -> bool:
    return agrees(difference, name="the quick kernels", machine=lambda: "this machine", instead="the plain form runs")


@pytest.mark.parametrize("difference", [0.0, 1e-5, TOLERANCE])
def test_a_form_that_agrees_is_used_without_a_warning(difference: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check(lambda: difference)


@pytest.mark.parametrize(
    ("difference", "text"), [(2 * TOLERANCE, "by 0.02"), (float("inf"), "by inf"), (float("nan"), "by nan")]
)
def test_a_form_that_differs_is_not_used_and_causes_a_warning(difference: float, text: str) -> None:
    message = f"^the quick kernels differed from the plain form {text} on this machine; the plain form runs"
    with pytest.warns(UserWarning, match=message):
        assert not check(lambda: difference)


def test_a_form_that_fails_is_not_used_and_causes_a_warning() -> None:
    def fail() -> float:
        raise RuntimeError("no such instruction")

    with pytest.warns(UserWarning, match=r"kernels failed \(RuntimeError: no such instruction\) on this machine"):
        assert not check(fail)


class _Cube(torch.autograd.Function):
    """x^3; a factor for its output and one for its gradient, so that each can be wrong by itself."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, factors: tuple[float, float]) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.factors = factors
        return factors[0] * x**3

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        (x,) = ctx.saved_tensors
        return ctx.factors[1] * 3 * x**2 * grads[0], None


class _Form:
    """An autograd function with factors of its own."""

    def __init__(self, out: float, gradient: float) -> None:
        self.factors = (out, gradient)

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        return _Cube.apply(x, self.factors)


def _example(device: torch.device) -> tuple[torch.Tensor]:
    return (torch.linspace(-1, 1, 11, device=device),)


@pytest.mark.parametrize(
    ("out", "gradient", "expected"), [(1.0, 1.0, 0.0), (1.5, 1.0, 0.5), (1.0, 1.5, 1.5), (1.0, float("nan"), None)]
)
def test_outputs_and_gradients_are_compared(out: float, gradient: float, expected: float | None) -> None:
    """Under inference and autocast, too: the first use of a model may be in either."""
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        found = attention_difference(_Form(1.0, 1.0), _Form(out, gradient), _example, CPU)
    assert found == (pytest.approx(expected) if expected is not None else pytest.approx(float("nan"), nan_ok=True))


def test_buckets_are_compared_by_the_share_that_differs() -> None:
    def example(device: torch.device) -> list[torch.Tensor]:
        return [torch.arange(8, device=device)]

    assert bucket_difference(lambda x: x, lambda x: x, example, CPU) == 0
    assert bucket_difference(lambda x: x, lambda x: x.clamp(max=5), example, CPU) == 0.25
