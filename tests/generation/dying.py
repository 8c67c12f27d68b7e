"""What a worker process does in a test: it must be importable there."""

from __future__ import annotations

import os

from music_reformer.generation.composer import Outcome
from music_reformer.generation.jobs import Job
from music_reformer.generation.workers import compose_job


def die_of_b(job: Job) -> Outcome:
    if job.name == "b.mid":
        os._exit(7)
    return compose_job(job)
