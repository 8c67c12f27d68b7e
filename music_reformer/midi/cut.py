"""Cuts a score at a bar line, removes notes from it, and makes blank scores."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable
from typing import Any

import symusic

from music_reformer.config import require
from music_reformer.midi.key import Key
from music_reformer.midi.score import DEFAULT_METRE, MAX_LIMITS, bar_starts, clean_upload, with_likely_metre
from music_reformer.midi.smf import read_file, stuck_notes
from music_reformer.midi.stream import DEFAULT_TEMPO
from music_reformer.midi.vocabulary import DRUMS, is_selected, program_of

TICKS_PER_QUARTER = 480  # of a blank score
SUSTAIN = 64  # number of the controller
_TRACK_EVENTS = ("notes", "controls", "pitch_bends", "pedals", "lyrics")
# Each of these events is in force until the next one.
_STATES = ("tempos", "time_signatures", "key_signatures")


def programs_of(score: symusic.Score) -> set[int]:
    """Instruments that play at least one note; -1 is drums."""
    return {program_of(track) for track in score.tracks if len(track.notes)}


def new_track(program: int) -> symusic.core.TrackTick:
    """An empty track for an instrument, -1 for drums."""
    drum = program == DRUMS
    return symusic.Track(name="Drums" if drum else "", program=0 if drum else program, is_drum=drum)


def blank_score(
    programs: Iterable[int],
    *,
    tempo: float = DEFAULT_TEMPO,
    metre: tuple[int, int] = DEFAULT_METRE,
    key: Key | None = None,
) -> symusic.Score:
    """An empty piece with a track for each instrument (-1 for drums); `tempo` in quarters a minute."""
    score = symusic.Score(TICKS_PER_QUARTER)
    score.tempos.append(symusic.Tempo(0, tempo))
    score.time_signatures.append(symusic.TimeSignature(0, *metre))
    if key is not None:
        score.key_signatures.append(symusic.KeySignature(0, key.sharps, int(key.is_minor)))
    for program in sorted(programs, key=lambda program: (program == DRUMS, program)):
        score.tracks.append(new_track(program))
    return score


def find_cut(score: symusic.Score, cut_bar: int | None) -> tuple[int, list[int]]:
    """Tick of the cut, and the bar lines before it.

    Args:
        score: in ticks.
        cut_bar: bars to keep; None: all, through the one in which the last note begins.

    Raises:
        UserError: the score has fewer bars.
    """
    starts = [int(notes.max()) for track in score.tracks if len(notes := track.notes.numpy()["time"])]
    bars = [int(tick) for tick in bar_starts(score)] if starts else [0]
    if cut_bar is None:
        index = bisect_right(bars, max(starts)) if starts else 0
    else:
        require(
            0 <= cut_bar < len(bars),
            f"the cut (bar {cut_bar}) must be 0 to {len(bars) - 1}, because the piece has {len(bars) - 1} bars",
        )
        index = cut_bar
    return bars[index], bars[:index]


def keep_before(score: symusic.Score, cut: int) -> symusic.Score:
    """A copy without the events at or after tick `cut`; a tempo, metre or key that begins there is kept.

    Notes that begin before the cut and sound across it keep their length.
    """
    kept = score.copy()
    for track in kept.tracks:
        for name in _TRACK_EVENTS:
            events = getattr(track, name)
            setattr(track, name, type(events)([event for event in events if event.time < cut]))
    kept.markers = type(kept.markers)([event for event in kept.markers if event.time < cut])
    for name in _STATES:
        events = getattr(kept, name)
        setattr(kept, name, type(events)([event for event in events if event.time <= cut]))
    return kept


def end_stuck_notes(score: symusic.Score, original: bytes, cut_bar: int | None) -> symusic.Score:
    """A copy in which notes that the file never ends are ended at the cut, as `splice.py` writes them.

    Reading gives them an end long after the cut, often that of the piece; the model would hear them to there.

    Args:
        score: as it was read from `original`.
        cut_bar: as in `find_cut`.
    """
    stuck = stuck_notes(read_file(original, "the file", MAX_LIMITS.file))
    if not stuck:
        return score
    ended = score.copy()
    cut, _ = find_cut(clean_upload(score), cut_bar)
    for track in ended.tracks:
        for note in track.notes:
            if note.time < cut < note.end and (note.time, note.end, note.pitch) in stuck:
                note.duration = cut - note.time
    return ended


def score_from(score: symusic.Score, origin: int) -> symusic.Score:
    """The events from tick `origin` on, moved to tick 0, in the tempo, metre and key in force there."""
    tail = score.copy()
    for track in tail.tracks:
        for name in _TRACK_EVENTS:
            events = getattr(track, name)
            setattr(track, name, type(events)([event for event in events if event.time >= origin]))
            for event in getattr(track, name):
                event.time -= origin
    tail.markers = type(tail.markers)()
    for name in _STATES:
        events = getattr(tail, name)
        in_force = _last_before(events, origin)
        later = [event for event in events if event.time > origin]
        moved = type(events)(([in_force] if in_force is not None else []) + later)
        for event in moved:
            event.time = max(0, event.time - origin)
        setattr(tail, name, moved)
    return tail


def without_notes(
    score: symusic.Score,
    begin: int,
    end: int,
    programs: Collection[int],
    tracks: Collection[int] = (),
    locked: Collection[tuple[int, int, int]] = (),
) -> symusic.Score:
    """A copy without the notes of some tracks that begin between two ticks.

    Args:
        score: not changed.
        begin, end: first tick, and the tick after the last.
        programs: instruments whose notes are removed, -1 for drums; empty: all.
        tracks: indices of the tracks of these instruments whose notes are removed; empty: all.
        locked: notes that stay, as (track, tick, pitch).
    """
    kept = score.copy()
    for index, track in enumerate(kept.tracks):
        if is_selected(track, index, programs=programs, tracks=tracks):
            track.notes = type(track.notes)(
                [
                    note
                    for note in track.notes
                    if not begin <= note.time < end or (index, note.time, note.pitch) in locked
                ]
            )
    return kept


def with_metre(score: symusic.Score, tick: int, metre: tuple[int, int]) -> symusic.Score:
    """A copy in the likely metre, and in `metre` from `tick`, a bar line; later changes of metre are dropped."""
    changed = with_likely_metre(score)
    kept = [each for each in changed.time_signatures if each.time < tick]
    changed.time_signatures = type(changed.time_signatures)([*kept, symusic.TimeSignature(tick, *metre)])
    return changed


def with_tempo(score: symusic.Score, tick: int, tempo: float) -> symusic.Score:
    """A copy in another tempo (quarters per minute) from `tick` on; later changes of tempo are dropped."""
    changed = score.copy()
    kept = [each for each in score.tempos if each.time < tick]
    changed.tempos = type(score.tempos)([*kept, symusic.Tempo(tick, tempo)])
    return changed


def lift_pedals(score: symusic.Score, cut: int) -> None:
    """Release, at tick `cut`, pedals and pitch bends that are still down there: they would colour all that follows."""
    for track in score.tracks:
        presses = [control.value for control in track.controls if control.number == SUSTAIN]
        if presses and presses[-1] >= 64:
            track.controls.append(symusic.ControlChange(cut, SUSTAIN, 0))
        if len(track.pitch_bends) and track.pitch_bends[-1].value != 0:
            track.pitch_bends.append(symusic.PitchBend(cut, 0))


def tempo_at(score: symusic.Score, tick: int) -> float:
    """Quarters a minute in force at a tick."""
    tempo = _last_before(score.tempos, tick)
    return float(tempo.qpm) if tempo is not None else DEFAULT_TEMPO


def _last_before(events: Iterable[Any], tick: int) -> Any:
    """The last event at or before `tick`, or None."""
    found = [event for event in events if event.time <= tick]
    return max(found, key=lambda event: event.time) if found else None
