"""Preparation on a Ray cluster of several machines, with the same results.

Each Ray worker owns one process of `encoders.Encoders`, so that a file that crashes, hangs or exhausts it costs only
itself here too. The corpus must be at the same path on all machines, and this package must be installed there.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from music_reformer.config import PrepareConfig
from music_reformer.data.prepare.encode import Result
from music_reformer.data.prepare.encoders import Encoders
from music_reformer.ray_cluster import import_of_ray, joined_cluster

BATCH = 16  # files
# Smaller blocks mean more messages, larger ones leave workers idle at the end.
FILES_PER_BLOCK = 64


def encode_files_on_ray(sources: Iterable[str], config: PrepareConfig, *, workers: int) -> Iterator[tuple[str, Result]]:
    """(source, result) of each file, as from `encoders.encode_files`, in any order.

    Args:
        sources: paths relative to the corpus.
        config: of the preparation.
        workers: number of Ray workers, of one core each; 0: one per core of the cluster.

    Raises:
        UserError: Ray is not installed, or there is no cluster at RAY_ADDRESS.
    """
    pyarrow, ray_data = import_of_ray("pyarrow"), import_of_ray("ray.data")
    names = map(os.fsencode, sources)
    blocks = [
        pyarrow.table({"source": pyarrow.array(block, pyarrow.binary())})
        for block in iter(lambda: list(islice(names, FILES_PER_BLOCK)), [])
    ]
    if not blocks:
        return
    with joined_cluster(workers) as ray:
        ray_data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        workers = workers or int(ray.cluster_resources().get("CPU", 1))
        assert config.corpus.path is not None
        # Workers have another working directory.
        config = replace(config, corpus=replace(config.corpus, path=str(Path(config.corpus.path).resolve())))
        results = ray_data.from_arrow(blocks).map_batches(
            _RayEncoder,
            fn_constructor_args=(config,),
            batch_size=BATCH,
            compute=ray_data.ActorPoolStrategy(size=min(workers, len(blocks))),
            num_cpus=1,
        )
        for batch in results.iter_batches(batch_size=None):
            for source, result in zip(batch["source"], batch["result"], strict=True):
                yield os.fsdecode(source), pickle.loads(result)


class _RayEncoder:
    """A Ray worker: encodes a batch of sources."""

    def __init__(self, config: PrepareConfig) -> None:
        self._encoders = Encoders(config, workers=1)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        sources = [os.fsdecode(source) for source in batch["source"]]
        results = [pickle.dumps(result) for _, result in self._encoders.results(sources)]
        return {"source": batch["source"], "result": np.array(results, dtype=object)}
