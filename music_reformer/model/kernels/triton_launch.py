"""Launches of Triton kernels that do not find out each time what was found out before.

By itself Triton looks at every argument of every launch, for its type and for what a kernel may be specialised on (a
pointer or number that is a multiple of 16, a 1), and looks up the kernel by all of it in words: some 50 us. Where a
model is small that is longer than the kernel runs. Here a kernel is found by a few numbers (docs/decisions/007).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from torch import Tensor

# By kernel, what is fixed, the device, and what Triton specialises on.
_compiled: dict[Hashable, Any] = {}


class Fixed:
    """What is fixed when a kernel is compiled; equal ones should be one object, which finds the kernel.

    Args:
        num_warps: of a program; None: Triton's default.
        constants: the kernel's `constexpr` arguments, by name; those that it does not have are not given to it.
    """

    def __init__(self, *, num_warps: int | None, **constants: Any) -> None:
        self.constants = constants
        self.options = {} if num_warps is None else {"num_warps": num_warps}


def launch(kernel: Any, grid: tuple[int, int, int], arguments: tuple[Any, ...], fixed: Fixed) -> None:
    """Launch on the device of the first argument, which must be the current one.

    Args:
        kernel: a `triton.jit` function; its `constexpr` arguments come last.
        grid: programs.
        arguments: all others, tensors and numbers, in order; a tensor first.
        fixed: the values of the `constexpr` arguments.
    """
    key = (id(kernel), fixed, arguments[0].get_device(), *[_kind(x) for x in arguments])
    known = _compiled.get(key)
    if known is not None:
        compiled, constants = known
        compiled[grid](*arguments, *constants)
        return
    names = kernel.arg_names[len(arguments) :]
    constants = [fixed.constants[name] for name in names]
    compiled = kernel[grid](*arguments, **dict(zip(names, constants, strict=True)), **fixed.options)
    if compiled is not None:  # Triton's interpreter compiles nothing.
        _compiled[key] = compiled, constants


def _kind(x: Tensor | float) -> Hashable:
    """What Triton specialises a kernel on."""
    if isinstance(x, Tensor):
        return x.dtype, x.data_ptr() % 16 == 0
    if isinstance(x, int):
        return x == 1, x % 16 == 0, x < 2**31
    return None
