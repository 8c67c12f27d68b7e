"""Jobs from prompt to files: what a batch does in this process, or in each of several."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import symusic

from music_reformer.batch.jobs import Job
from music_reformer.batch.settings import GenerateConfig
from music_reformer.data.store import TokenStore
from music_reformer.errors import UserError
from music_reformer.evaluation.copies import TrainingSet
from music_reformer.evaluation.musical import statistics
from music_reformer.evaluation.notes import Notes
from music_reformer.files import write_atomically
from music_reformer.generation.generator import Generator, Progress, Session
from music_reformer.generation.together import compose_together
from music_reformer.midi.score import MAX_BYTES, clean_upload, read_bytes, read_score
from music_reformer.midi.splice import Writer
from music_reformer.midi.vocabulary import program_of

Watch = Callable[[Progress], None]


@dataclass
class Outcome:
    """What came of a job.

    Attributes:
        abouts: of each file written, in the order of `Job.outputs`: what the manifest says about it.
        tokens: composed, of all variations together.
        error: why nothing was written; then there are no abouts.
        again: whether a later run should try once more.
    """

    abouts: list[dict[str, Any]] = field(default_factory=list)
    tokens: int = 0
    error: str | None = None
    again: bool = False


@dataclass
class _Started:
    """A job under way.

    Attributes:
        original: bytes of the prompt; None: there is none.
        score: the same as it is read.
        began: by the monotonic clock.
    """

    job: Job
    session: Session
    original: bytes | None
    score: symusic.Score | None
    began: float


class Composer:
    """Composes jobs one after another, or several together.

    Args:
        config: of the batch.
        generator: whose weights compose.
        training: what outputs are searched for copies from; None: they are not.
    """

    def __init__(self, config: GenerateConfig, generator: Generator, training: TrainingSet | None) -> None:
        self.config = config
        self.generator = generator
        self.training = training

    @classmethod
    def load(cls, config: GenerateConfig, device: str) -> Composer:
        """Read the weights, and the training set if there is one.

        Raises:
            UserError: either cannot be read, or the device is not there.
        """
        generator = Generator.load(config.checkpoint, device, rows=config.max_rows)
        return cls(config, generator, TrainingSet.of(TokenStore.open(config.data)) if config.data else None)

    def compose_all(
        self, jobs: Iterable[Job], watch: Callable[[Job, Progress], None] = lambda job, progress: None
    ) -> Iterator[tuple[Job, Outcome]]:
        """The outcome of each job, as they are done: together if the batch says so, or else one after another."""
        if self.config.rows:
            yield from self.compose_together(jobs)
            return
        for job in jobs:
            yield job, self.compose(job, partial(watch, job))

    def compose(self, job: Job, watch: Watch = lambda progress: None) -> Outcome:
        """Run a job to its end and write its files; a prompt that cannot be used is an outcome, not an exception."""
        try:
            started = self._start(job)
        except UserError as error:
            return Outcome(error=str(error))
        for progress in started.session:
            watch(progress)
        return self._finish(started)

    def compose_together(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        """The same for several jobs, `rows` variations of them in each step of the model, as they are done."""
        failed: list[tuple[Job, Outcome]] = []
        by_session: dict[Session, _Started] = {}

        def sessions() -> Iterator[Session]:
            for job in jobs:
                try:
                    started = self._start(job)
                except UserError as error:
                    failed.append((job, Outcome(error=str(error))))
                    continue
                by_session[started.session] = started
                yield started.session

        for session in compose_together(sessions(), most_rows=self.config.max_rows):
            started = by_session.pop(session)
            yield started.job, self._finish(started)
            yield from failed
            failed.clear()
        yield from failed

    def _start(self, job: Job) -> _Started:
        """Raises `UserError` where the prompt cannot be used."""
        began = time.monotonic()
        name = str(job.prompt)
        original = read_bytes(job.prompt, name, MAX_BYTES) if job.prompt is not None else None
        tell = logging.getLogger(__name__).warning
        score = read_score(original, name=name, tell=tell) if original is not None else None
        request = self.config.request(seed=job.seed, has_prompt=job.prompt is not None)
        session = self.generator.start(score, request)
        return _Started(job, session, original, score, began)

    def _finish(self, started: _Started) -> Outcome:
        """Write what a session has composed."""
        session, prompt = started.session, started.session.prompt
        composing = time.monotonic() - started.began
        writer = Writer(
            started.original,
            prompt.score if started.score is None else started.score,
            prompt.cut_tick,
            until=prompt.until_tick,
            missing=prompt.missing,
            name=str(started.job.prompt),
        )
        hole_end = session.hole_end_seconds
        abouts = []
        for path, composed in zip(started.job.outputs, session.scores, strict=True):
            data, lossy = writer.write(composed)
            write_atomically(path, data)
            abouts.append(
                {
                    "prompt": str(started.job.prompt) if started.job.prompt is not None else None,
                    "new_from_second": round(prompt.cut_seconds, 3),
                    "new_until_second": None if hole_end is None else round(hole_end, 3),
                    "dropped_bars": session.dropped_bars,
                    "lossy": lossy,
                    "compose_seconds": round(composing, 3),
                    **self._judge(_new_notes(session, composed)),
                }
            )
        return Outcome(abouts=abouts, tokens=session.num_tokens)

    def _judge(self, new: Notes) -> dict[str, Any]:
        """Statistics of what was composed, and its longest copy; what cannot be told is null."""
        found = statistics(new)
        about: dict[str, Any] = {
            "new_notes": len(new),
            "statistics": {name: round(x, 4) if math.isfinite(x) else None for name, x in found.items()},
        }
        if self.training is not None:
            about["originality"] = self.training.copies(new)
        return about


def _new_notes(session: Session, composed: symusic.Score) -> Notes:
    """What was composed: behind the cut, or of a hole the instruments that were missing in it."""
    prompt = session.prompt
    clean = clean_upload(composed)
    if prompt.missing:
        clean.tracks = [track for track in clean.tracks if program_of(track) in prompt.missing]
    return Notes.of(clean).between(
        prompt.cut_seconds, math.inf if session.hole_end_seconds is None else session.hole_end_seconds
    )
