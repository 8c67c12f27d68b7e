"""Tasks of a worker process in a test, which must be importable there."""

from __future__ import annotations

import os

from music_reformer.batch.jobs import Job
from music_reformer.batch.runner import Outcome
from music_reformer.batch.workers import run_parcel


def die_of_b(jobs: list[Job]) -> list[tuple[Job, Outcome]]:
    if any(job.name == "b.mid" for job in jobs):
        os._exit(7)
    return run_parcel(jobs)
