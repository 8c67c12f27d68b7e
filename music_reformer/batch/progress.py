"""Progress of a batch on the terminal."""

from __future__ import annotations

import sys
import time

from music_reformer.batch.jobs import Job
from music_reformer.generation.session import SessionProgress


class BatchReport:
    """Lines on stderr: jobs done, rate, time left, and which prompts failed.

    Args:
        num_jobs: number of jobs of the whole batch.
        shown: whether to print anything besides failures.
    """

    def __init__(self, *, num_jobs: int, shown: bool) -> None:
        self._num_jobs = num_jobs
        self._shown = shown
        self._in_place = shown and sys.stderr.isatty()
        self._began = time.monotonic()
        self._num_done = 0
        self._num_kept = 0
        self._num_failed = 0
        self._num_files = 0
        self._num_tokens = 0

    def kept(self) -> None:
        """Count a job done by an earlier run."""
        self._num_done += 1
        self._num_kept += 1

    def failed(self, reason: str | None) -> None:
        """Count a job that failed, and print the reason (None: already printed)."""
        self._num_done += 1
        self._num_failed += 1
        if reason is not None:
            sys.stderr.write(f"skipped: {reason}\n")

    def running(self, job: Job, progress: SessionProgress) -> None:
        """Show the progress of a job in this process."""
        if self._in_place:
            part = sum(progress.done) / len(progress.done)
            self._line(job, part, progress.tokens_per_second, end="\r")

    def composed(self, job: Job, tokens: int) -> None:
        """Count a finished job, and show the rate of all processes together."""
        self._num_done += 1
        self._num_files += len(job.outputs)
        self._num_tokens += tokens
        if self._shown:
            self._line(job, 0.0, self._num_tokens / self._elapsed, end="\n")

    def close(self) -> None:
        """Print the totals."""
        if not self._shown:
            return
        if self._num_kept:
            sys.stderr.write(f"{self._num_kept} of {self._num_jobs} prompts were already done\n")
        if self._num_files:
            rate = self._num_tokens / self._elapsed
            sys.stderr.write(
                f"{self._num_files:,} files, {self._num_tokens:,} tokens in {_duration(self._elapsed)} "
                f"({rate:,.0f} tokens/s)\n"
            )

    @property
    def _elapsed(self) -> float:
        return max(1e-3, time.monotonic() - self._began)

    def _line(self, job: Job, part: float, rate: float, *, end: str) -> None:
        composed = self._num_done - self._num_kept - self._num_failed + part
        left = self._num_jobs - self._num_done - part
        seconds = self._elapsed / composed * left if composed else 0.0
        text = f"{self._num_done}/{self._num_jobs} {job.name}: {rate:.0f} tokens/s, about {_duration(seconds)} left"
        sys.stderr.write(f"{text:<100}{end}")
        sys.stderr.flush()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}h{minutes % 60:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
