"""Reading, checking, cleaning and writing scores.

A score is a `symusic.Score` in ticks. Files are checked before they are parsed (size, header, chunk bounds), because a
few bytes can ask a parser for gigabytes; what is parsed is checked again (notes, ticks, seconds).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.errors import UserError
from music_reformer.files import write_atomically

MAX_BYTES = 20_000_000
MAX_NOTES = 1_000_000
# Of files that nobody vouches for (`guard.py`): about ten times the longest piano pieces.
UPLOAD_BYTES = 5_000_000
UPLOAD_NOTES = 100_000
MAX_SECONDS = 24 * 3600.0
# A day at 250 to 300 beats a minute.
MAX_QUARTERS = 400_000
MAX_BARS = 400_000
MAX_BPM = 10_000
DEFAULT_METRE = (4, 4)


class NoNotesError(UserError):
    """A file that holds no music; nothing is wrong with it otherwise."""


def read_score(
    source: str | Path | bytes, *, max_bytes: int = MAX_BYTES, max_notes: int = MAX_NOTES, name: str | None = None
) -> symusic.Score:
    """Read a MIDI file, or its bytes; `name` is what messages call it (None: its path).

    Raises:
        UserError: it is missing, too large, no MIDI, damaged, or absurd in time.
        NoNotesError: it is empty, or holds no notes.
    """
    name = name or ("the MIDI data" if isinstance(source, bytes) else str(source))
    data = read_bytes(source, name, max_bytes)
    check_chunks(data, name)
    try:
        score = symusic.Score.from_midi(data)
    except Exception as error:  # symusic raises whatever its C++ side threw
        raise UserError(
            f"{name} is damaged and cannot be read as MIDI; save it again or choose another file"
        ) from error
    _check_content(score, name, max_notes)
    return score


def read_bytes(source: str | Path | bytes, name: str, max_bytes: int) -> bytes:
    """The bytes of a file whose size is checked first; `name` is what messages call it."""
    if isinstance(source, bytes):
        size, data = len(source), source
    else:
        try:
            size = os.path.getsize(source)
            data = Path(source).read_bytes() if size <= max_bytes else b""
        except OSError as error:
            raise UserError(f"{name} cannot be opened ({error.strerror})") from error
    if size == 0:
        raise NoNotesError(f"{name} is empty; choose a MIDI file")
    if size > max_bytes:
        raise UserError(f"{name} is {size / 1e6:.1f} MB, more than the {max_bytes / 1e6:g} MB that are read")
    return data


def check_chunks(data: bytes, name: str) -> None:
    """Header and chunk bounds; bytes after the last chunk are tolerated. Raises `UserError`, at once."""
    if data[:4] == b"RIFF":
        raise UserError(f"{name} is a RIFF file, not plain MIDI; save it as a standard MIDI file (.mid)")
    if data[:4] != b"MThd" or len(data) < 14:
        raise UserError(f"{name} is not a MIDI file: it does not begin with a MIDI header")
    length, _, num_tracks, division = struct.unpack(">IHHH", data[4:14])
    if length < 6:
        raise UserError(f"{name} is damaged: its header is {length} bytes, not 6")
    if division == 0:
        raise UserError(f"{name} is damaged: it has 0 ticks per quarter note")
    if division & 0x8000:
        raise UserError(f"{name} counts time in SMPTE frames, which is not supported; save it in ticks per quarter")
    place, tracks = 8 + length, 0
    while tracks < num_tracks and place + 8 <= len(data):
        (size,) = struct.unpack(">I", data[place + 4 : place + 8])
        if place + 8 + size > len(data):
            raise UserError(f"{name} is cut short: a track of {size} bytes ends after the file does")
        tracks += data[place : place + 4] == b"MTrk"
        place += 8 + size
    if tracks == 0:
        raise UserError(f"{name} is damaged: it holds no track")
    if tracks < num_tracks:
        raise UserError(f"{name} is cut short: {tracks} of its {num_tracks} tracks are there")


def _check_content(score: symusic.Score, name: str, max_notes: int) -> None:
    """Bounds on all that reading, drawing and tokenizing take time and memory for."""
    num_notes = score.note_num()
    if num_notes == 0:
        raise NoNotesError(f"{name} holds no notes; choose a file with music in it")
    if num_notes > max_notes:
        raise UserError(f"{name} holds {num_notes:,} notes, more than the {max_notes:,} that are read")
    if any(not 0 < tempo.qpm <= MAX_BPM for tempo in score.tempos):
        raise UserError(f"{name} is damaged: it has a tempo of more than {MAX_BPM:,} beats a minute")
    # symusic counts ticks in 32 bits; a time past them has come round to a negative number.
    times = [0]
    for events in [score.tempos, score.time_signatures, *(track.notes for track in score.tracks)]:
        if len(events):
            times += [int(events.numpy()["time"].min()), int(events.numpy()["time"].max())]
    end = max(*times, last_tick(score))
    if min(times) < 0 or end > MAX_QUARTERS * score.ticks_per_quarter:
        raise UserError(f"{name} has events at absurd times, after more than {MAX_QUARTERS:,} beats; it is damaged")
    duration = float(seconds_at(score, end))
    if duration > MAX_SECONDS:
        raise UserError(f"{name} lasts {duration / 3600:.0f} hours, more than the {MAX_SECONDS / 3600:g} that are read")
    if count_bars(score) > MAX_BARS:
        raise UserError(f"{name} has more than {MAX_BARS:,} bars; its time signatures are damaged")


def clean_score(
    score: symusic.Score,
    *,
    metre_aliases: dict[str, str] | None = None,
    program_by_track: dict[str, int] | None = None,
) -> symusic.Score:
    """A copy fit for tokens: no empty tracks, no notes without length, tempos and metres in order.

    Args:
        score: left as it is.
        metre_aliases: time signatures to read as others, such as {"1/4": "4/4"}.
        program_by_track: General MIDI program of tracks by name.
    """
    clean = score.copy()
    for track in clean.tracks:
        if program_by_track and track.name in program_by_track and not track.is_drum:
            track.program = program_by_track[track.name]
        track.notes.filter(lambda note: note.duration > 0 and note.velocity > 0, inplace=True)
    clean.tracks = [track for track in clean.tracks if len(track.notes)]
    if metre_aliases:
        for metre in clean.time_signatures:
            alias = metre_aliases.get(f"{metre.numerator}/{metre.denominator}")
            if alias is not None:
                numerator, _, denominator = alias.partition("/")
                metre.numerator, metre.denominator = int(numerator), int(denominator)
    clean.sort()
    return clean


def with_likely_metre(score: symusic.Score) -> symusic.Score:
    """A copy in the metre that is meant.

    A piece in which 1/4 is in force throughout comes from a program that knew the beats but not the metre (POP909
    does); it is read in 4/4, as its corpus is for training.
    """
    likely = score.copy()
    if all((beats, unit) == (1, 4) for _, beats, unit in metres(likely)):
        for metre in likely.time_signatures:
            metre.numerator, metre.denominator = 4, 4
    return likely


def clean_upload(score: symusic.Score) -> symusic.Score:
    """`clean_score` for files of which nothing is known, in the metre that is meant."""
    return clean_score(with_likely_metre(score))


def write_score(score: symusic.Score, path: str | Path) -> None:
    """Write a standard MIDI file, under another name first."""
    write_atomically(Path(path), score.dumps_midi())


def metres(score: symusic.Score) -> list[tuple[int, int, int]]:
    """(tick, beats, unit) of every time signature in force, the first at tick 0."""
    found: list[tuple[int, int, int]] = [(0, *DEFAULT_METRE)]
    for metre in sorted(score.time_signatures, key=lambda metre: metre.time):
        if metre.numerator <= 0 or metre.denominator <= 0:
            continue
        if metre.time <= found[-1][0]:
            found.pop()
        found.append((max(metre.time, 0) if found else 0, metre.numerator, metre.denominator))
    return found


def bar_starts(score: symusic.Score) -> list[int]:
    """Tick of every bar line, from the first bar to the end of the bar in which the last note ends.

    A time signature inside a bar cuts it short.
    """
    return [tick for section in _bar_sections(score) for tick in section]


def count_bars(score: symusic.Score) -> int:
    """Number of bars, without listing them."""
    return sum(map(len, _bar_sections(score))) - 1


def _bar_sections(score: symusic.Score) -> list[range]:
    """Bar lines, a range for each time signature."""
    end = last_tick(score)
    sections: list[range] = []
    changes = metres(score)
    for index, (tick, numerator, denominator) in enumerate(changes):
        length = max(1, round(score.ticks_per_quarter * 4 * numerator / denominator))
        lines = range(tick, max(tick, end) + length, length)  # the first at or after the end is the last
        until = changes[index + 1][0] if index + 1 < len(changes) else None
        if until is None or (lines[-1] <= until and end < until):
            return [*sections, lines]
        sections.append(range(tick, until, length))
        if until >= end:
            return [*sections, range(until, until + 1)]
    raise AssertionError("metres() gives at least one")


def note_columns(tracks: Iterable[symusic.core.TrackTick]) -> dict[str, NDArray[np.int64]]:
    """Time, duration and pitch of all notes of some tracks, track after track."""
    columns = [track.notes.numpy() for track in tracks]
    return {
        name: np.concatenate([column[name] for column in columns] or [np.zeros(0)]).astype(np.int64)
        for name in ("time", "duration", "pitch")
    }


def last_tick(score: symusic.Score) -> int:
    """Tick at which the last note ends. (`Score.end` also counts events that make no sound, and overflows.)"""
    ends = (track.notes.numpy() for track in score.tracks if len(track.notes))
    return max((int((columns["time"].astype(np.int64) + columns["duration"]).max()) for columns in ends), default=0)


def seconds_at(score: symusic.Score, ticks: int | NDArray[np.int64] | list[int]) -> NDArray[np.float64]:
    """Seconds from the start at the given ticks, by the tempo map (120 bpm before the first tempo)."""
    tempos = sorted((tempo.time, tempo.qpm) for tempo in score.tempos)
    times = np.array([0] + [max(0, time) for time, _ in tempos], dtype=np.float64)
    bpm = np.array([120.0] + [qpm for _, qpm in tempos], dtype=np.float64)
    per_tick = 60.0 / (bpm * score.ticks_per_quarter)
    elapsed = np.concatenate([[0.0], np.cumsum(np.diff(times) * per_tick[:-1])])
    asked = np.asarray(ticks, dtype=np.float64)
    section = np.maximum(np.searchsorted(times, asked, side="right") - 1, 0)
    return elapsed[section] + (asked - times[section]) * per_tick[section]
