"""The operations of the page: open a file or an example, compose, stop, export and so on. Independent of Gradio.

Piano rolls and outlines are returned as JSON text: in lists, Gradio would inspect every number and block the server
meanwhile.

A visitor's data are protected by keys and tickets that only this visitor knows (see `Shelf`); visitors share nothing
but the generator.
"""

from __future__ import annotations

import secrets
import time
from bisect import bisect_left, bisect_right
from collections import OrderedDict, deque
from collections.abc import Generator as Reports
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import symusic

from music_reformer.config import require
from music_reformer.evaluation.judging import NewMusic, judge
from music_reformer.evaluation.passages import KnownPassages
from music_reformer.evaluation.ranking import best
from music_reformer.generation.generator import Generator
from music_reformer.generation.prompt import PIANO
from music_reformer.generation.session import Session
from music_reformer.generation.study import Lesson
from music_reformer.midi.cut import blank_score, end_stuck_notes
from music_reformer.midi.edit import edited
from music_reformer.midi.engraving import engraved
from music_reformer.midi.examples import EXAMPLES
from music_reformer.midi.guard import Opened, open_guarded, read_score_guarded
from music_reformer.midi.harmony import fitted
from music_reformer.midi.join import joined, new_bar_lines
from music_reformer.midi.outline import new_chords_json, outline_json
from music_reformer.midi.roll import roll_json
from music_reformer.midi.score import DEFAULT_METRE, KEPT_LIMITS, bar_starts, with_likely_metre
from music_reformer.midi.splice import Writer
from music_reformer.ui.editing import EditFields
from music_reformer.ui.export import EngraveFields, ExportFields, PartFields, export, part_of
from music_reformer.ui.joining import JoinFields
from music_reformer.ui.order import Order, StudyFields
from music_reformer.ui.shelf import Shelf, piece_name, safe_name, safe_stem, variation_name

MAX_LESSONS = 16  # number of lessons kept, some 10 MB each
SECONDS_BETWEEN_LOOKS = 0.25


@dataclass
class Running:
    """A composition in progress; `seconds_left` is None while unknown, because the piece is still being read."""

    session: Any
    seconds_left: float | None = None


class Operations:
    """The page's operations on one generator and one shelf of files.

    Args:
        generator: composes for all visitors.
        shelf: keeps visitors' files.
        at_once: number of visitors that the page composes for at the same time.
        passages: index of the training music, in which variations are looked up; None: they are not.
    """

    def __init__(
        self, *, generator: Generator, shelf: Shelf, at_once: int = 1, passages: KnownPassages | None = None
    ) -> None:
        fitted()  # loaded now, so that the first visitor does not wait for it
        self.generator = generator
        self.shelf = shelf
        self.at_once = at_once
        self.passages = passages
        # By the ticket with which the visitor can stop the composition.
        self._running: dict[str, Running] = {}
        self._durations: deque[float] = deque(maxlen=10)  # seconds that the last compositions took
        # Results of studying, by piece, cut and end of the hole; the oldest are dropped.
        self._lessons: OrderedDict[tuple[str, int | None, int | None], Lesson] = OrderedDict()

    @property
    def num_running(self) -> int:
        """Number of compositions in progress."""
        return len(self._running)

    def open_file(self, path: Path, *, name: str) -> dict[str, Any]:
        """Check and keep an uploaded MIDI file; returns the piece as data for the page.

        The file may be hostile, so it is read in a process of its own with limits on time and memory. It is kept byte
        for byte, unwrapped from gzip or RIFF. If it was not played to its bars, a copy with better bars is opened, and
        `own_bars` is the key of the original.

        Raises:
            UserError: the file cannot be used.
        """
        opened = open_guarded(path, name=safe_name(name) or "The file", finds_beats=True)
        stem = safe_stem(name[:-3] if name.lower().endswith(".gz") else name)
        piece = _piece(self.shelf.put(opened.midi, stem=stem), stem, opened)
        if opened.as_sent is not None:
            piece["own_bars"] = self.shelf.put(opened.as_sent, stem=stem)
        return piece

    def open_example(self, name: str) -> dict[str, Any]:
        """Open one of `EXAMPLES`, as if it had been uploaded."""
        is_known = isinstance(name, str) and name in EXAMPLES
        require(is_known, f"There is no example called {name!r:.40}; there are {', '.join(EXAMPLES)}.")
        example = EXAMPLES[name]
        score = example.score()
        data, played = score.dumps_midi(), with_likely_metre(score)
        opened = Opened(data, data, roll_json(played), outline_json(played), notices=[])
        return _piece(self.shelf.put(data, stem=example.title), example.title, opened)

    def open_kept(self, key: str) -> dict[str, Any]:
        """Open a piece on the shelf. Raises `UserError` if it is no longer kept."""
        path = self.shelf.path(key)
        return _piece(key, path.stem, open_guarded(path, limits=KEPT_LIMITS))

    def edit(self, fields: EditFields) -> dict[str, Any]:
        """Change notes of a piece; returns the result as a new piece, and keeps the old one, too.

        Raises:
            UserError: the piece is no longer kept, lacks these notes, or would have no notes left.
        """
        path = self.shelf.path(fields.piece)
        original = path.read_bytes()
        score = self._read(path)
        removes_all = len(fields.removed) >= score.note_num() and not fields.added
        require(not removes_all, "These are all the notes of the piece; keep at least one.")
        # Read in this process, as in `_piece_of`. What is written is opened as a stranger's file would be.
        data = edited(original, score, fields.changes(), name=path.stem)
        opened = open_guarded(data, name=path.stem, limits=KEPT_LIMITS)
        return _piece(self.shelf.put(data, stem=path.stem), path.stem, opened)

    def join(self, fields: JoinFields) -> dict[str, Any]:
        """Join bars of several variations; returns the result as a new piece, with `lossy` and its judgement.

        `ranks` are the new ranks of the variations beside it.

        Raises:
            UserError: a variation is no longer kept, or has too few bars.
        """
        paths = [self.shelf.path(key) for key in fields.variations]
        originals, scores = [path.read_bytes() for path in paths], [self._read(path) for path in paths]
        require(
            len({score.ticks_per_quarter for score in scores}) == 1,
            "These are not variations of one piece: they have different ticks per quarter note.",
        )
        lines = new_bar_lines(scores, fields.since, len(fields.bars))
        name = f"{piece_name(safe_stem(paths[0].name))} - joined"
        # Read in this process, as in `_piece_of`.
        writer = Writer(
            originals[0],
            scores[0],
            fields.since,
            until=fields.until if fields.until >= 0 else None,
            missing=frozenset(fields.programs),
            missing_tracks=frozenset(fields.tracks),
            name=name,
        )
        result = joined(scores, lines, fields.bars)
        data, lossy = writer.write(result)
        opened = open_guarded(data, name=name, limits=KEPT_LIMITS)
        span = NewMusic(fields.since, lines[-1], fields.until >= 0, fields.programs, fields.tracks)
        *others, judgement = judge([*scores, result], span, self.passages)
        piece = _piece(self.shelf.put(data, stem=name), name, opened) | {"lossy": lossy}
        return piece | judgement.plain() | {"ranks": [each.rank for each in others]}

    def study(self, fields: StudyFields) -> Reports[dict[str, Any], None, None]:
        """Train on the music before a cut or around a hole; reports "study" after each step, and finally "studied".

        While others' compositions run, "study" reports with `waits` are repeated. Orders for the same bars of the piece
        are then composed with what was learnt.

        Raises:
            UserError: the piece cannot be used.
        """
        bars = fields.bars
        if bars not in self._lessons:
            score = self._read(self.shelf.path(fields.piece))
            study = self.generator.study(score, fields.request())
            for progress in study:
                yield {"event": "study", "done": round(progress.done, 3)}
                while self.num_running:
                    time.sleep(SECONDS_BETWEEN_LOOKS)
                    yield {"event": "study", "done": round(progress.done, 3), "waits": True}
            self._lessons[bars] = study.lesson
            while len(self._lessons) > MAX_LESSONS:
                self._lessons.popitem(last=False)
        lesson = self._lessons[bars]
        yield {"event": "studied", "steps": lesson.steps, "likelier": round(lesson.gain, 3)}

    def _read(self, path: Path) -> symusic.Score:
        return read_score_guarded(path.read_bytes(), name=path.name, limits=KEPT_LIMITS)

    def _taught(self, order: Order) -> Generator:
        """The generator, with what was learnt if the bars of the order have been studied."""
        lesson = self._lessons.get((order.piece, order.request.cut_bar, order.request.until_bar))
        return self.generator.taught(lesson) if lesson is not None and order.study else self.generator

    def compose(self, order: Order) -> Reports[dict[str, Any], None, None]:
        """Compose and report: one "start", many "progress", one "done" with the finished files.

        "progress" has only the notes since the last report, as [variation, program, drum, pitch, start_s, end_s,
        velocity, track], in seconds from the beginning of the piece; `track` is the index of the note's track in the
        finished score, as in its roll. The rolls of "done" have only new notes, too.

        Raises:
            UserError: the order or the piece cannot be used.
        """
        original, score, stem = self._piece_of(order)
        generator = self._taught(order)
        session = generator.start(score, order.request)
        prompt = session.prompt
        ticket = secrets.token_urlsafe(16)
        began = time.monotonic()
        running = self._running[ticket] = Running(session)
        try:
            yield _start(session, order, ticket) | {"studied": generator is not self.generator}
            for progress in generator.compose(session):
                running.seconds_left = progress.seconds_left
                yield {
                    "event": "progress",
                    "done": [round(float(done), 4) for done in progress.done],
                    "finished": list(progress.finished),
                    "tokens_per_second": round(progress.tokens_per_second, 1),
                    "seconds_left": progress.seconds_left,
                    "notes": [_note_row(note) for note in progress.notes],
                }
            self._durations.append(time.monotonic() - began)
            writer = Writer(
                original,
                score,
                prompt.cut_tick,
                until=prompt.until_tick,
                missing=prompt.missing,
                missing_tracks=prompt.missing_tracks,
                locked=prompt.locked,
                metre=order.request.parsed_metre(),
                tempo=prompt.new_tempo,
                name=stem,
            )
            written = self._written(session, writer, stem)
            people = self.passages.about.get("people", {}) if self.passages is not None else {}
            yield {"event": "done", "variations": written, "people": people}
        finally:
            # Also reached when the visitor has gone and the queue closes this generator.
            del self._running[ticket]
            session.stop()

    def _written(self, session: Session, writer: Writer, stem: str) -> list[dict[str, Any]]:
        """Write the kept variations of a session as files; returns the data about each for the page."""
        prompt, seed = session.prompt, session.request.seed
        kept = best(session.scores, session.request.variations, cut_tick=prompt.cut_tick, end_tick=session.end_tick)
        span = NewMusic(
            prompt.cut_tick, session.end_tick, prompt.until_tick is not None, prompt.missing, prompt.missing_tracks
        )
        judgements = judge([result for _, result in kept], span, self.passages)
        return [
            self._variation(*writer.write(result), result, session, piece=stem, seed=seed, number=number)
            | {"candidate": candidate, **judgement.plain()}
            for number, ((candidate, result), judgement) in enumerate(zip(kept, judgements, strict=True), start=1)
        ]

    def _piece_of(self, order: Order) -> tuple[bytes | None, symusic.Score, str]:
        """The bytes of the piece (None: from nothing), its score (hanging notes end at the cut), and its name."""
        if not order.piece:
            return None, _blank(order), "New piece"
        path = self.shelf.path(order.piece)
        original = path.read_bytes()
        score = read_score_guarded(original, name=path.name, limits=KEPT_LIMITS)
        # `end_stuck_notes` and `Writer` read the original in this process, by our own reader: written in Python, it is
        # memory-safe, and the guarded process has read these bytes with it before.
        if order.request.until_bar is None:
            score = end_stuck_notes(score, original, order.request.cut_bar)
        return original, score, piece_name(safe_stem(path.name))

    def stop(self, ticket: str) -> bool:
        """End a composition early and keep what is composed. Returns False if it had ended already."""
        require(isinstance(ticket, str), "The ticket must be the one in the first report of a composition.")
        running = self._running.get(ticket)
        if running is not None:
            running.session.stop()
        return running is not None

    def stop_all(self) -> None:
        """End everything that is being composed."""
        for running in list(self._running.values()):
            running.session.stop()

    def waiting(self) -> dict[str, float | None]:
        """The queue: seconds until the next composition ends, and the typical time of one; None if unknown."""
        running = list(self._running.values())
        known = [each.seconds_left for each in running if each.seconds_left is not None]
        seconds_left = min(known) if known else None if running else 0.0
        typical = sum(self._durations) / len(self._durations) / self.at_once if self._durations else None
        return {
            "seconds_left": None if seconds_left is None else round(seconds_left, 1),
            "typical": None if typical is None else round(typical, 1),
        }

    def export(self, fields: ExportFields) -> dict[str, Any]:
        """Export a kept piece in another format; returns the key and the name of the file."""
        path = self.shelf.path(fields.piece)
        data, stem, suffix = export(
            path.read_bytes(),
            kind=fields.kind,
            name=path.stem,
            since=fields.since,
            until=fields.until if fields.until >= 0 else None,
            programs=fields.programs,
            tracks=fields.tracks,
        )
        return {"key": self.shelf.put(data, stem=stem, suffix=suffix), "name": f"{stem}{suffix}"}

    def engrave(self, fields: EngraveFields) -> str:
        """Some bars of a kept piece as engraved systems, as JSON text (see `engraved`)."""
        path = self.shelf.path(fields.piece)
        return engraved(path.read_bytes(), name=path.stem, bar=fields.bar, width=fields.width)

    def part(self, fields: PartFields) -> tuple[bytes, str]:
        """Some bars or tracks of a kept piece as a MIDI file of their own, and its name."""
        path = self.shelf.path(fields.piece)
        return part_of(path.read_bytes(), fields, name=path.stem)

    def _variation(
        self, data: bytes, lossy: bool, score: symusic.Score, session: Any, *, piece: str, seed: int, number: int
    ) -> dict[str, Any]:
        prompt, score = session.prompt, with_likely_metre(score)
        first, last = _new_bars(score, session)
        name = variation_name(piece, first=first, last=last, seed=seed, number=number)
        roll = roll_json(
            score,
            continuation_start=prompt.cut_seconds,
            continuation_end=session.hole_end_seconds,
            programs=prompt.missing,
            new_tracks=prompt.missing_tracks,
            locked=prompt.locked,
            only_new=True,
        )
        outline = new_chords_json(score, prompt.cut_tick, session.end_tick)
        return {"key": self.shelf.put(data, stem=name), "name": name, "roll": roll, "outline": outline, "lossy": lossy}


def _piece(key: str, stem: str, opened: Opened) -> dict[str, Any]:
    return {"key": key, "name": stem, "roll": opened.roll, "outline": opened.outline, "notices": opened.notices}


def _new_bars(score: symusic.Score, session: Any) -> tuple[int, int]:
    """The first and the last new bar of a variation, counted from 1."""
    prompt, bars = session.prompt, bar_starts(score)
    first = bisect_right(bars, prompt.cut_tick)
    if prompt.until_tick is not None:
        return first, max(first, bisect_left(bars, prompt.until_tick))
    onsets = [int(notes.max()) for track in score.tracks if len(notes := track.notes.numpy()["time"])]
    return first, max(first, bisect_right(bars, max(onsets, default=0)))


def _start(session: Any, order: Order, ticket: str) -> dict[str, Any]:
    """The first report of a composition."""
    prompt = session.prompt
    return {
        "event": "start",
        "ticket": ticket,
        "seed": order.request.seed,
        "cut": round(prompt.cut_seconds, 4),
        "cut_tick": prompt.cut_tick,
        "end": round(session.end_seconds, 4),
        "until_tick": prompt.until_tick,
        "missing": sorted(prompt.missing),
        "missing_tracks": sorted(prompt.missing_tracks),
        "dropped_bars": session.dropped_bars,
        "composed": order.request.num_composed,
    }


def _blank(order: Order) -> symusic.Score:
    """The empty piece of an order from nothing."""
    return blank_score(
        order.request.programs or [PIANO],
        tempo=order.tempo,
        metre=order.request.parsed_metre() or DEFAULT_METRE,
        key=order.request.parsed_key(),
    )


def _note_row(note: Any) -> list[Any]:
    times = round(note.start_s, 3), round(note.end_s, 3)
    return [note.variation, note.program, note.drum, note.pitch, *times, note.velocity, note.track]
