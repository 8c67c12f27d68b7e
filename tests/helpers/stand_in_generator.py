"""A deterministic generator without a model, with the interface of the real one, for tests of the page.

Like the real one, it starts after a bar line of the prompt (by default the last), continues in its metre and tempo, and
adds its notes to the given score, or replaces bars of it. Every bar is a rising scale of eight notes, which alternate
between the instruments that may play, and between the tracks of an instrument; seed and variation determine the first
note. `seconds` is how long a composition takes, so that tests can stop it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import symusic
import torch

from music_reformer.generation.cast import cast_behind_cut, cast_in_hole, with_new_tracks
from music_reformer.generation.request import Length, Request
from music_reformer.generation.session import SessionProgress
from music_reformer.generation.study import Lesson, StudyProgress
from music_reformer.generation.variation import NewNote
from music_reformer.midi.cut import programs_of
from music_reformer.midi.vocabulary import DRUMS

NOTES_PER_BAR = 8
SCALE = [0, 2, 4, 5, 7, 9, 11, 12]


@dataclass
class StandInPrompt:
    cut_seconds: float
    cut_tick: int
    until_tick: int | None = None
    missing: frozenset[int] = frozenset()
    missing_tracks: frozenset[int] = frozenset()
    locked: frozenset[tuple[int, int, int]] = frozenset()
    new_tempo: float | None = None


class StandInGenerator:
    def __init__(self, *, seconds: float = 2.0) -> None:
        self.seconds = seconds
        self.can_infill = True
        self.can_end = self.can_be_steered = True
        self.requests: list[Request] = []
        self.study_seconds = 0.1
        self.num_taught = 0

    def prepare(self) -> None: ...

    def start(self, prompt: symusic.Score, request: Request, *, stop: threading.Event | None = None) -> StandInSession:
        self.requests.append(request)
        cut_bar, until_bar = request.cut_bar, request.until_bar
        programs = set(request.programs)
        if request.tracks:
            programs = {DRUMS if prompt.tracks[i].is_drum else prompt.tracks[i].program for i in request.tracks}
        prompt, missing, tracks, playing = with_new_tracks(prompt, request), programs, set(request.tracks), set[int]()
        if request.parts and until_bar is not None:
            recast = cast_in_hole(prompt, request)
            missing, tracks = {program for program, _ in recast.parts}, set(recast.tracks)
            playing = {recast.cast.tracks[part] for part in recast.cast.parts}
        elif request.parts:
            cast = cast_behind_cut(prompt, request, programs or programs_of(prompt))
            playing = {cast.tracks[part] for part in cast.parts if part in cast.tracks}
        if playing:
            programs = {DRUMS if prompt.tracks[i].is_drum else prompt.tracks[i].program for i in playing}
        players = sorted(programs or programs_of(prompt) or {0}, reverse=True)
        length = Length(bars=until_bar - (cut_bar or 0)) if until_bar is not None else request.parsed_length()
        session = StandInSession(self, prompt, length, request.num_composed, request.seed, cut_bar, players)
        session.request = request
        if until_bar is not None:
            session.prompt.locked = frozenset((track, tick, pitch) for track, tick, pitch in request.locked)
            session.keep_behind(prompt, frozenset(missing), frozenset(tracks))
        if playing:
            session.play_on(playing)
        return session

    def study(self, score: symusic.Score, request: Request) -> StandInStudy:
        return StandInStudy(self.study_seconds)

    def taught(self, lesson: Lesson) -> Taught:
        self.num_taught += 1
        return Taught(self)

    def compose(self, session: StandInSession) -> Iterator[SessionProgress]:
        return session.reports()


class Taught:
    """The same generator as another object."""

    def __init__(self, generator: StandInGenerator) -> None:
        self._generator = generator

    def __getattr__(self, name: str) -> Any:
        return getattr(self._generator, name)


class StandInStudy:
    """Takes ten steps, and reports a gain of a tenth of a nat."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.lesson = Lesson({"weight": torch.ones(1)}, 10, 1.0, 0.9)

    def __iter__(self) -> Iterator[StudyProgress]:
        for step in range(10):
            time.sleep(self._seconds / 10)
            yield StudyProgress((step + 1) / 10, 1.0, 0.9)


class StandInSession:
    dropped_bars = 0
    request: Request

    def __init__(
        self,
        generator: StandInGenerator,
        prompt: symusic.Score,
        length: Length,
        variations: int,
        seed: int,
        cut_bar: int | None,
        players: list[int],
    ) -> None:
        self._generator = generator
        self._score = prompt.copy()
        tempo = self._score.tempos[0].qpm if len(self._score.tempos) else 120.0
        metres = self._score.time_signatures
        beats = metres[0].numerator * 4 / metres[0].denominator if len(metres) else 4
        self._bar_ticks = round(beats * self._score.ticks_per_quarter)
        self._seconds_per_tick = 60 / tempo / self._score.ticks_per_quarter
        bars = -(-self._score.end() // self._bar_ticks) if cut_bar is None else cut_bar
        self._cut = bars * self._bar_ticks
        for track in self._score.tracks:
            track.notes.filter(lambda note: note.time < self._cut, inplace=True)
        self.prompt = StandInPrompt(cut_seconds=self._cut * self._seconds_per_tick, cut_tick=self._cut)
        self._bars = length.bars or max(1, round((length.seconds or 0) / (self._bar_ticks * self._seconds_per_tick)))
        self.end_tick = self._cut + self._bars * self._bar_ticks
        self.end_seconds = (self._cut + self._bars * self._bar_ticks) * self._seconds_per_tick
        self.hole_end_seconds: float | None = None
        self._variations = variations
        self._seed = seed
        self._players = players
        playing = [DRUMS if track.is_drum else track.program for track in self._score.tracks]
        self._added = [player for player in players if player not in playing]
        everyone = [*playing, *self._added]
        self._tracks_of = {player: [i for i, other in enumerate(everyone) if other == player] for player in players}
        self._num_made = 0
        self._stop = threading.Event()

    def keep_behind(self, whole: symusic.Score, missing: frozenset[int], tracks: frozenset[int]) -> None:
        """Keep the notes of other instruments in the composed bars, and all notes after them."""
        until = self._cut + self._bars * self._bar_ticks
        for index, (kept, track) in enumerate(zip(self._score.tracks, whole.tracks, strict=True)):
            stays = bool(missing) and (DRUMS if track.is_drum else track.program) not in missing
            stays = stays or (bool(tracks) and index not in tracks)
            locked = {(tick, pitch) for number, tick, pitch in self.prompt.locked if number == index}
            begin = self._cut if stays else until
            behind = [note for note in track.notes if note.time >= begin or (note.time, note.pitch) in locked]
            kept.notes.extend([note for note in behind if note.time >= self._cut])
        self.prompt.until_tick, self.prompt.missing, self.prompt.missing_tracks = until, missing, tracks
        if tracks:
            self.play_on(tracks)
        self.hole_end_seconds = self.end_seconds

    def play_on(self, tracks: Collection[int]) -> None:
        """Play only on these tracks."""
        self._tracks_of = {player: [i for i in places if i in tracks] for player, places in self._tracks_of.items()}

    @property
    def scores(self) -> list[symusic.Score]:
        scores = []
        for variation in range(self._variations):
            score = self._score.copy()
            score.tracks.extend([symusic.Track("", max(player, 0), player == DRUMS) for player in self._added])
            for index in range(self._num_made):
                start, duration, pitch, velocity = self._note(variation, index)
                score.tracks[self._track(index)].notes.append(symusic.Note(start, duration, pitch, velocity))
            scores.append(score)
        return scores

    def stop(self) -> None:
        self._stop.set()

    def reports(self) -> Iterator[SessionProgress]:
        total = self._bars * NOTES_PER_BAR
        began = time.monotonic()
        yield self._progress([], total, began)
        while self._num_made < total and not self._stop.is_set():
            self._stop.wait(self._generator.seconds / total)
            if self._stop.is_set():
                break
            fresh = [self._new_note(variation, self._num_made) for variation in range(self._variations)]
            self._num_made += 1
            yield self._progress(fresh, total, began)
        yield self._progress([], total, began, finished=True)

    def _progress(self, notes: list[NewNote], total: int, began: float, *, finished: bool = False) -> SessionProgress:
        done, elapsed = self._num_made / total, time.monotonic() - began
        return SessionProgress(
            notes=notes,
            done=[done] * self._variations,
            finished=[finished] * self._variations,
            tokens_per_second=4 * self._variations * self._num_made / max(elapsed, 1e-6),
            seconds_left=elapsed * (1 - done) / done if done else None,
        )

    def _player(self, index: int) -> int:
        return self._players[index % len(self._players)]

    def _track(self, index: int) -> int:
        """The track of the score that a note belongs to."""
        tracks = self._tracks_of[self._player(index)]
        return tracks[index // len(self._players) % len(tracks)]

    def _note(self, variation: int, index: int) -> tuple[int, int, int, int]:
        bar, step = divmod(index, NOTES_PER_BAR)
        pitch = 60 + (5 * variation + self._seed) % 12 + SCALE[(step + bar * 3) % 8]
        length = self._bar_ticks // NOTES_PER_BAR
        return self._cut + index * length, length, pitch, 70 + 4 * step

    def _new_note(self, variation: int, index: int) -> NewNote:
        start, duration, pitch, velocity = self._note(variation, index)
        times = start * self._seconds_per_tick, (start + duration) * self._seconds_per_tick
        player = self._player(index)
        return NewNote(
            variation=variation,
            track=self._track(index),
            program=max(player, 0),
            drum=player == DRUMS,
            pitch=pitch,
            velocity=velocity,
            start_s=times[0],
            end_s=times[1],
        )
