"""`music-reformer generate`: prompts times seeds times variations to a folder of MIDI files. Start reading here.

Every file is written under another name first and then renamed, and its settings are noted in `manifest.jsonl` beside
it (`manifest.py`). A later run of the same request keeps what is there: a file counts as done when the manifest says
that it came from the same prompt, weights and settings. A prompt that cannot be used costs one line of the manifest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from music_reformer.batch.jobs import Job, find_jobs
from music_reformer.batch.manifest import Manifest
from music_reformer.batch.progress import BatchReport
from music_reformer.batch.ray_workers import compose_all_on_ray
from music_reformer.batch.runner import Composer, Outcome
from music_reformer.batch.settings import GenerateConfig
from music_reformer.batch.workers import compose_all, num_threads, num_workers
from music_reformer.data.store import TokenStore
from music_reformer.errors import UserError
from music_reformer.evaluation.copies import TrainingSet
from music_reformer.generation.generator import Generator

MANIFEST = "manifest.jsonl"


class FailedPromptsError(UserError):
    """Some prompts could not be continued; the others were, and their files are written."""

    exit_code = 1


def generate(config: GenerateConfig, *, progress: bool = True) -> list[Path]:
    """Continue every prompt; all output files, old and new, in order.

    Args:
        config: what to continue, how, and where to.
        progress: lines on stderr: rate, and time left.

    Raises:
        UserError: a setting, the weights, the prompts or the output folder cannot be used; nothing is written.
        FailedPromptsError: some prompts are no music; each was reported, the others are done.
    """
    output = Path(config.output)
    jobs = find_jobs(config.prompts, output, variations=config.variations, seed=config.seed, seeds=config.seeds)
    generator = Generator.load(config.checkpoint, config.device, rows=config.max_rows)
    store = TokenStore.open(config.data) if config.data else None
    if store is not None:
        _ = store.music_tokenizer  # integers are no music that could have been copied
    _make_folder(output)
    manifest = Manifest(output / MANIFEST)
    try:
        # No other run writes here now: what a run left half-written when it was killed is nobody's.
        for leftover in output.rglob(".*.mid.*.tmp"):
            leftover.unlink()
        batch = _Batch(config, generator, manifest, BatchReport(num_jobs=len(jobs), shown=progress))
        waiting = [job for job in jobs if batch.is_waiting(job)]
        batch.run(waiting, store)
    finally:
        manifest.close()
    batch.report.close()
    if batch.failed:
        num_prompts = len({job.prompt for job in jobs})
        raise FailedPromptsError(
            f"{len(batch.failed)} of {num_prompts} prompts could not be continued; the reasons are above"
        )
    return [path for job in jobs for path in job.outputs]


class _Batch:
    """One run over the jobs.

    Attributes:
        failed: prompts that could not be used, in this run or before.
    """

    def __init__(self, config: GenerateConfig, generator: Generator, manifest: Manifest, report: BatchReport) -> None:
        self.config = config
        self.generator = generator
        self.manifest = manifest
        self.report = report
        self.failed: set[str] = set()
        self._requests: dict[tuple[Path | None, int], dict[str, Any]] = {}

    def is_waiting(self, job: Job) -> bool:
        """Whether there is something to do; says so of prompts that failed before."""
        try:
            sha256 = job.sha256()
        except UserError as error:
            self._fail(job, self._request(job, None), str(error), again=True)
            return False
        request = self._requests[job.prompt, job.seed] = self._request(job, sha256)
        if (reason := self.manifest.failure(str(job.prompt), request)) is not None:
            self._tell(job, reason)
            return False
        if all(self.manifest.has(path, request, number) for number, path in enumerate(job.outputs, 1)):
            self.report.kept()
            return False
        return True

    def run(self, jobs: list[Job], store: TokenStore | None) -> None:
        """Compose what is waiting and note each outcome as it comes."""
        if not jobs:
            return
        for job, outcome in self._outcomes(jobs, store):
            request = self._requests[job.prompt, job.seed]
            if outcome.error is not None:
                self._fail(job, request, outcome.error, again=outcome.again)
                continue
            for number, (path, about) in enumerate(zip(job.outputs, outcome.abouts, strict=True), 1):
                self.manifest.add(path, request, number, about)
            self.report.composed(job, outcome.tokens)

    def _outcomes(self, jobs: list[Job], store: TokenStore | None) -> Iterator[tuple[Job, Outcome]]:
        if self.config.engine == "ray":
            yield from compose_all_on_ray(jobs, self.config)
            return
        workers = num_workers(self.config)
        if workers > 1 and len(jobs) > 1:
            yield from compose_all(jobs, self.config, workers=workers)
            return
        composer = Composer(self.config, self.generator, TrainingSet.of(store) if store is not None else None)
        before = torch.get_num_threads()
        if workers > 1:
            # As many threads as each of several processes has: sums over other numbers of threads round otherwise, and
            # the last job of a run must not differ from what it would have been in a longer run.
            torch.set_num_threads(num_threads(workers))
        try:
            yield from composer.compose_all(jobs, self.report.running)
        finally:
            torch.set_num_threads(before)

    def _request(self, job: Job, sha256: str | None) -> dict[str, Any]:
        """All that decides what is composed, beside the number of the variation."""
        request = self.config.request(seed=job.seed, has_prompt=True)
        return {
            **asdict(request),
            "weights": self.generator.fingerprint,
            "rows": self.config.rows,
            "prompt_sha256": sha256,
        }

    def _fail(self, job: Job, request: dict[str, Any], reason: str, *, again: bool) -> None:
        """Note and tell of a prompt that cannot be used, once for all its seeds."""
        if str(job.prompt) not in self.failed:
            self.manifest.add_failure(str(job.prompt), request, reason, again=again)
        self._tell(job, reason)

    def _tell(self, job: Job, reason: str) -> None:
        self.report.failed(reason if str(job.prompt) not in self.failed else None)
        self.failed.add(str(job.prompt))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"nothing can be written to {folder} ({error.strerror}); choose another output") from error
