"""A batch on Ray, on one or several machines: the same jobs give the same files.

Prompts, weights and the output folder must be at the same paths on all machines, and this package must be installed on
them. If a worker dies, only its current jobs are lost, and another worker replaces it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial

import torch

from music_reformer.batch.jobs import Job
from music_reformer.batch.runner import Outcome
from music_reformer.batch.settings import GenerateConfig
from music_reformer.batch.workers import Outcomes, loaded_runner, lost, outcomes_of, parcels_of
from music_reformer.ray_cluster import joined_cluster


def run_on_ray(jobs: Sequence[Job], config: GenerateConfig) -> Iterator[tuple[Job, Outcome]]:
    """Compose jobs on a Ray cluster; yields the outcome of each as soon as it is done.

    Args:
        jobs: the jobs, of any number.
        config: settings of the batch. Each of the `workers` has a GPU if the cluster has GPUs, else a core; 0: one
            worker for each.

    Raises:
        UserError: Ray is not installed, there is no cluster at RAY_ADDRESS, or a worker cannot load the weights.
    """
    with joined_cluster(config.workers) as ray:
        resources = ray.cluster_resources()
        on_gpus = config.device in ("auto", "cuda") and resources.get("GPU", 0) >= 1
        workers = min(len(jobs), config.workers or int(resources["GPU" if on_gpus else "CPU"]))
        parcels = parcels_of(jobs, config, workers=workers)
        kind = ray.remote(num_cpus=1, num_gpus=1 if on_gpus else 0)(_RayRunner)
        start = partial(kind.remote, config, "cuda" if on_gpus else "cpu", os.getcwd())
        idle = [start() for _ in parcels[:workers]]
        waiting = iter(parcels)
        running = {}
        while True:
            while idle and (parcel := next(waiting, None)) is not None:
                worker = idle.pop()
                running[worker.run.remote(parcel)] = worker, parcel
            if not running:
                return
            done, _ = ray.wait(list(running))
            for reference in done:
                worker, parcel = running.pop(reference)
                try:
                    outcomes = ray.get(reference)
                    idle.append(worker)
                except ray.exceptions.RayActorError as error:
                    outcomes = lost(parcel, f"the Ray worker that composed it died ({type(error).__name__})")
                    idle.append(start())
                yield from outcomes


class _RayRunner:
    """A Ray worker, which loads the weights once.

    Args:
        config: settings of the batch.
        device: the device that Ray has assigned.
        folder: the folder that paths are relative to.
    """

    def __init__(self, config: GenerateConfig, device: str, folder: str) -> None:
        os.chdir(folder)
        torch.set_num_threads(1)
        self._runner = loaded_runner(config, device)

    def run(self, jobs: list[Job]) -> Outcomes:
        return outcomes_of(self._runner, jobs)
