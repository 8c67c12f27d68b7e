"""Adds the composed events to the piece: after the cut, or in the hole."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import symusic

from music_reformer.generation.prompt import Prompt
from music_reformer.midi.cut import SUSTAIN, new_track
from music_reformer.midi.stream import Bend, Note, Press
from music_reformer.midi.vocabulary import DRUMS, Vocabulary

REGISTER_NOTES = 32  # a track's register is the median pitch of its last 32 notes
REGISTER_BARS = 8  # a track silent for 8 bars before the cut takes no new notes if others of its instrument play
MIDDLE_C = 60


def write_continuation(
    prompt: Prompt, tracks: NewNoteTracks, notes: list[Note], bends: list[Bend], presses: list[Press]
) -> symusic.Score:
    """The prompt with new events after the cut, up to the end of its hole if it has one.

    A note ends where its key is struck again, by a new note or by one of the prompt after the hole: on one channel, a
    MIDI file cannot express overlapping notes of one pitch. Keys that the prompt holds across the cut are not offered
    to the model; if a key is released a little late, the new note waits for its release.

    Args:
        prompt: the piece.
        tracks: says to which track each event belongs; made for this prompt.
        notes, bends, presses: the decoded events, in ticks of the grid.
    """
    keys = _KeysDown(prompt)
    by_key: dict[tuple[int, int], list[symusic.Note]] = defaultdict(list)
    for note in notes:
        start = prompt.onset(note)
        length = max(1, round((note.end_tick - note.start_tick) * prompt.ticks_per_grid))
        track = tracks.of(DRUMS if note.drum else note.program, note.pitch, note.part)
        by_key[track, note.pitch].append(symusic.Note(start, length, note.pitch, note.velocity))
    by_track: dict[int, list[symusic.Note]] = defaultdict(list)
    for (track, pitch), group in by_key.items():
        for note in group:
            wait = max(0, keys.held_until(track, pitch) - note.time)
            note.time += wait
            note.duration -= wait
        group.sort(key=lambda note: (note.time, note.duration))
        for note, following in zip(group, [*group[1:], None], strict=True):
            for until in (following and following.time, keys.struck_from(track, pitch, note.time)):
                if until is not None:
                    note.duration = min(note.duration, until - note.time)
            if note.duration > 0 and not keys.is_down(track, pitch, note.time):
                by_track[track].append(note)
    new_bends = [(tracks.of(bend.program, MIDDLE_C), bend) for bend in bends]
    new_presses = [(tracks.of(press.program, MIDDLE_C), press) for press in presses]
    score = prompt.score.copy()
    for program in tracks.added:
        score.tracks.append(new_track(program))
    for track, group in by_track.items():
        written = score.tracks[track]
        written.notes = type(written.notes)(sorted([*written.notes, *group], key=lambda note: (note.time, note.pitch)))
    for track, bend in new_bends:
        score.tracks[track].pitch_bends.append(symusic.PitchBend(prompt.tick(bend.tick), bend.value))
    for track, press in new_presses:
        controls = score.tracks[track].controls
        controls.append(symusic.ControlChange(prompt.tick(press.start_tick), SUSTAIN, 127))
        controls.append(symusic.ControlChange(prompt.tick(press.end_tick), SUSTAIN, 0))
    return score


class NewNoteTracks:
    """Decides to which track of the finished score each new note belongs.

    If the encoding has parts, a note goes to the track of its part. Otherwise it goes to the track of its instrument;
    if several tracks have it (two hands of a piano, say), to the one whose register is nearest; if none has it, to a
    new track after the others. If the encoding has no instruments, all tracks but drums are candidates. The page shows
    a note on the same track while it is composed.

    Args:
        prompt: the piece; its score has the existing tracks.
        vocabulary: says whether the encoding has instruments and parts.

    Attributes:
        added: instruments of the new tracks, -1 for drums, in track order.
    """

    def __init__(self, prompt: Prompt, vocabulary: Vocabulary) -> None:
        self.added: list[int] = []
        self._prompt = prompt
        self._has_programs, self._has_parts = vocabulary.has_programs, vocabulary.part_by_part
        self._candidates: dict[int, list[tuple[int, float]]] = {}

    def of(self, program: int, pitch: int, part: int = 1) -> int:
        """Index in the score of the track for a note of this instrument; a track is added if there is none."""
        if self._has_parts and (program, part) in self._prompt.track_of_part:
            return self._prompt.track_of_part[program, part]
        if program not in self._candidates:
            self._candidates[program] = self._find(program)
        return min(self._candidates[program], key=lambda candidate: abs(candidate[1] - pitch))[0]

    def _find(self, program: int) -> list[tuple[int, float]]:
        """The tracks that may take notes of this instrument, as (index, register)."""
        prompt, score = self._prompt, self._prompt.score
        fits = [index for index, track in enumerate(score.tracks) if self._fits(track, program)]
        if not fits:
            self.added.append(program)
            return [(len(score.tracks) + len(self.added) - 1, float(MIDDLE_C))]
        bar_ticks = score.ticks_per_quarter * 4 * prompt.metre[0] / prompt.metre[1]
        since = prompt.cut_tick - REGISTER_BARS * bar_ticks
        heard = {index: self._before_cut(score.tracks[index]) for index in fits}
        recent = [index for index in fits if len(heard[index]["time"]) and heard[index]["time"].max() >= since]
        return [(index, _register(heard[index])) for index in recent or fits]

    def _before_cut(self, track: symusic.core.TrackTick) -> dict[str, np.ndarray]:
        notes = track.notes.numpy()
        before = notes["time"] < self._prompt.cut_tick
        return {name: column[before] for name, column in notes.items()}

    def _fits(self, track: symusic.core.TrackTick, program: int) -> bool:
        if program == DRUMS or track.is_drum:
            return program == DRUMS and track.is_drum
        return not self._has_programs or track.program == program


class _KeysDown:
    """When notes of the prompt hold or strike a key after the cut: held across it, locked, or after the hole."""

    def __init__(self, prompt: Prompt) -> None:
        self._held: dict[tuple[int, int], int] = {}
        self._struck: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        for index, track in enumerate(prompt.score.tracks):
            for note in track.notes:
                key = index, note.pitch
                if note.time >= prompt.cut_tick:
                    self._struck[key].append((note.time, note.end))
                elif note.end > prompt.cut_tick:
                    self._held[key] = max(note.end, self._held.get(key, 0))

    def held_until(self, track: int, pitch: int) -> int:
        """Tick at which the prompt releases this key, if it was struck before the cut; otherwise 0."""
        return self._held.get((track, pitch), 0)

    def struck_from(self, track: int, pitch: int, tick: int) -> int | None:
        """Tick at which the prompt next strikes this key, from `tick` on; None if it does not."""
        return min((start for start, _ in self._struck.get((track, pitch), ()) if start >= tick), default=None)

    def is_down(self, track: int, pitch: int, tick: int) -> bool:
        """Whether a note of the prompt that was struck after the cut holds this key."""
        return any(start <= tick < end for start, end in self._struck.get((track, pitch), ()))


def _register(notes: dict[str, np.ndarray]) -> float:
    if not len(notes["time"]):
        return float(MIDDLE_C)
    latest = np.argsort(notes["time"], kind="stable")[-REGISTER_NOTES:]
    return float(np.median(notes["pitch"][latest]))
