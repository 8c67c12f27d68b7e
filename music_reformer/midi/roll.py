"""What a piano roll draws: notes in seconds by the tempo map, bar and beat lines, instrument names; ready for JSON."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from typing import Any

import numpy as np
import symusic

from music_reformer.midi.instruments import instrument_name
from music_reformer.midi.score import bar_starts, metres, seconds_at
from music_reformer.midi.text import shown
from music_reformer.midi.vocabulary import program_of

# More beat lines than this are not drawn, only bar lines: of short beats nobody sees the single one.
MAX_BEATS = 100_000
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
        ends = seconds_at(score, columns["time"].astype(np.int64) + columns["duration"])
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
                "name": shown(track.name) or instrument_name(track.program, drum=track.is_drum),
                "program": int(track.program),
                "drum": bool(track.is_drum),
                "notes": notes,
                "controls": _controls(score, track, since),
                "bends": _bends(score, track, since),
            }
        )
    bars = bar_starts(score)
    changes = metres(score)
    return {
        "tracks": tracks,
        "bars": _rounded(score, bars, since),
        "beats": _rounded(score, _beats(score, bars, changes), since),
        "tempos": _tempos(score),
        "metres": [
            [round(second, 4), beats, unit]
            for second, (_, beats, unit) in zip(
                seconds_at(score, [tick for tick, _, _ in changes]).tolist(), changes, strict=True
            )
        ],
        "seconds": round(total, 4),
        "cut": continuation_start,
    }


def _tempos(score: symusic.Score) -> list[list[float]]:
    if not len(score.tempos):
        return [[0.0, 120.0]]
    columns = score.tempos.numpy()
    rows = zip(seconds_at(score, columns["time"]).tolist(), (60_000_000 / columns["mspq"]).tolist(), strict=True)
    return [[round(second, 4), round(bpm, 3)] for second, bpm in rows]


def _beats(score: symusic.Score, bars: list[int], changes: list[tuple[int, int, int]]) -> list[int]:
    """Tick of every beat, bar lines included; a beat is the unit of the time signature. Of too many, the bars alone."""
    beats: list[int] = []
    current = 0
    for begin, end in pairwise(bars):
        while current + 1 < len(changes) and changes[current + 1][0] <= begin:
            current += 1
        step = max(1, round(score.ticks_per_quarter * 4 / changes[current][2]))
        beats.extend(range(begin, end, step)[: MAX_BEATS + 1])
        if len(beats) > MAX_BEATS:
            return bars
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
    """Pitch bends, thinned out in the same way."""
    if not len(track.pitch_bends):
        return []
    columns = track.pitch_bends.numpy()
    rows = zip(seconds_at(score, columns["time"]).tolist(), columns["value"].tolist(), strict=True)
    kept: list[list[float]] = []
    for second, value in sorted(rows, key=lambda row: row[0]):
        if second < since:
            continue
        if kept and second - kept[-1][0] < CONTROL_STEP:
            kept[-1][1] = value
        else:
            kept.append([round(second, 4), value])
    return kept


def _rounded(score: symusic.Score, ticks: list[int], since: float) -> list[float]:
    return [round(float(second), 4) for second in seconds_at(score, ticks) if second >= since]
