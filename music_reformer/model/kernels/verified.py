"""Self-checks: a compiled form is used only on machines where it agrees with the plain one.

A compiler may fail, or miscompile, on a machine that it was never tested on. Once per process, each compiled form is
therefore compared with the plain form of the same computation; if they differ, a warning says so and the plain form
is used.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch

from music_reformer.model.precision import full_precision

# Makes example arguments, for both forms, on a device.
Example = Callable[[torch.device], Iterable[Any]]

# Largest difference that rounding explains, even with products in TF32; 1e-5 is typical.
TOLERANCE = 1e-2


def agrees(difference: Callable[[], float], *, name: str, machine: Callable[[], str], instead: str) -> bool:
    """Whether a compiled form runs and agrees with the plain one; warns if not.

    Args:
        difference: runs both forms and returns their largest difference; up to `TOLERANCE` is accepted, NaN is not.
        name: name of the compiled form, as the subject of the warning ("the Triton kernels").
        machine: describes hardware and versions; called only for the warning.
        instead: what replaces it, and at what cost, as a clause of the warning.
    """
    try:
        found = difference()
    except Exception as error:  # A compiler may raise anything on an unknown machine.
        trouble = f"failed ({type(error).__name__}: {error})"
    else:
        if found <= TOLERANCE:
            return True
        trouble = f"differed from the plain form by {found:.2g}"
    warnings.warn(f"{name} {trouble} on {machine()}; {instead}. Please report this.", stacklevel=3)
    return False


def attention_difference(plain: Any, fast: Any, example: Example, device: torch.device) -> float:
    """Largest difference between the outputs, or the gradients, of two autograd functions; NaN if either has a NaN."""
    results = []
    # The check needs gradients, but the first use of a model may be inference.
    with torch.inference_mode(False), torch.enable_grad(), full_precision(device):
        first, *others = example(device)
        first.requires_grad_()
        for form in (plain, fast):
            out = form.apply(first.clone(), *others)  # A copy, because some write the gradient over their input.
            weight = torch.linspace(-1, 1, out.numel(), device=device).view_as(out)
            (gradient,) = torch.autograd.grad(out, first, weight)
            results.append((out.detach(), gradient.detach()))
    return float(torch.stack([(a - b).abs().max() for a, b in zip(*results, strict=True)]).max())


def bucket_difference(plain: Any, fast: Any, example: Example, device: torch.device) -> float:
    """Share of the buckets on which two hash functions disagree: rounding decides if two are equally near a query."""
    with full_precision(device):
        arguments = tuple(example(device))
        return float((plain(*arguments) != fast(*arguments)).float().mean())
