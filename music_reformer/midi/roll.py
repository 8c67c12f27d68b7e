"""What a piano roll draws: notes in seconds by the tempo map, bar and beat lines, instrument names; ready for JSON."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from typing import Any

import numpy as np
import pretty_midi
import symusic

from music_reformer.midi.score import bar_starts, metres, seconds_at
from music_reformer.midi.vocabulary import program_of

# A note this much before the cut (in seconds) is a note at the cut that was rounded.
CUT_TOLERANCE = 1e-3


# Values of one controller closer together than this (in seconds) are thinned out: nobody hears the difference.
CONTROL_STEP = 0.01
# Controllers whose every value counts: bank, data entry, pedals, registered parameters.
WHOLE_CONTROLS = frozenset({0, 6, 32, 38, 64, 66, 67, 98, 99, 100, 101})


def roll_data(
    score: symusic.Score,
    *,
    continuation_start: float | None = None,
    continuation_end: float | None = None,
    programs: Collection[int] = (),
    only_new: bool = False,
) -> dict[str, Any]:
    """A score as a piano roll.

    Args:
        score: in ticks.
        continuation_start: second at which new notes begin; None: there are none.
        continuation_end: second at which those of before go on; None: they do not.
        programs: instruments that have new notes, -1 for drums; none: all.
        only_new: leave out notes that are not new, and of all other lists what lies before `continuation_start`.

    Returns:
        "tracks": a list of {"index" in the score, "name", "program", "drum", "notes", "controls", "bends"}, each note
        [pitch, start, end, velocity, is new], each controller [second, number, value], each bend [second, value], in
        seconds and by start; tracks without notes are left out. "bars" and "beats": seconds of their lines. "tempos":
        [second, beats per minute]. "metres": [second, beats, unit]. "seconds": end of the last note. "cut":
        `continuation_start`.
    """
    tracks = []
    total = 0.0
    first_new = np.inf if continuation_start is None else continuation_start - CUT_TOLERANCE
    until = np.inf if continuation_end is None else continuation_end - CUT_TOLERANCE
    since = first_new if only_new else -np.inf
    for index, track in enumerate(score.tracks):
        if not len(track.notes):
            continue
        columns = track.notes.numpy()
        starts = seconds_at(score, columns["time"])
        ends = seconds_at(score, columns["time"] + columns["duration"])
        total = max(total, float(ends.max()))
        fields = zip(columns["pitch"], starts, ends, columns["velocity"], strict=True)
        may_be_new = not programs or program_of(track) in programs
        notes = [
            [int(pitch), round(float(start), 4), round(float(end), 4), int(velocity), is_new]
            for pitch, start, end, velocity in fields
            if (is_new := bool(may_be_new and first_new <= start < until)) or not only_new
        ]
        notes.sort(key=lambda note: (note[1], note[0]))
        tracks.append(
            {
                "index": index,
                "name": track.name.strip() or instrument_name(track.program, drum=track.is_drum),
                "program": int(track.program),
                "drum": bool(track.is_drum),
                "notes": notes,
                "controls": _controls(score, track, since),
                "bends": _bends(score, track, since),
            }
        )
    bars = bar_starts(score)
    return {
        "tracks": tracks,
        "bars": _rounded(score, bars, since),
        "beats": _rounded(score, _beats(score, bars), since),
        "tempos": [[round(float(seconds_at(score, tempo.time)), 4), round(tempo.qpm, 3)] for tempo in score.tempos]
        or [[0.0, 120.0]],
        "metres": [[round(float(seconds_at(score, tick)), 4), beats, unit] for tick, beats, unit in metres(score)],
        "seconds": round(total, 4),
        "cut": continuation_start,
    }


def instrument_name(program: int, *, drum: bool) -> str:
    """The General MIDI name of a program, 0 to 127."""
    return "Drums" if drum else pretty_midi.program_to_instrument_name(program)


def _beats(score: symusic.Score, bars: list[int]) -> list[int]:
    """Tick of every beat, bar lines included; a beat is the unit of the time signature."""
    changes = metres(score)
    beats: list[int] = []
    current = 0
    for begin, end in pairwise(bars):
        while current + 1 < len(changes) and changes[current + 1][0] <= begin:
            current += 1
        step = max(1, round(score.ticks_per_quarter * 4 / changes[current][2]))
        beats.extend(range(begin, end, step))
    return beats + bars[-1:]


def _controls(score: symusic.Score, track: symusic.core.TrackTick, since: float) -> list[list[float]]:
    """What a synthesizer needs of the controllers, thinned out where they come in crowds."""
    if not len(track.controls):
        return []
    columns = track.controls.numpy()
    kept: list[list[float]] = []
    last: dict[int, int] = {}  # number -> where in `kept` its last value stands
    rows = zip(seconds_at(score, columns["time"]), columns["number"], columns["value"], strict=True)
    for second, number, value in sorted(rows, key=lambda row: row[0]):
        if second < since:
            continue
        number, value = int(number), int(value)
        place = last.get(number)
        if place is not None and number not in WHOLE_CONTROLS and second - kept[place][0] < CONTROL_STEP:
            kept[place][2] = value  # the last of a crowd is the one that lasts
            continue
        last[number] = len(kept)
        kept.append([round(float(second), 4), number, value])
    return kept


def _bends(score: symusic.Score, track: symusic.core.TrackTick, since: float) -> list[list[float]]:
    if not len(track.pitch_bends):
        return []
    columns = track.pitch_bends.numpy()
    rows = zip(seconds_at(score, columns["time"]), columns["value"], strict=True)
    return sorted([round(float(second), 4), int(value)] for second, value in rows if second >= since)


def _rounded(score: symusic.Score, ticks: list[int], since: float) -> list[float]:
    return [round(float(second), 4) for second in seconds_at(score, ticks) if second >= since]
