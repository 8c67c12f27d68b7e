"""Cached launches of kernels; on a GPU, `test_triton_attention.py` launches real kernels with them."""

from __future__ import annotations

from typing import Any

import torch

from music_reformer.model.kernels.triton_launch import Fixed, launch


class _Kernel:
    """Behaves like a `triton.jit` function: called with a grid, it compiles, runs, and returns the compiled kernel."""

    arg_names = ("to", "size", "scale", "BLOCK")

    def __init__(self) -> None:
        self.compilations: list[tuple[Any, ...]] = []
        self.runs: list[tuple[Any, ...]] = []

    def __getitem__(self, grid: tuple[int, int, int]) -> Any:
        def compile_and_run(*arguments: Any, **others: Any) -> Any:
            self.compilations.append((grid, arguments, others))
            return _Compiled(self.runs)

        return compile_and_run


class _Compiled:
    def __init__(self, runs: list[tuple[Any, ...]]) -> None:
        self.runs = runs

    def __getitem__(self, grid: tuple[int, int, int]) -> Any:
        return lambda *arguments: self.runs.append((grid, arguments))


def test_compiled_kernels_are_reused() -> None:
    kernel, fixed, to = _Kernel(), Fixed(num_warps=4, BLOCK=64, OTHER=1), torch.zeros(8)
    launch(kernel, (3, 1, 1), (to, 32, 0.5), fixed)
    assert kernel.compilations == [((3, 1, 1), (to, 32, 0.5), {"BLOCK": 64, "num_warps": 4})]
    launch(kernel, (5, 1, 1), (to, 48, 0.25), fixed)
    assert len(kernel.compilations) == 1
    assert kernel.runs == [((5, 1, 1), (to, 48, 0.25, 64))]


def test_each_specialisation_is_compiled() -> None:
    """By pointers and numbers that are multiples of 16, numbers equal to 1 or beyond 32 bits, types, and constants."""
    kernel, fixed, to = _Kernel(), Fixed(num_warps=None, BLOCK=64), torch.zeros(8)
    others = [(to[1:], 32), (to, 1), (to, 33), (to, 2**31), (to.double(), 32), (to, 32)]
    launch(kernel, (1, 1, 1), (to, 16, 0.5), fixed)
    for number, (tensor, size) in enumerate(others):
        launch(kernel, (1, 1, 1), (tensor, size, 0.5), Fixed(num_warps=None, BLOCK=32) if number == 5 else fixed)
        assert len(kernel.compilations) == number + 2
        assert not kernel.runs


def test_the_interpreter_is_called_at_every_launch() -> None:
    calls: list[object] = []

    class _Interpreted(_Kernel):
        def __getitem__(self, grid: tuple[int, int, int]) -> Any:
            return lambda *arguments, **others: calls.append(arguments)

    kernel, fixed = _Interpreted(), Fixed(num_warps=None, BLOCK=64)
    for _ in range(2):
        launch(kernel, (1, 1, 1), (torch.zeros(8), 16, 0.5), fixed)
    assert len(calls) == 2
