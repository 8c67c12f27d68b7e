"""Joins a Ray cluster, for work on more than one machine."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from music_reformer.cores import num_cores
from music_reformer.errors import UserError


@contextmanager
def joined_cluster(workers: int) -> Iterator[Any]:
    """Join the cluster that RAY_ADDRESS names, or start one on this machine for the time of the block; yields Ray.

    Args:
        workers: one-core workers that a cluster started here has room for.

    Raises:
        UserError: Ray is not installed, or there is no cluster at RAY_ADDRESS.
    """
    ray = import_of_ray("ray")
    ours = not ray.is_initialized()
    if ours:
        _connect(ray, workers)
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()


def import_of_ray(name: str) -> Any:
    """Import a module that comes with the extra `ray`.

    Raises:
        UserError: it is not installed.
    """
    # Unless told otherwise, Ray reports its use to its makers and logs to the terminal.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError("engine=ray needs Ray: pip install 'music-reformer[ray]'") from error


def _connect(ray: Any, workers: int) -> None:
    # Workers import the package from where this process did, installed or in a checkout.
    paths = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])}
    options: dict[str, Any] = {}
    if "RAY_ADDRESS" not in os.environ:
        options = {"num_cpus": max(workers, num_cores()), "include_dashboard": False}
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, runtime_env={"env_vars": paths}, **options)
    except ConnectionError as error:
        raise UserError(f"there is no Ray cluster at RAY_ADDRESS ({os.environ.get('RAY_ADDRESS')})") from error
