"""Runner: composes jobs, from reading the prompt to writing the files, in this process or in each of several."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import symusic

from music_reformer.batch.jobs import Job
from music_reformer.batch.settings import GenerateConfig
from music_reformer.data.store import TokenStore
from music_reformer.errors import UserError
from music_reformer.evaluation.copies import TrainingSet
from music_reformer.evaluation.judging import NewMusic, judge
from music_reformer.evaluation.musical import statistics
from music_reformer.evaluation.notes import Notes
from music_reformer.evaluation.passages import KnownPassages
from music_reformer.evaluation.ranking import best
from music_reformer.files import write_atomically
from music_reformer.generation.generator import Generator
from music_reformer.generation.request import Request
from music_reformer.generation.session import Session, SessionProgress
from music_reformer.midi.cut import end_stuck_notes
from music_reformer.midi.retiming import on_its_beats
from music_reformer.midi.score import MAX_BYTES, clean_upload, read_bytes, read_score
from music_reformer.midi.sheet import as_midi
from music_reformer.midi.splice import Writer
from music_reformer.midi.vocabulary import is_selected

Watch = Callable[[Job, SessionProgress], None]


@dataclass
class Outcome:
    """The result of a job.

    Attributes:
        records: entries of the manifest about each written file, in the order of `Job.outputs`.
        tokens: number of tokens composed, over all variations.
        error: why nothing was written; empty if there are records.
        again: whether a later run should try again.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    tokens: int = 0
    error: str | None = None
    again: bool = False


@dataclass
class _Started:
    """A job in progress.

    Attributes:
        original: bytes of the prompt; None: composed from nothing.
        score: the prompt, as read from them.
        began: start time by the monotonic clock.
    """

    job: Job
    session: Session
    original: bytes | None
    score: symusic.Score | None
    began: float


class Runner:
    """Composes jobs one after another, or several at once.

    Args:
        config: settings of the batch.
        generator: the generator with the weights of the batch.
        training: training pieces, of which copies are searched for in outputs; None: no search.
        passages: index of the training music that comes with the weights; None: no index.
    """

    def __init__(
        self,
        config: GenerateConfig,
        generator: Generator,
        training: TrainingSet | None,
        passages: KnownPassages | None = None,
    ) -> None:
        self.config = config
        self.generator = generator
        self.training, self.passages = training, passages
        # The prompt studied last, and its generator, because jobs of one prompt with several seeds follow each other.
        self._studied: tuple[Path | None, Generator] = (None, generator)

    @classmethod
    def load(cls, config: GenerateConfig, device: str) -> Runner:
        """Load the weights, and the training set if one is given.

        Raises:
            UserError: one of them cannot be read, or the device does not exist.
        """
        generator = Generator.load(config.checkpoint, device, rows=config.max_rows)
        training = TrainingSet.of(TokenStore.open(config.data)) if config.data else None
        return cls(config, generator, training, KnownPassages.load(config.checkpoint))

    def run(self, jobs: Iterable[Job], watch: Watch = lambda job, progress: None) -> Iterator[tuple[Job, Outcome]]:
        """Compose jobs and write their files; yields the outcome of each as soon as it is done.

        If `rows` is set, several jobs share each step of the model; otherwise they run one after another. A prompt that
        cannot be used gives an outcome, not an exception.

        Args:
            jobs: consumed one by one.
            watch: called several times a second with the progress of a job.
        """
        if self.config.rows:
            yield from self._run_together(jobs, watch)
            return
        for job in jobs:
            yield from self._run_together([job], watch)

    def _run_together(self, jobs: Iterable[Job], watch: Watch) -> Iterator[tuple[Job, Outcome]]:
        failed: list[tuple[Job, Outcome]] = []
        running: dict[Session, _Started] = {}

        def sessions() -> Iterator[Session]:
            for job in jobs:
                try:
                    started = self._start(job)
                except UserError as error:
                    failed.append((job, Outcome(error=str(error))))
                    continue
                running[started.session] = started
                yield started.session

        for session, progress in self.generator.compose_together(sessions(), max_rows=self.config.max_rows):
            watch(running[session].job, progress)
            if not session.num_rows:
                started = running.pop(session)
                yield started.job, self._finish(started)
            while failed:
                yield failed.pop(0)
        yield from failed

    def _start(self, job: Job) -> _Started:
        """Read a prompt. Raises `UserError` if it cannot be used."""
        began = time.monotonic()
        name = str(job.prompt)
        tell = logging.getLogger(__name__).warning
        original = None
        if job.prompt is not None:
            original, not_kept = as_midi(read_bytes(job.prompt, name, MAX_BYTES), name)
            if not_kept:
                tell(f"{name}: {'; '.join(not_kept)}")
        score = read_score(original, name=name, tell=tell) if original is not None else None
        if score is not None and original is not None and self.config.find_beats:
            original, score = on_its_beats(original, score, name, tell)
        request = self.config.request(seed=job.seed, has_prompt=job.prompt is not None)
        if score is not None and original is not None and request.until_bar is None:
            score = end_stuck_notes(score, original, request.cut_bar)
        return _Started(job, self._generator(job, score, request).start(score, request), original, score, began)

    def _generator(self, job: Job, score: symusic.Score | None, request: Request) -> Generator:
        """The generator for a job: that of the batch, or one that has studied the prompt."""
        if not request.study or score is None:
            return self.generator
        if self._studied[0] != job.prompt:
            study = self.generator.study(score, request)
            for _ in study:
                pass
            self._studied = (job.prompt, self.generator.taught(study.lesson))
        return self._studied[1]

    def _finish(self, started: _Started) -> Outcome:
        """Write the files of a job whose session is over."""
        session, prompt = started.session, started.session.prompt
        seconds = time.monotonic() - started.began
        writer = Writer(
            started.original,
            prompt.score if started.score is None else started.score,
            prompt.cut_tick,
            until=prompt.until_tick,
            missing=prompt.missing,
            missing_tracks=prompt.missing_tracks,
            locked=prompt.locked,
            metre=session.request.parsed_metre(),
            tempo=prompt.new_tempo,
            name=str(started.job.prompt),
        )
        hole_end = session.hole_end_seconds
        records = []
        kept = best(session.scores, session.request.variations, cut_tick=prompt.cut_tick, end_tick=session.end_tick)
        span = NewMusic(
            prompt.cut_tick, session.end_tick, prompt.until_tick is not None, prompt.missing, prompt.missing_tracks
        )
        judgements = judge([composed for _, composed in kept], span, self.passages)
        for path, (_, composed), judgement in zip(started.job.outputs, kept, judgements, strict=True):
            data, lossy = writer.write(composed)
            write_atomically(path, data)
            records.append(
                {
                    "prompt": str(started.job.prompt) if started.job.prompt is not None else None,
                    "new_from_second": round(prompt.cut_seconds, 3),
                    "new_until_second": None if hole_end is None else round(hole_end, 3),
                    "dropped_bars": session.dropped_bars,
                    "lossy": lossy,
                    "compose_seconds": round(seconds, 3),
                    **judgement.plain(),
                    **self._judge(_new_notes(session, composed)),
                }
            )
        return Outcome(records=records, tokens=session.num_tokens)

    def _judge(self, new: Notes) -> dict[str, Any]:
        """Statistics of new music, and its longest copies; figures that cannot be computed are null."""
        figures = statistics(new)
        judgement: dict[str, Any] = {
            "new_notes": len(new),
            "statistics": {name: round(x, 4) if math.isfinite(x) else None for name, x in figures.items()},
        }
        if self.training is not None:
            judgement["originality"] = self.training.copies(new)
        return judgement


def _new_notes(session: Session, composed: symusic.Score) -> Notes:
    """The composed notes: those after the cut or, in a hole, those of the recomposed instruments."""
    prompt, new = session.prompt, composed.copy()
    for index, track in enumerate(new.tracks):
        locked = {(tick, pitch) for number, tick, pitch in prompt.locked if number == index}
        is_new = is_selected(track, index, programs=prompt.missing, tracks=prompt.missing_tracks)
        track.notes.filter(lambda note, new=is_new, old=locked: new and (note.time, note.pitch) not in old)
    clean = clean_upload(new)
    return Notes.of(clean).between(
        prompt.cut_seconds, math.inf if session.hole_end_seconds is None else session.hole_end_seconds
    )
