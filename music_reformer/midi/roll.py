"""What a piano roll draws: notes in seconds by the tempo map, bar and beat lines, instrument names; ready for JSON."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pretty_midi
import symusic

from music_reformer.midi.score import bar_starts, metres, seconds_at

# A note this much before the cut (in seconds) is a note at the cut that was rounded.
CUT_TOLERANCE = 1e-3


def roll_data(score: symusic.Score, *, continuation_start: float | None = None) -> dict[str, Any]:
    """A score as a piano roll.

    Args:
        score: in ticks.
        continuation_start: second at which new notes begin; None: there are none.

    Returns:
        "tracks": a list of {"name", "program", "drum", "notes"}, each note [pitch, start, end, velocity, is new], in
        seconds and by start; tracks without notes are left out. "bars" and "beats": seconds of their lines. "tempos":
        [second, beats per minute]. "seconds": end of the last note. "cut": `continuation_start`.
    """
    tracks = []
    total = 0.0
    first_new = np.inf if continuation_start is None else continuation_start - CUT_TOLERANCE
    for track in score.tracks:
        if not len(track.notes):
            continue
        columns = track.notes.numpy()
        starts = seconds_at(score, columns["time"])
        ends = seconds_at(score, columns["time"] + columns["duration"])
        total = max(total, float(ends.max()))
        fields = zip(columns["pitch"], starts, ends, columns["velocity"], strict=True)
        notes = [
            [int(pitch), round(float(start), 4), round(float(end), 4), int(velocity), bool(start >= first_new)]
            for pitch, start, end, velocity in fields
        ]
        notes.sort(key=lambda note: (note[1], note[0]))
        tracks.append(
            {
                "name": track.name.strip() or instrument_name(track.program, drum=track.is_drum),
                "program": int(track.program),
                "drum": bool(track.is_drum),
                "notes": notes,
            }
        )
    bars = bar_starts(score)
    return {
        "tracks": tracks,
        "bars": _rounded(score, bars),
        "beats": _rounded(score, _beats(score, bars)),
        "tempos": [[round(float(seconds_at(score, tempo.time)), 4), round(tempo.qpm, 3)] for tempo in score.tempos]
        or [[0.0, 120.0]],
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


def _rounded(score: symusic.Score, ticks: list[int]) -> list[float]:
    return [round(float(second), 4) for second in seconds_at(score, ticks)]
