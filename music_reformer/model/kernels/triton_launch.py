"""Cached launches of Triton kernels: skip Triton's argument specialisation.

By itself Triton inspects every argument of every launch, for its type and for properties that a kernel may be
specialised on (a multiple of 16, a 1), and builds a key of strings from all of them: some 50 us, longer than a kernel
of a small model runs. Here the key is a few numbers (docs/decisions/007).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from torch import Tensor

# By kernel, compile-time arguments, device, and the properties that Triton specialises on.
_compiled: dict[Hashable, Any] = {}


class Fixed:
    """Compile-time arguments of a kernel. Keep one object for equal ones: it is part of the cache's key.

    Args:
        num_warps: warps of a program; None: Triton's default.
        constants: `constexpr` arguments by name; a kernel takes those that it has.
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
    """The properties of an argument that Triton specialises a kernel on."""
    if isinstance(x, Tensor):
        return x.dtype, x.data_ptr() % 16 == 0
    if isinstance(x, int):
        return x == 1, x % 16 == 0, x < 2**31
    return None
