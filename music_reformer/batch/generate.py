"""`music-reformer generate`: prompts times seeds times variations to a folder of MIDI files. Start reading here.

Every file is written under a temporary name and then renamed, and its request is noted in `manifest.jsonl` beside it
(`manifest.py`). A later run of the same request keeps existing files: a file counts as done if, by the manifest, it
came from the same prompt, weights and settings. A prompt that cannot be used is only noted in the manifest.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from music_reformer.batch.jobs import Job, find_jobs
from music_reformer.batch.manifest import Manifest
from music_reformer.batch.progress import BatchReport
from music_reformer.batch.ray_workers import run_on_ray
from music_reformer.batch.runner import Outcome, Runner
from music_reformer.batch.settings import GenerateConfig
from music_reformer.batch.workers import num_threads, num_workers, run_in_processes
from music_reformer.config import to_plain
from music_reformer.data.store import TokenStore
from music_reformer.errors import UserError
from music_reformer.generation.request import Request
from music_reformer.model.weights import fingerprint_of

MANIFEST = "manifest.jsonl"


class FailedPromptsError(UserError):
    """Some prompts could not be continued; the files of all others are written."""

    exit_code = 1


def generate(config: GenerateConfig, *, progress: bool = True) -> list[Path]:
    """Continue every prompt; returns all output files, old and new, in order.

    Args:
        config: prompts, request and output.
        progress: print rate and time left to stderr.

    Raises:
        UserError: a setting, the weights, the prompts or the output folder cannot be used.
        FailedPromptsError: some prompts could not be used; each was reported, and all others are done.
    """
    output = Path(config.output)
    jobs = find_jobs(config.prompts, output, variations=config.variations, seed=config.seed, seeds=config.seeds)
    weights = fingerprint_of(config.checkpoint)
    if config.data:
        _ = TokenStore.open(config.data).music_tokenizer  # a store of bare integers has no music to be copied
    is_new = not output.exists()
    _make_folder(output)
    # Settings newer than a manifest had their defaults there.
    manifest = Manifest(output / MANIFEST, defaults=to_plain(Request()))
    try:
        # Files that a killed run left half-written: the lock of the manifest keeps other runs out.
        for leftover in output.rglob(".*.mid.*.tmp"):
            leftover.unlink()
        run = _Run(config, weights, manifest, BatchReport(num_jobs=len(jobs), shown=progress))
        run.run([job for job in jobs if run.is_waiting(job)])
    except UserError:
        # The weights or the device cannot be used: leave no empty output behind.
        if is_new:
            _remove_if_unused(output)
        raise
    finally:
        manifest.close()
    run.report.close()
    if run.failed:
        num_prompts = len({job.prompt for job in jobs})
        raise FailedPromptsError(
            f"{len(run.failed)} of {num_prompts} prompts could not be continued; the reasons are above"
        )
    return [path for job in jobs for path in job.outputs]


def _remove_if_unused(output: Path) -> None:
    manifest = output / MANIFEST
    if manifest.is_file() and not manifest.stat().st_size:
        manifest.unlink()
    with contextlib.suppress(OSError):  # it is not empty
        output.rmdir()


class _Run:
    """One run over the jobs. It has no model; each composing process loads its own.

    Attributes:
        failed: prompts that could not be used, in this run or an earlier one.
    """

    def __init__(self, config: GenerateConfig, weights: str, manifest: Manifest, report: BatchReport) -> None:
        self.config = config
        self.weights = weights
        self.manifest = manifest
        self.report = report
        self.failed: set[str] = set()
        self._records: dict[tuple[Path | None, int], dict[str, Any]] = {}

    def is_waiting(self, job: Job) -> bool:
        """Whether a job is still to be composed; reports prompts that failed in an earlier run."""
        try:
            sha256 = job.sha256()
        except UserError as error:
            self._fail(job, self._record(job, None), str(error), again=True)
            return False
        record = self._records[job.prompt, job.seed] = self._record(job, sha256)
        if (reason := self.manifest.failure(str(job.prompt), record)) is not None:
            self._report_failure(job, reason)
            return False
        if all(self.manifest.has(path, record, number) for number, path in enumerate(job.outputs, 1)):
            self.report.kept()
            return False
        return True

    def run(self, jobs: list[Job]) -> None:
        """Compose the waiting jobs, and note each outcome as it arrives."""
        for job, outcome in self._outcomes(jobs) if jobs else ():
            record = self._records[job.prompt, job.seed]
            if outcome.error is not None:
                self._fail(job, record, outcome.error, again=outcome.again)
                continue
            for number, (path, about) in enumerate(zip(job.outputs, outcome.records, strict=True), 1):
                self.manifest.add(path, record, number, about)
            self.report.composed(job, outcome.tokens)

    def _outcomes(self, jobs: list[Job]) -> Iterator[tuple[Job, Outcome]]:
        if self.config.engine == "ray":
            yield from run_on_ray(jobs, self.config)
            return
        workers = num_workers(self.config)
        if workers > 1 and len(jobs) > 1:
            yield from run_in_processes(jobs, self.config, workers=workers)
            return
        runner = Runner.load(self.config, self.config.device)
        before = torch.get_num_threads()
        if workers > 1:
            # As many threads as each of several processes has: sums over another number of threads round differently,
            # and the last job of a run must give the same notes as in a longer run.
            torch.set_num_threads(num_threads(workers))
        try:
            yield from runner.run(jobs, self.report.running)
        finally:
            torch.set_num_threads(before)

    def _record(self, job: Job, sha256: str | None) -> dict[str, Any]:
        """Everything that decides what is composed, except the number of the variation."""
        return {
            **to_plain(self.config.request(seed=job.seed, has_prompt=True)),
            "weights": self.weights,
            "rows": self.config.rows,
            "prompt_sha256": sha256,
        }

    def _fail(self, job: Job, record: dict[str, Any], reason: str, *, again: bool) -> None:
        """Note and report, once for all seeds, a prompt that cannot be used."""
        if str(job.prompt) not in self.failed:
            self.manifest.add_failure(str(job.prompt), record, reason, again=again)
        self._report_failure(job, reason)

    def _report_failure(self, job: Job, reason: str) -> None:
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
