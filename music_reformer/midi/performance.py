"""The 388-event performance encoding of Music Transformer (arXiv 1809.04281; "This Time with Feeling", 1808.03715).

128 note-ons, 128 note-offs, 100 time shifts of 10 to 1000 ms, 32 velocities. Time is absolute: there are no tempos or
metres, the sustain pedal lengthens notes, and all instruments become one piano (drums are left out).
"""

from __future__ import annotations

import numpy as np
import symusic

NUM_VELOCITIES = 32
MAX_SHIFT = 100  # in units of 10 ms
UNITS_PER_SECOND = 100
# Decoded scores have a tempo of 120 bpm and a tick of 10 ms.
TICKS_PER_BEAT = 50
TOKENS = (
    [f"NoteOn_{pitch}" for pitch in range(128)]
    + [f"NoteOff_{pitch}" for pitch in range(128)]
    + [f"TimeShift_{shift}" for shift in range(1, MAX_SHIFT + 1)]
    + [f"Velocity_{step}" for step in range(NUM_VELOCITIES)]
)
_NOTE_OFF, _SHIFT, _VELOCITY = 128, 256 - 1, 356


def encode(score: symusic.Score) -> list[int]:
    """Encode the notes of a score, without drums, as indices into `TOKENS`.

    A note that is struck again before it ends is ended first, so that note-ons and note-offs alternate.
    """
    events: list[tuple[int, int, int, int]] = []  # (unit, 0 off or 1 on, pitch, velocity step)
    by_pitch: dict[int, list[tuple[int, int, int]]] = {}
    for start, end, pitch, velocity in _sounding_notes(score):
        by_pitch.setdefault(pitch, []).append((start, max(end, start + 1), velocity))
    for pitch, notes in by_pitch.items():
        notes.sort(key=lambda note: (note[0], -note[1]))
        kept: list[list[int]] = []
        for start, end, velocity in notes:
            if kept and kept[-1][0] == start:
                continue
            if kept:
                kept[-1][1] = min(kept[-1][1], start)
            kept.append([start, end, velocity])
        for start, end, velocity in kept:
            events.append((start, 1, pitch, velocity * NUM_VELOCITIES // 128))
            events.append((end, 0, pitch, 0))
    events.sort()
    tokens: list[int] = []
    now, loudness = 0, -1
    for unit, on, pitch, velocity in events:
        while unit > now:
            shift = min(unit - now, MAX_SHIFT)
            tokens.append(_SHIFT + shift)
            now += shift
        if on:
            if velocity != loudness:
                tokens.append(_VELOCITY + velocity)
                loudness = velocity
            tokens.append(pitch)
        else:
            tokens.append(_NOTE_OFF + pitch)
    return tokens


def decode(tokens: list[int]) -> symusic.Score:
    """Decode a piano score at 120 bpm. Notes without a note-off are dropped."""
    score = symusic.Score(TICKS_PER_BEAT)
    score.tempos.append(symusic.Tempo(0, qpm=120))
    track = symusic.Track("Piano", 0, False)
    sounding: dict[int, tuple[int, int]] = {}
    now, velocity = 0, 64
    for token in tokens:
        if token < _NOTE_OFF:
            sounding.setdefault(token, (now, velocity))
        elif token <= _SHIFT:
            started = sounding.pop(token - _NOTE_OFF, None)
            if started is not None and now > started[0]:
                track.notes.append(symusic.Note(started[0], now - started[0], token - _NOTE_OFF, started[1]))
        elif token < _VELOCITY:
            now += token - _SHIFT
        else:
            step = token - _VELOCITY
            velocity = step * 128 // NUM_VELOCITIES + 128 // NUM_VELOCITIES // 2
    track.notes.sort(key=lambda note: (note.time, note.pitch), inplace=True)
    score.tracks.append(track)
    return score


def _sounding_notes(score: symusic.Score) -> list[tuple[int, int, int, int]]:
    """(start, end, pitch, velocity) of all notes but drums in units of 10 ms, lengthened by the pedal."""
    seconds = score.to("Second")
    found = []
    for track in seconds.tracks:
        if track.is_drum or not len(track.notes):
            continue
        presses = np.array([[pedal.time, pedal.time + pedal.duration] for pedal in track.pedals]).reshape(-1, 2)
        for note in track.notes:
            end = note.time + note.duration
            held = np.searchsorted(presses[:, 0], end, side="right") - 1
            if held >= 0 and presses[held, 1] > end:
                end = presses[held, 1]
            found.append(
                (round(note.time * UNITS_PER_SECOND), round(end * UNITS_PER_SECOND), note.pitch, note.velocity)
            )
    return found
