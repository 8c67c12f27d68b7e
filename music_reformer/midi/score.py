"""Reading, checking, cleaning and writing scores.

A score is a `symusic.Score` in ticks. The bytes of a file are checked by `smf.py`, which also repairs faults that
players tolerate; the content (notes, ticks, seconds) is checked here, because a few bytes can ask for gigabytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.errors import UserError
from music_reformer.files import write_atomically
from music_reformer.midi.sheet import as_midi
from music_reformer.midi.smf import FileLimits, normalised, read_file

MAX_SECONDS = 24 * 3600.0
# A day at 250 to 300 beats a minute.
MAX_QUARTERS = 400_000
MAX_BPM = 10_000
DEFAULT_METRE = (4, 4)
HAIR = 48  # a quarter divided by this is shorter than anybody hears or writes


@dataclass(frozen=True)
class Limits:
    """The most that a file may hold.

    Attributes:
        file: limits on its bytes.
        max_notes: of all tracks together.
        max_instruments: tracks of the score.
        max_changes: of tempo; of metre; of key.
        max_controls: controllers and pitch bends together.
        max_bars: bar lines.
    """

    file: FileLimits
    max_notes: int
    max_instruments: int
    max_changes: int
    max_controls: int
    max_bars: int


MAX_BYTES = 20_000_000
MAX_LIMITS = Limits(
    FileLimits(MAX_BYTES),
    max_notes=1_000_000,
    max_instruments=10_000,
    max_changes=1_000_000,
    max_controls=5_000_000,
    max_bars=400_000,
)
# For untrusted files (`guard.py`): about ten times the longest piano pieces.
UPLOAD_BYTES = 5_000_000
UPLOAD_LIMITS = Limits(
    FileLimits(UPLOAD_BYTES, max_tracks=1_000, max_events=600_000),
    max_notes=100_000,
    max_instruments=400,
    max_changes=20_000,
    max_controls=300_000,
    max_bars=50_000,
)
# For files made from uploads: new notes are added, and running status is written out.
KEPT_LIMITS = Limits(
    FileLimits(4 * UPLOAD_BYTES, max_tracks=2_000, max_events=1_200_000),
    max_notes=200_000,
    max_instruments=600,
    max_changes=20_000,
    max_controls=400_000,
    max_bars=60_000,
)


class NoNotesError(UserError):
    """A file that is valid but holds no music."""


def read_score(
    source: str | Path | bytes,
    *,
    limits: Limits = MAX_LIMITS,
    name: str | None = None,
    tell: Callable[[str], None] | None = None,
) -> symusic.Score:
    """Read a file of music, or its bytes.

    Args:
        source: path or bytes of MIDI, plain, gzip or RIFF, or of sheet music (`sheet.py`).
        limits: the most that is read.
        name: what messages call it; None: its path.
        tell: called with a sentence if faults of the file were repaired.

    Raises:
        UserError: it is missing, too large, not MIDI, damaged, or has events at absurd times.
        NoNotesError: it is empty, or holds no notes.
    """
    name = name or ("the MIDI data" if isinstance(source, bytes) else str(source))
    data, _ = as_midi(read_bytes(source, name, limits.file.max_bytes), name)
    file = read_file(data, name, limits.file)
    if file.notices and tell is not None:
        tell(f"{name} has faults that were repaired: {'; '.join(file.notices)}")
    return parse(normalised(file), name, limits)


def parse(data: bytes, name: str, limits: Limits) -> symusic.Score:
    """The score of bytes that `smf.normalised` returned. Raises `UserError` as `read_score` does."""
    try:
        score = symusic.Score.from_midi(data)
    except Exception as error:  # symusic passes on any exception of its C++ code
        raise UserError(
            f"{name} is damaged and cannot be read as MIDI; save it again or choose another file"
        ) from error
    _check_content(score, name, limits)
    for track in score.tracks:
        if track.is_drum and len(track.notes) and not track.notes.numpy()["duration"].all():
            for note in track.notes:
                note.duration = max(1, note.duration)  # a hit without length is audible all the same
    return score


def read_bytes(source: str | Path | bytes, name: str, max_bytes: int) -> bytes:
    """Read a file after checking its size; `name` is its name in messages."""
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


def _check_content(score: symusic.Score, name: str, limits: Limits) -> None:
    """Check everything that determines the time and memory of reading, drawing and tokenizing."""
    num_notes = score.note_num()
    if num_notes == 0:
        raise NoNotesError(f"{name} holds no notes; choose a file with music in it")
    changes = [score.tempos, score.time_signatures, score.key_signatures]
    for number, most, what in (
        (num_notes, limits.max_notes, "notes"),
        (len(score.tracks), limits.max_instruments, "instruments"),
        (max(map(len, changes)), limits.max_changes, "changes of tempo or metre"),
        (sum(len(track.controls) + len(track.pitch_bends) for track in score.tracks), limits.max_controls,
         "controllers and pitch bends"),
    ):  # fmt: skip
        if number > most:
            raise UserError(f"{name} holds {number:,} {what}, more than the {most:,} that are read")
    if len(score.tempos) and int(score.tempos.numpy()["mspq"].min()) * MAX_BPM < 60_000_000:
        raise UserError(f"{name} is damaged: it has a tempo of more than {MAX_BPM:,} beats a minute")
    # symusic counts ticks in 32 bits; a time beyond them wraps around to a negative number.
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
    if count_bars(score) > limits.max_bars:
        raise UserError(f"{name} has more than {limits.max_bars:,} bars; its time signatures are damaged")


def clean_score(
    score: symusic.Score,
    *,
    metre_aliases: dict[str, str] | None = None,
    program_by_track: dict[str, int] | None = None,
) -> symusic.Score:
    """A copy ready for tokenizing: no empty tracks, no notes without length, tempos and metres in order.

    Args:
        score: not changed.
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
    """A copy in the likely metre.

    A piece in which 1/4 is in force throughout comes from a program that knew the beats but not the metre (POP909
    does); it is read in 4/4, as that corpus is for training.
    """
    likely = score.copy()
    if all((beats, unit) == (1, 4) for _, beats, unit in metres(likely)):
        for metre in likely.time_signatures:
            metre.numerator, metre.denominator = 4, 4
    return likely


def clean_upload(score: symusic.Score) -> symusic.Score:
    """`clean_score` for uploaded files, in the likely metre."""
    return clean_score(with_likely_metre(score))


def write_score(score: symusic.Score, path: str | Path) -> None:
    """Write a standard MIDI file, under another name first."""
    write_atomically(Path(path), score.dumps_midi())


def metres(score: symusic.Score) -> list[tuple[int, int, int]]:
    """(tick, beats, unit) of every time signature in force, the first at tick 0.

    A signature that narrowly misses a bar line (some programs write it a tick late) is moved to it.
    """
    found: list[tuple[int, int, int]] = [(0, *DEFAULT_METRE)]
    for metre in sorted(score.time_signatures, key=lambda metre: metre.time):
        if metre.numerator <= 0 or metre.denominator <= 0:
            continue
        tick = max(metre.time, 0)
        past = (tick - found[-1][0]) % _bar_ticks(score, *found[-1][1:])
        if past * HAIR < score.ticks_per_quarter:
            tick -= past
        if tick <= found[-1][0]:
            found.pop()
        found.append((tick if found else 0, metre.numerator, metre.denominator))
    return found


def _bar_ticks(score: symusic.Score, beats: int, unit: int) -> int:
    """Ticks of a whole bar of a metre."""
    return max(1, round(score.ticks_per_quarter * 4 * beats / unit))


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
        length = _bar_ticks(score, numerator, denominator)
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
    if len(score.tempos):
        columns = score.tempos.numpy()
        order = np.lexsort((-columns["mspq"], columns["time"]))
        times = np.concatenate([[0.0], np.maximum(columns["time"][order], 0).astype(np.float64)])
        bpm = np.concatenate([[120.0], 60_000_000.0 / columns["mspq"][order]])
    else:
        times, bpm = np.zeros(1), np.full(1, 120.0)
    per_tick = 60.0 / (bpm * score.ticks_per_quarter)
    elapsed = np.concatenate([[0.0], np.cumsum(np.diff(times) * per_tick[:-1])])
    asked = np.asarray(ticks, dtype=np.float64)
    section = np.maximum(np.searchsorted(times, asked, side="right") - 1, 0)
    return elapsed[section] + (asked - times[section]) * per_tick[section]
