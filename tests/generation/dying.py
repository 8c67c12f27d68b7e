"""What a worker process does in a test: it must be importable there."""

from __future__ import annotations

import os

from music_reformer.generation.composer import Outcome
from music_reformer.generation.jobs import Job
from music_reformer.generation.workers import compose_jobs


def die_of_b(jobs: list[Job]) -> list[tuple[Job, Outcome]]:
    if any(job.name == "b.mid" for job in jobs):
        os._exit(7)
    return compose_jobs(jobs)
