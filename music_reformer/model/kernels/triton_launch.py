"""Cached launches of Triton kernels: skip Triton's argument specialisation.

At every launch, Triton inspects each argument for its type and for properties that a kernel may be specialised on (a
multiple of 16, equal to 1), and builds a key of strings from them. That takes some 50 us, longer than a kernel of a
small model runs. Here the key is a few numbers (docs/decisions/007).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from torch import Tensor

# Compiled kernels by kernel, compile-time arguments, device, and the properties that Triton specialises on.
_compiled: dict[Hashable, Any] = {}


class Fixed:
    """Compile-time arguments of a kernel. Reuse one object for equal arguments: its identity is part of the cache key.

    Args:
        num_warps: warps per program; None: Triton's default.
        constants: `constexpr` arguments by name; each kernel picks those that it declares.
    """

    def __init__(self, *, num_warps: int | None, **constants: Any) -> None:
        self.constants = constants
        self.options = {} if num_warps is None else {"num_warps": num_warps}


def launch(kernel: Any, grid: tuple[int, int, int], arguments: tuple[Any, ...], fixed: Fixed) -> None:
    """Launch a kernel on the device of its first argument, which must be the current device.

    Args:
        kernel: a `triton.jit` function whose `constexpr` arguments come last.
        grid: number of programs along each axis.
        arguments: the remaining arguments, tensors and numbers, in order; the first must be a tensor.
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
    """The properties of an argument on which Triton specialises a kernel."""
    if isinstance(x, Tensor):
        return x.dtype, x.data_ptr() % 16 == 0
    if isinstance(x, int):
        return x == 1, x % 16 == 0, x < 2**31
    return None
