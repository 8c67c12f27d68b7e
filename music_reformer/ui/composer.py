"""What the page can ask for: open a file, take an example, compose, stop. No Gradio in here.

Everything a visitor has is behind keys and tickets that only this visitor has been told (see `Shelf`); what is shared
between visitors is the generator and nothing else.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import symusic

from music_reformer.config import SamplingConfig, require
from music_reformer.errors import UserError
from music_reformer.generation.generator import Generator, Length
from music_reformer.midi.examples import EXAMPLES
from music_reformer.midi.guard import read_score_guarded
from music_reformer.midi.roll import roll_data
from music_reformer.midi.score import read_score
from music_reformer.ui.shelf import Shelf, safe_name, safe_stem

MAX_VARIATIONS = 4
MAX_BARS = 256
MAX_SECONDS = 600
MAX_SEED = 2**31 - 1

# What "calm" and "adventurous" mean; the page shows these numbers under "Advanced", where they can be changed.
STYLES = {
    "calm": SamplingConfig(temperature=0.85, top_p=0.9),
    "balanced": SamplingConfig(temperature=1.0, top_p=0.95),
    "adventurous": SamplingConfig(temperature=1.15, top_p=0.98),
}


@dataclass
class Order:
    """What to compose, checked: every field comes from the network.

    Args:
        piece: key of the piece to continue; "": compose from nothing.
        length: "16bars" or "30s".
        variations: how many.
        seed: same seed, same music; -1: drawn here.
        style: a key of `STYLES`.
        sampling: fields of `SamplingConfig` that differ from the style's.
    """

    piece: str = ""
    length: str = "16bars"
    variations: int = 1
    seed: int = -1
    style: str = "balanced"
    sampling: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        length = Length.parse(str(self.length))
        require(
            (length.bars or 0) <= MAX_BARS and (length.seconds or 0) <= MAX_SECONDS,
            f"A length of {self.length} is more than this page composes at once; "
            f"ask for at most {MAX_BARS} bars or {MAX_SECONDS} seconds.",
        )
        require(
            isinstance(self.variations, int) and 1 <= self.variations <= MAX_VARIATIONS,
            f"The number of variations ({self.variations}) must be 1 to {MAX_VARIATIONS}.",
        )
        require(
            isinstance(self.seed, int) and -1 <= self.seed <= MAX_SEED,
            f"The seed ({self.seed}) must be a whole number from 0 to {MAX_SEED}.",
        )
        require(self.style in STYLES, f"The style ({self.style!r}) must be one of {', '.join(STYLES)}.")
        if self.seed < 0:
            self.seed = random.SystemRandom().randrange(100_000)

    def sampling_config(self) -> SamplingConfig:
        """The style with the visitor's own numbers in it. Raises `UserError` for numbers out of range."""
        try:
            return replace(STYLES[self.style], **self.sampling)
        except TypeError as error:
            raise UserError(f"The sampling settings ({self.sampling}) are not ones this page knows.") from error


class Composer:
    """The page's operations on one generator and one shelf of files."""

    def __init__(self, *, generator: Generator, shelf: Shelf) -> None:
        self.generator = generator
        self.shelf = shelf
        # Sessions now composing, by the ticket with which their visitor can stop them.
        self._running: dict[str, Any] = {}

    @property
    def num_running(self) -> int:
        """How many visitors are being composed for at this moment."""
        return len(self._running)

    def open_file(self, path: Path, *, name: str) -> dict[str, Any]:
        """Check and keep an uploaded MIDI file; returns the piece as the page wants it.

        The file is read in a process of its own with limits on time and memory: it may be hostile. What is kept is the
        file as it came, byte for byte. Raises `UserError` for a file that is not one we can use.
        """
        score = read_score_guarded(path, name=safe_name(name) or "The file")
        stem = safe_stem(name)
        return self._piece(self.shelf.put(path.read_bytes(), stem=stem), stem, score)

    def open_example(self, name: str) -> dict[str, Any]:
        """One of `EXAMPLES`, as if it had been uploaded."""
        require(name in EXAMPLES, f"There is no example called {name!r}.")
        example = EXAMPLES[name]
        score = example.score()
        return self._piece(self.shelf.put(score.dumps_midi(), stem=example.title), example.title, score)

    def compose(self, order: Order) -> Iterator[dict[str, Any]]:
        """Compose and report: one "start", many "progress", one "done" with the finished files.

        "progress" carries only the notes made since the last one, as [variation, program, drum, pitch, start_s, end_s,
        velocity], in seconds of the whole piece. Raises `UserError` where the order or the piece cannot be used.
        """
        sampling = order.sampling_config()
        prompt_path = self.shelf.path(order.piece) if order.piece else None
        prompt = read_score(prompt_path) if prompt_path else None
        session = self.generator.start(
            prompt,
            length=Length.parse(order.length),
            variations=order.variations,
            seed=order.seed,
            sampling=sampling,
        )
        ticket = secrets.token_urlsafe(16)
        self._running[ticket] = session
        try:
            yield {
                "event": "start",
                "ticket": ticket,
                "seed": order.seed,
                "cut": round(session.prompt.cut_seconds, 4),
                "dropped_bars": session.dropped_bars,
            }
            for progress in session:
                yield {
                    "event": "progress",
                    "done": [round(float(done), 4) for done in progress.done],
                    "finished": list(progress.finished),
                    "tokens_per_second": round(progress.tokens_per_second, 1),
                    "seconds_left": progress.seconds_left,
                    "notes": [_note_row(note) for note in progress.notes],
                }
            stem = safe_stem(prompt_path.name) if prompt_path else "New piece"
            yield {
                "event": "done",
                "variations": [
                    self._variation(score, stem=stem, number=number, seed=order.seed, cut=session.prompt.cut_seconds)
                    for number, score in enumerate(session.scores, start=1)
                ],
            }
        finally:
            # Reached too when the visitor has gone and the queue closes this generator.
            del self._running[ticket]
            session.stop()

    def stop(self, ticket: str) -> bool:
        """End a composition early; what is there becomes its result. False where it had ended already."""
        session = self._running.get(ticket)
        if session is not None:
            session.stop()
        return session is not None

    def _piece(self, key: str, stem: str, score: symusic.Score) -> dict[str, Any]:
        return {"key": key, "name": stem, "roll": roll_data(score)}

    def _variation(self, score: symusic.Score, *, stem: str, number: int, seed: int, cut: float) -> dict[str, Any]:
        name = f"{stem} - seed {seed} - {number}"
        key = self.shelf.put(score.dumps_midi(), stem=name)
        return {"key": key, "name": name, "roll": roll_data(score, continuation_start=cut)}


def _note_row(note: Any) -> list[Any]:
    times = round(note.start_s, 3), round(note.end_s, 3)
    return [note.variation, note.program, note.drum, note.pitch, *times, note.velocity]
