"""A folder of prompts to a folder of continued MIDI files, resumable.

Every file is written under another name first and then renamed, and its settings are noted in `manifest.jsonl` beside
it. A later run of the same request keeps what is there: a file counts as done when the manifest says that it came from
the same prompt, weights and settings. One prompt that cannot be used costs one line.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import symusic

from music_reformer.config import GenerateConfig
from music_reformer.errors import UserError
from music_reformer.generation.generator import Generator, Length, Session
from music_reformer.midi.score import read_score, write_score

MANIFEST = "manifest.jsonl"
SUFFIXES = (".mid", ".midi")


class FailedPromptsError(UserError):
    """Some prompts could not be continued; the others were, and their files are written."""

    exit_code = 1


@dataclass(frozen=True)
class Job:
    """One prompt and the files to write for it; without a path it is a piece composed from nothing."""

    prompt: Path | None
    outputs: list[Path]


def generate(config: GenerateConfig, *, progress: bool = True) -> list[Path]:
    """Continue every prompt; all output files, old and new, in order.

    Args:
        config: what to continue, how, and where to.
        progress: lines on stderr: rate, and time left.

    Raises:
        UserError: a setting, the weights, the prompts or the output folder cannot be used; nothing is written.
        FailedPromptsError: some prompts are no music; each was reported, the others are done.
    """
    length = Length.parse(config.length)
    output = Path(config.output)
    jobs = find_jobs(config.prompts, output, variations=config.variations)
    generator = Generator.load(config.checkpoint, config.device)
    _make_folder(output)
    request = _request(config, generator)
    manifest = _Manifest(output / MANIFEST)
    report = _Report(num_jobs=len(jobs), shown=progress)
    failed = 0
    for job in jobs:
        try:
            wanted = {**request, "prompt_sha256": _sha256(job.prompt)}
            if all(manifest.has(path, wanted, number) for number, path in enumerate(job.outputs)):
                report.kept()
                continue
            score = read_score(job.prompt) if job.prompt is not None else None
            session = _start(generator, score, length, config)
            report.running(job, session)
            _write(session, job, wanted, manifest)
        except UserError as error:
            failed += 1
            report.failed(error)
    report.close()
    if failed:
        raise FailedPromptsError(f"{failed} of {len(jobs)} prompts could not be continued; the reasons are above")
    return [path for job in jobs for path in job.outputs]


def find_jobs(prompts: str | None, output: Path, *, variations: int) -> list[Job]:
    """What to do: a file, a folder searched recursively, or nothing to go by. Outputs mirror the folders of prompts.

    Raises:
        UserError: there is no such path, or no MIDI file in it, or there are no variations to make.
    """
    if variations < 1:
        raise UserError(f"variations ({variations}) must be at least 1")
    if prompts is None:
        return [Job(None, _names(output / "piece", variations))]
    root = Path(prompts)
    if not root.exists():
        raise UserError(f"there are no prompts at {root}; name a MIDI file or a folder of them")
    if root.is_file():
        return [Job(root, _names(output / root.stem, variations))]
    # The output may lie inside the folder of prompts; what we wrote there is no prompt.
    inside = output.resolve()
    if inside == root.resolve():
        raise UserError(f"output ({output}) must be another folder than that of the prompts")
    files = sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file() and inside not in path.resolve().parents
    )
    if not files:
        raise UserError(f"there is no MIDI file (.mid, .midi) in {root}")
    jobs, taken = [], set()
    for path in files:
        stem = path.relative_to(root).with_suffix("")
        if stem in taken:  # song.mid and song.midi side by side
            stem = path.relative_to(root)
        taken.add(stem)
        jobs.append(Job(path, _names(output / stem, variations)))
    return jobs


def _names(stem: Path, variations: int) -> list[Path]:
    return [stem.with_name(f"{stem.name}_{number + 1}.mid") for number in range(variations)]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"nothing can be written to {folder} ({error.strerror}); choose another output") from error


def _request(config: GenerateConfig, generator: Generator) -> dict[str, Any]:
    """All that decides what is composed, beside the prompt and the number of the variation."""
    return {
        "weights": generator.fingerprint,
        "seed": config.seed,
        "length": config.length,
        "variations": config.variations,
        "rounds": config.rounds,
        "sampling": asdict(config.sampling),
    }


def _sha256(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error


def _start(generator: Generator, score: symusic.Score | None, length: Length, config: GenerateConfig) -> Session:
    return generator.start(
        score,
        length=length,
        variations=config.variations,
        seed=config.seed,
        sampling=config.sampling,
        rounds=config.rounds,
    )


def _write(session: Session, job: Job, wanted: dict[str, Any], manifest: _Manifest) -> None:
    for number, (path, score) in enumerate(zip(job.outputs, session.scores, strict=True)):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_score(score, path)
        manifest.add(
            path,
            wanted,
            number,
            prompt=str(job.prompt) if job.prompt is not None else None,
            new_from_second=round(session.prompt.cut_seconds, 3),
            dropped_bars=session.dropped_bars,
        )


class _Manifest:
    """`manifest.jsonl`: one line for each file written, the latest of a name counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[str, dict[str, Any]] = {}
        if path.exists():
            text = path.read_text()
            if text and not text.endswith("\n"):  # a run was cut off in the middle of a line
                path.write_text(text + "\n")
            for line in text.splitlines():
                try:
                    entry = json.loads(line)
                    self._lines[entry["file"]] = entry
                except (ValueError, KeyError, TypeError):
                    continue

    def has(self, file: Path, wanted: dict[str, Any], number: int) -> bool:
        """Whether the file is there and came from this request."""
        entry = self._lines.get(self._name(file))
        return entry is not None and file.exists() and entry["request"] == wanted and entry["variation"] == number + 1

    def add(self, file: Path, wanted: dict[str, Any], number: int, **about: object) -> None:
        """Note a file just written."""
        entry: dict[str, Any] = {"file": self._name(file), "variation": number + 1, "request": wanted, **about}
        self._lines[entry["file"]] = entry
        with self._path.open("a") as stream:
            stream.write(json.dumps(entry) + "\n")

    def _name(self, file: Path) -> str:
        return file.relative_to(self._path.parent).as_posix()


class _Report:
    """What a person at a terminal sees; composing happens inside `running`."""

    def __init__(self, *, num_jobs: int, shown: bool) -> None:
        self._num_jobs = num_jobs
        self._shown = shown
        self._in_place = shown and sys.stderr.isatty()
        self._began = time.monotonic()
        self._num_done = 0
        self._num_kept = 0

    def kept(self) -> None:
        self._num_done += 1
        self._num_kept += 1

    def failed(self, error: UserError) -> None:
        self._num_done += 1
        sys.stderr.write(f"skipped: {error}\n")

    def running(self, job: Job, session: Session) -> None:
        """Run a session to its end, telling how it goes."""
        for progress in session:
            if self._in_place:
                self._line(job, sum(progress.done) / len(progress.done), progress.tokens_per_second, end="\r")
        self._num_done += 1
        if self._shown:
            self._line(job, 0.0, progress.tokens_per_second, end="\n")

    def _line(self, job: Job, part: float, rate: float, *, end: str) -> None:
        composed = self._num_done - self._num_kept + part
        left = self._num_jobs - self._num_done - part
        seconds = (time.monotonic() - self._began) / composed * left if composed else 0.0
        name = job.prompt.name if job.prompt is not None else "a new piece"
        text = f"{self._num_done}/{self._num_jobs} {name}: {rate:.0f} tokens/s, about {_duration(seconds)} left"
        sys.stderr.write(f"{text:<100}{end}")
        sys.stderr.flush()

    def close(self) -> None:
        if self._shown and self._num_kept:
            sys.stderr.write(f"{self._num_kept} of {self._num_jobs} prompts were done before\n")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}h{minutes % 60:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
