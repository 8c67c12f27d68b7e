"""A batch in several processes, each with its own model: on all cores, or all GPUs.

If a process dies (out of memory, a crash in a library), only its current jobs are lost, and another process replaces
it. In this package, only this module imports pebble.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized

import torch
from pebble import ProcessExpired, ProcessPool

from music_reformer.batch.jobs import Job
from music_reformer.batch.runner import Outcome, Runner
from music_reformer.batch.settings import GenerateConfig
from music_reformer.children import QuietContext, say_ready
from music_reformer.cores import num_cores
from music_reformer.errors import UserError

Outcomes = list[tuple[Job, Outcome]]

# Parcels handed out ahead, per process: so no process waits for work, and a million prompts take no more memory.
_AHEAD = 2
# Size of a parcel, in multiples of the jobs that a process composes at once: enough to keep its rows filled, few enough
# to report progress early.
_REFILLS = 4


def num_workers(config: GenerateConfig) -> int:
    """Number of processes: as set, or one for each GPU or, without GPUs, for each core."""
    return config.workers or (len(_devices(config.device)) if _on_gpus(config.device) else num_cores())


def num_threads(workers: int) -> int:
    """Threads of each of `workers` processes."""
    return max(1, num_cores() // workers)


def run_in_processes(
    jobs: Sequence[Job],
    config: GenerateConfig,
    *,
    workers: int,
    task: Callable[[list[Job]], Outcomes] | None = None,
) -> Iterator[tuple[Job, Outcome]]:
    """Compose jobs in several processes; yields the outcome of each as soon as it is done.

    Args:
        jobs: the jobs, of any number.
        config: settings of the batch.
        workers: number of processes, at least 1.
        task: called in a process with a parcel of jobs; None: `run_parcel`.

    Raises:
        UserError: a process cannot load the weights or use its device.
    """
    threads = num_threads(workers)  # independent of the number of remaining jobs, because it affects rounding
    workers = min(workers, len(jobs))
    waiting = iter(parcels_of(jobs, config, workers=workers))
    running: dict[Future[Outcomes], list[Job]] = {}
    context = QuietContext()
    pool = ProcessPool(
        max_workers=workers,
        context=context,
        initializer=_start_worker,
        initargs=(config, _devices(config.device), context.Value("i", 0), threads, context.ready),
    )
    try:
        while True:
            while len(running) < _AHEAD * workers and (parcel := next(waiting, None)) is not None:
                running[pool.schedule(task or run_parcel, args=(parcel,))] = parcel
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield from _outcomes(future, running.pop(future))
    finally:
        pool.stop()
        context.kill_starting()
        pool.join()


def parcels_of(jobs: Sequence[Job], config: GenerateConfig, *, workers: int) -> list[list[Job]]:
    """Jobs in parcels for the workers: single jobs or, if jobs are composed together, equal numbers of several."""
    size = min(_REFILLS * config.rows // config.num_composed, math.ceil(len(jobs) / workers)) if config.rows else 1
    size = max(1, size)
    return [list(jobs[begin : begin + size]) for begin in range(0, len(jobs), size)]


def lost(parcel: list[Job], reason: str) -> Outcomes:
    """Outcomes of jobs whose worker died."""
    return [(job, Outcome(error=reason, again=True)) for job in parcel]


def loaded_runner(config: GenerateConfig, device: str) -> Runner | UserError:
    """A runner, or the error that prevented it; the worker raises it with its first parcel, so that users see it."""
    try:
        return Runner.load(config, device)
    except UserError as error:
        return error


def outcomes_of(runner: Runner | UserError, jobs: list[Job]) -> Outcomes:
    """The outcome of each job, in a worker."""
    if isinstance(runner, UserError):
        raise runner
    return list(runner.run(jobs))


def _outcomes(future: Future[Outcomes], parcel: list[Job]) -> Outcomes:
    try:
        return future.result()
    except ProcessExpired as error:
        return lost(parcel, f"the process that composed it died (exit code {error.exitcode})")
    except MemoryError:
        return lost(parcel, "there was not enough memory to compose it")


_runner: Runner | UserError | None = None


def _start_worker(
    config: GenerateConfig, devices: list[str], started: Synchronized[int], threads: int, ready: Connection
) -> None:
    global _runner  # each process loads the weights once
    torch.set_num_threads(threads)
    with started.get_lock():
        device = devices[started.value % len(devices)]
        started.value += 1
    _runner = loaded_runner(config, device)
    say_ready(ready)


def run_parcel(jobs: list[Job]) -> Outcomes:
    """The outcome of each job of a parcel, in a worker process."""
    assert _runner is not None
    return outcomes_of(_runner, jobs)


def _on_gpus(device: str) -> bool:
    return device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())


def _devices(device: str) -> list[str]:
    """The devices distributed over the processes; "auto" and "cuda" stand for all GPUs."""
    if device in ("auto", "cuda") and torch.cuda.is_available():
        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return ["cpu" if device == "auto" else device]
