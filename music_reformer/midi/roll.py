"""A score as the piano roll that the browser draws: notes in seconds by the tempo map, lines, instruments."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import symusic

from music_reformer.midi.instruments import instrument_name
from music_reformer.midi.score import bar_starts, last_tick, metres, seconds_at
from music_reformer.midi.text import shown
from music_reformer.midi.vocabulary import is_selected

# With more beats than this only bar lines are drawn: such short beats could not be told apart.
MAX_BEATS = 100_000
# A note that begins less than this (in seconds) before the cut begins at the cut: its time was rounded.
CUT_TOLERANCE = 1e-3
# Values of one controller closer together than this (in seconds) are thinned out: the difference is inaudible.
CONTROL_STEP = 0.01
# Controllers whose every value counts: bank, data entry, pedals, registered parameters.
WHOLE_CONTROLS = frozenset({0, 6, 32, 38, 64, 66, 67, 98, 99, 100, 101})


def _names(tracks: Sequence[symusic.core.TrackTick]) -> Iterator[str]:
    """Names of tracks on the page: their instruments if they have none, with numbers where names are equal."""
    names = [shown(track.name) or instrument_name(track.program, drum=track.is_drum) for track in tracks]
    seen: Counter[str] = Counter()
    for name in names:
        seen[name] += 1
        yield f"{name} {seen[name]}" if names.count(name) > 1 else name


def roll_data(
    score: symusic.Score,
    *,
    continuation_start: float | None = None,
    continuation_end: float | None = None,
    programs: Collection[int] = (),
    new_tracks: Collection[int] = (),
    locked: Collection[tuple[int, int, int]] = (),
    only_new: bool = False,
) -> dict[str, Any]:
    """A score as a piano roll.

    Args:
        score: in ticks.
        continuation_start: second at which new notes begin; None: there are no new notes.
        continuation_end: end of the infilled hole in seconds; None: open-ended.
        programs: instruments that have new notes, -1 for drums; none: all.
        new_tracks: of these, the indices of the tracks that have new notes; none: all.
        locked: old notes among them, by track, tick and pitch.
        only_new: leave out old notes, and everything else that lies before `continuation_start`.

    Returns:
        "tracks": a list of {"index" in the score, "name", "program", "drum", "notes", "controls", "bends"}, each note
        [pitch, start, end, velocity, is new], each controller [second, number, value], each bend [second, value], in
        seconds and by start; tracks without notes are left out. "bars" and "beats": seconds of their lines. "tempos":
        [second, beats per minute]. "metres": [second, beats, unit]. "seconds": end of the last note. "cut":
        `continuation_start`. Of a whole piece also what is needed to edit it: in a track "ticks", [tick, length] of
        each note, "bar_ticks" and "beat_ticks" of the lines, and "resolution", the ticks of a quarter.
    """
    first_new, until = (np.inf if x is None else x - CUT_TOLERANCE for x in (continuation_start, continuation_end))
    since = first_new if only_new else -np.inf
    tracks = []
    playing = [(index, track) for index, track in enumerate(score.tracks) if len(track.notes)]
    for name, (index, track) in zip(_names([track for _, track in playing]), playing, strict=True):
        since_new = first_new if is_selected(track, index, programs=programs, tracks=new_tracks) else np.inf
        notes, ticks = _notes(score, track, since_new, until, {note[1:] for note in locked if note[0] == index})
        found = {
            "index": index,
            "name": name,
            "program": int(track.program),
            "drum": bool(track.is_drum),
            "notes": [note for note in notes if note[4] or not only_new],
            "controls": _controls(score, track, since),
            "bends": _bends(score, track, since),
        }
        tracks.append(found if only_new else {**found, "ticks": ticks})
    bars = bar_starts(score)
    beats = _beats(score, bars, metres(score))
    grid = {} if only_new else {"bar_ticks": bars, "beat_ticks": beats, "resolution": score.ticks_per_quarter}
    return {
        "tracks": tracks,
        "bars": _rounded(score, bars, since),
        "beats": _rounded(score, beats, since),
        "tempos": _tempos(score),
        "metres": _metres(score),
        "seconds": round(float(seconds_at(score, last_tick(score))), 4),
        "cut": continuation_start,
        **grid,
    }


def roll_json(score: symusic.Score, **options: Any) -> str:
    """`roll_data` as the JSON text that is sent to the browser; it is sent on unparsed."""
    return json.dumps(roll_data(score, **options), separators=(",", ":"))


def _notes(
    score: symusic.Score,
    track: symusic.core.TrackTick,
    first_new: float,
    until: float,
    old: Collection[tuple[int, ...]],
) -> tuple[list[list[Any]], list[list[int]]]:
    """Notes of a track by start, and [tick, length] of each.

    New notes begin at `first_new` or later and before `until` (in seconds), except those in `old` (tick, pitch).
    """
    columns = track.notes.numpy()
    starts = seconds_at(score, columns["time"])
    ends = seconds_at(score, columns["time"].astype(np.int64) + columns["duration"])
    rows = zip(columns["pitch"], starts, ends, columns["velocity"], columns["time"], strict=True)
    notes: list[list[Any]] = [
        [
            int(pitch),
            round(float(start), 4),
            round(float(end), 4),
            int(velocity),
            bool(first_new <= start < until) and (int(tick), int(pitch)) not in old,
        ]
        for pitch, start, end, velocity, tick in rows
    ]
    ticks = zip(columns["time"].tolist(), columns["duration"].tolist(), strict=True)
    both = sorted(zip(notes, map(list, ticks), strict=True), key=lambda pair: (pair[0][1], pair[0][0]))
    return [note for note, _ in both], [tick_and_length for _, tick_and_length in both]


def _metres(score: symusic.Score) -> list[list[float]]:
    changes = metres(score)
    seconds = seconds_at(score, [tick for tick, _, _ in changes]).tolist()
    return [[round(second, 4), beats, unit] for second, (_, beats, unit) in zip(seconds, changes, strict=True)]


def _tempos(score: symusic.Score) -> list[list[float]]:
    if not len(score.tempos):
        return [[0.0, 120.0]]
    columns = score.tempos.numpy()
    rows = zip(seconds_at(score, columns["time"]).tolist(), (60_000_000 / columns["mspq"]).tolist(), strict=True)
    return [[round(second, 4), round(bpm, 3)] for second, bpm in rows]


def _beats(score: symusic.Score, bars: list[int], changes: list[tuple[int, int, int]]) -> list[int]:
    """Tick of every beat, bar lines included; only the bar lines if there are more than `MAX_BEATS`.

    A beat is the unit of the time signature.
    """
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
    """Controllers by time, thinned out where values follow each other closely."""
    if not len(track.controls):
        return []
    columns = track.controls.numpy()
    kept: list[list[float]] = []
    last: dict[int, int] = {}  # controller number -> index of its last value in `kept`
    rows = zip(seconds_at(score, columns["time"]), columns["number"], columns["value"], strict=True)
    for second, number, value in sorted(rows, key=lambda row: row[0]):
        if second < since:
            continue
        number, value = int(number), int(value)
        place = last.get(number)
        if place is not None and number not in WHOLE_CONTROLS and second - kept[place][0] < CONTROL_STEP:
            kept[place][2] = value  # keep the latest value: it stays in force
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
