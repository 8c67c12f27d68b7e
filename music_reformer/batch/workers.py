"""Jobs over several processes, one model each: all cores, or all GPUs. The only importer of pebble here.

A process that dies (no memory left, a crash in a library) costs the jobs that it had; another takes its place.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized

import torch
from pebble import ProcessExpired, ProcessPool

from music_reformer.batch.jobs import Job
from music_reformer.batch.runner import Composer, Outcome
from music_reformer.batch.settings import GenerateConfig
from music_reformer.children import QuietContext, say_ready
from music_reformer.cores import num_cores

# Parcels of jobs handed out ahead of time, per process: none waits for work, and memory stays the same for a million
# prompts.
_AHEAD = 2
# Of jobs that are composed together, a process gets so many times as many as it can compose at once: enough to keep its
# rows filled, few enough to tell early how it goes.
_REFILLS = 4


def num_workers(config: GenerateConfig) -> int:
    """Processes to compose in: as asked for, or one for each GPU, or else for each core."""
    return config.workers or (len(_devices(config.device)) if _on_gpus(config.device) else num_cores())


def num_threads(workers: int) -> int:
    """Threads of each of so many processes."""
    return max(1, num_cores() // workers)


def compose_all(
    jobs: Sequence[Job],
    config: GenerateConfig,
    *,
    workers: int,
    compose: Callable[[list[Job]], list[tuple[Job, Outcome]]] | None = None,
) -> Iterator[tuple[Job, Outcome]]:
    """The outcome of each job, in the order in which they are done.

    Args:
        jobs: may be many.
        config: of the batch.
        workers: processes, at least 1.
        compose: what a process does with some jobs; None: `compose_jobs`.
    """
    threads = num_threads(workers)  # of as many as may be, so that it does not depend on how many jobs are left
    context = QuietContext()  # which spawns: a fork of a process that has threads can deadlock
    workers = min(workers, len(jobs))
    pool = ProcessPool(
        max_workers=workers,
        context=context,
        initializer=_start_worker,
        initargs=(config, _devices(config.device), context.Value("i", 0), threads, context.ready),
    )
    waiting = iter(parcels_of(jobs, config, workers=workers))
    running: dict[Future[list[tuple[Job, Outcome]]], list[Job]] = {}
    try:
        while True:
            while len(running) < _AHEAD * workers and (parcel := next(waiting, None)) is not None:
                running[pool.schedule(compose or compose_jobs, args=(parcel,))] = parcel
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
    """Jobs as a worker gets them: one, or of those that are composed together some at a time, all workers as many."""
    size = min(_REFILLS * config.rows // config.variations, math.ceil(len(jobs) / workers)) if config.rows else 1
    size = max(1, size)
    return [list(jobs[begin : begin + size]) for begin in range(0, len(jobs), size)]


def _outcomes(future: Future[list[tuple[Job, Outcome]]], parcel: list[Job]) -> list[tuple[Job, Outcome]]:
    try:
        return future.result()
    except ProcessExpired as error:
        reason = f"the process that composed it died (exit code {error.exitcode})"
    except MemoryError:
        reason = "there was not enough memory to compose it"
    return lost(parcel, reason)


def lost(parcel: list[Job], reason: str) -> list[tuple[Job, Outcome]]:
    """Outcomes of jobs that went down with their worker."""
    return [(job, Outcome(error=reason, again=True)) for job in parcel]


_composer: Composer | None = None


def _start_worker(
    config: GenerateConfig, devices: list[str], started: Synchronized[int], threads: int, ready: Connection
) -> None:
    global _composer  # each process reads the weights once
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first stops the rest
    torch.set_num_threads(threads)
    with started.get_lock():
        device = devices[started.value % len(devices)]
        started.value += 1
    _composer = Composer.load(config, device)
    say_ready(ready)


def compose_jobs(jobs: list[Job]) -> list[tuple[Job, Outcome]]:
    """The outcome of each job, in a worker."""
    assert _composer is not None
    return list(_composer.compose_all(jobs))


def _on_gpus(device: str) -> bool:
    return device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())


def _devices(device: str) -> list[str]:
    """The devices that processes share out; "auto" and "cuda" are all GPUs."""
    if device in ("auto", "cuda") and torch.cuda.is_available():
        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return ["cpu" if device == "auto" else device]
