"""Sharding weights, gradients and optimizer states over processes (FSDP2), with reversible layers."""

from __future__ import annotations

import multiprocessing

import pytest

from helpers.ports import free_port
from helpers.sharded_training import compare_with_one_process


@pytest.mark.parametrize("recompute", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_sharding_over_two_processes_keeps_gradients_and_steps(recompute: bool) -> None:
    context = multiprocessing.get_context("spawn")
    port = free_port()
    processes = [context.Process(target=compare_with_one_process, args=(rank, 2, port, recompute)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
