"""Writing what was composed behind the prompt, or into its hole, event for event."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import symusic

from music_reformer.generation.prompt import SUSTAIN, Prompt, new_track
from music_reformer.midi.stream import DRUMS, Bend, Note, Press

REGISTER_NOTES = 32  # a track's register is the median of its last so many pitches
REGISTER_BARS = 8  # tracks silent for so many bars before the cut take no new notes, if others of their kind play
MIDDLE_C = 60


def write_continuation(
    prompt: Prompt, notes: list[Note], bends: list[Bend], presses: list[Press], *, has_programs: bool
) -> symusic.Score:
    """The prompt with new events behind the cut, up to the end of its hole if it has one.

    New notes go to the track of their instrument; where several have it (two hands of a piano, say), to the one in
    whose register they lie; where none has it, to a new track. Where the encoding knows no instruments, all tracks
    but drums are candidates. A key that is struck again while it sounds ends there: on one channel a MIDI file cannot
    say that two notes of one pitch overlap. (Keys that the prompt holds across the cut are not offered to the model;
    where a human hand lets go a little late, the new note waits for it.) So does a key that is struck behind the hole.

    Args:
        notes, bends, presses: decoded, in ticks of the grid.
        has_programs: whether the encoding tells instruments apart.
    """
    score = prompt.score.copy()
    parts = _Parts(score, prompt, has_programs=has_programs)
    by_key: dict[tuple[int, int], list[symusic.Note]] = defaultdict(list)
    for note in notes:
        start = prompt.tick(note.start_tick)
        length = max(1, round((note.end_tick - note.start_tick) * prompt.ticks_per_grid))
        part = parts.of(DRUMS if note.drum else note.program, note.pitch)
        by_key[part, note.pitch].append(symusic.Note(start, length, note.pitch, note.velocity))
    by_part: dict[int, list[symusic.Note]] = defaultdict(list)
    for (part, pitch), group in by_key.items():
        for note in group:
            wait = max(0, parts.held_until(part, pitch) - note.time)
            note.time += wait
            note.duration -= wait
        group.sort(key=lambda note: (note.time, note.duration))
        for note, following in zip(group, [*group[1:], None], strict=True):
            until = parts.struck_again(part, pitch) if following is None else following.time
            if until is not None:
                note.duration = min(note.duration, until - note.time)
            if note.duration > 0:
                by_part[part].append(note)
    for part, group in by_part.items():
        track = score.tracks[part]
        track.notes = type(track.notes)(sorted([*track.notes, *group], key=lambda note: (note.time, note.pitch)))
    for bend in bends:
        track = score.tracks[parts.of(bend.program, MIDDLE_C)]
        track.pitch_bends.append(symusic.PitchBend(prompt.tick(bend.tick), bend.value))
    for press in presses:
        controls = score.tracks[parts.of(press.program, MIDDLE_C)].controls
        controls.append(symusic.ControlChange(prompt.tick(press.start_tick), SUSTAIN, 127))
        controls.append(symusic.ControlChange(prompt.tick(press.end_tick), SUSTAIN, 0))
    return score


@dataclass
class _Parts:
    """Which track a new note belongs to."""

    score: symusic.Score
    prompt: Prompt
    has_programs: bool
    _candidates: dict[int, list[tuple[int, float]]] = field(default_factory=dict)
    _held: dict[tuple[int, int], int] = field(default_factory=dict)
    _struck_again: dict[tuple[int, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part, track in enumerate(self.score.tracks):
            for note in track.notes:
                key = part, note.pitch
                if note.time >= self.prompt.cut_tick:
                    self._struck_again[key] = min(note.time, self._struck_again.get(key, note.time))
                elif note.end > self.prompt.cut_tick:
                    self._held[key] = max(note.end, self._held.get(key, 0))

    def held_until(self, part: int, pitch: int) -> int:
        """When the prompt lets go of this key, if behind the cut; else 0."""
        return self._held.get((part, pitch), 0)

    def struck_again(self, part: int, pitch: int) -> int | None:
        """When the prompt strikes this key behind the cut, which it does only behind a hole; else None."""
        return self._struck_again.get((part, pitch))

    def of(self, program: int, pitch: int) -> int:
        """Number of the track for a note of this instrument; the track is made where there is none."""
        if program not in self._candidates:
            self._candidates[program] = self._find(program)
        return min(self._candidates[program], key=lambda candidate: abs(candidate[1] - pitch))[0]

    def _find(self, program: int) -> list[tuple[int, float]]:
        """(track, register) of the tracks that may take notes of this instrument."""
        fits = [i for i, track in enumerate(self.score.tracks) if self._fits(track, program)]
        if not fits:
            self.score.tracks.append(new_track(program))
            fits = [len(self.score.tracks) - 1]
        bar_ticks = self.score.ticks_per_quarter * 4 * self.prompt.metre[0] / self.prompt.metre[1]
        since = self.prompt.cut_tick - REGISTER_BARS * bar_ticks
        heard = {i: self._before_cut(self.score.tracks[i]) for i in fits}
        recent = [i for i in fits if len(heard[i]["time"]) and heard[i]["time"].max() >= since]
        return [(i, _register(heard[i])) for i in recent or fits]

    def _before_cut(self, track: symusic.core.TrackTick) -> dict[str, np.ndarray]:
        notes = track.notes.numpy()
        before = notes["time"] < self.prompt.cut_tick
        return {name: column[before] for name, column in notes.items()}

    def _fits(self, track: symusic.core.TrackTick, program: int) -> bool:
        if program == DRUMS or track.is_drum:
            return program == DRUMS and track.is_drum
        return not self.has_programs or track.program == program


def _register(notes: dict[str, np.ndarray]) -> float:
    if not len(notes["time"]):
        return float(MIDDLE_C)
    latest = np.argsort(notes["time"], kind="stable")[-REGISTER_NOTES:]
    return float(np.median(notes["pitch"][latest]))
