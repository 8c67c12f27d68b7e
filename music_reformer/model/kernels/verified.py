"""Self-checks: a fast form is used on a machine only where it agrees with the plain one there.

A compiler may fail, or compile wrongly, on a machine that nobody here has seen. Each fast form is therefore tried once
a process against the plain form of the same computation; where they differ, a warning says so and the plain form runs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch

from music_reformer.model.precision import full_precision

# Makes the example arguments for both forms on a device.
Example = Callable[[torch.device], Iterable[Any]]

# Largest difference that rounding explains, products in TF32 included; it mostly comes to 1e-5.
TOLERANCE = 1e-2


def agrees(difference: Callable[[], float], *, name: str, machine: Callable[[], str], instead: str) -> bool:
    """Whether a fast form runs and agrees with the plain one; warns where it does not.

    Args:
        difference: runs both forms and returns how far apart they are; `TOLERANCE` is accepted, NaN is not.
        name: of the fast form, as the subject of the warning ("the Triton kernels").
        machine: says what it ran on, and with which versions; called for the warning alone.
        instead: what takes its place, and what that costs.
    """
    try:
        found = difference()
    except Exception as error:  # Any error of a compiler on an unknown machine: the plain form is used.
        trouble = f"failed ({type(error).__name__}: {error})"
    else:
        if found <= TOLERANCE:
            return True
        trouble = f"differed from the plain form by {found:.2g}"
    warnings.warn(f"{name} {trouble} on {machine()}; {instead}. Please report this.", stacklevel=3)
    return False


def attention_difference(plain: Any, fast: Any, example: Example, device: torch.device) -> float:
    """Largest difference between outputs, and between gradients, of two autograd functions; NaN if either has one."""
    results = []
    # The first use of a model may well be inference.
    with torch.inference_mode(False), torch.enable_grad(), full_precision(device):
        first, *others = example(device)
        first.requires_grad_()
        for form in (plain, fast):
            out = form.apply(first.clone(), *others)  # Some write the gradient over their input.
            weight = torch.linspace(-1, 1, out.numel(), device=device).view_as(out)
            (gradient,) = torch.autograd.grad(out, first, weight)
            results.append((out.detach(), gradient.detach()))
    return float(torch.stack([(a - b).abs().max() for a, b in zip(*results, strict=True)]).max())


def bucket_difference(plain: Any, fast: Any, example: Example, device: torch.device) -> float:
    """Share of the buckets that two hashes disagree on: two may be equally near to a query, up to rounding."""
    with full_precision(device):
        arguments = tuple(example(device))
        return float((plain(*arguments) != fast(*arguments)).float().mean())
