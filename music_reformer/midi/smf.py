"""Parses the bytes of MIDI files; no other module does.

Real files break the standard in many ways that players tolerate. They are read here as players read them, and symusic
is given unambiguous bytes (`normalised`), so that what the model hears and what `splice.py` writes come from one
reading. Bytes that symusic reads the same way are passed on unchanged.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from music_reformer.errors import UserError
from music_reformer.midi.text import decoded

DRUM_CHANNEL = 9
# Meta events.
MARKER, CUE, LYRIC, NAME, PORT, END, TEMPO, METRE, KEY = 0x06, 0x07, 0x05, 0x03, 0x21, 0x2F, 0x51, 0x58, 0x59
META, SYSEX, PACKET = 0xFF, 0xF0, 0xF7
NOTE_OFF, NOTE_ON, CONTROL, PROGRAM, PRESSURE, BEND = 0x80, 0x90, 0xB0, 0xC0, 0xD0, 0xE0
ALL_SOUND_OFF, ALL_NOTES_OFF = 120, 123
# Bytes of the meta events whose content symusic reads without looking at their length.
META_SIZES = {TEMPO: 3, METRE: 4, KEY: 2}
# Number of data bytes of system messages (which should not be in a file).
SYSTEM_SIZES = {0xF1: 1, 0xF2: 2, 0xF3: 1}
MAX_TICK = 2**31 - 1  # symusic counts in 32 bits

_PLAIN_SUFFIXES = (".mid", ".midi", ".kar", ".rmi", ".smf")
MIDI_SUFFIXES = (*_PLAIN_SUFFIXES, *(f"{suffix}.gz" for suffix in _PLAIN_SUFFIXES))


@dataclass(frozen=True)
class FileLimits:
    """The most that is read of one file: bytes (unpacked), track chunks, events of all kinds."""

    max_bytes: int
    max_tracks: int = 0xFFFF
    max_events: int = 10_000_000


@dataclass(slots=True)
class Event:
    """One event of a track: `data` is its bytes without the delta time, always with the status byte.

    `closes` marks an event that is not in the file: the end given to a note that never ends.
    """

    tick: int
    data: bytes
    closes: bool = False

    @property
    def kind(self) -> int:
        """Status byte without the channel; for system and meta events, the whole byte."""
        status = self.data[0]
        return status & 0xF0 if status < 0xF0 else status


@dataclass
class Track:
    """A track chunk as columns: one entry for each event.

    Attributes:
        ticks: from the start of the track.
        statuses: status bytes with the channel; running status is written out.
        first, second: data bytes, at most 127; 0 if there is none.
        long: bytes of system and meta events by index, from the status byte on, with the length as in the file.
        end_tick: tick at which the track ends.
        has_clipped: whether a data byte was above 127.
        is_plain: whether symusic reads these bytes the same way.
        closings: ends given to notes that never end, by the index of the event that they precede.
        programs: changes of program made on the same channel by other tracks, by the index of the event they affect.
    """

    ticks: NDArray[np.int64]
    statuses: NDArray[np.uint8]
    first: NDArray[np.uint8]
    second: NDArray[np.uint8]
    long: dict[int, bytes]
    end_tick: int
    has_clipped: bool = False
    is_plain: bool = True
    closings: dict[int, list[Event]] = field(default_factory=lambda: defaultdict(list))
    programs: dict[int, Event] = field(default_factory=dict)

    def events(self) -> Iterator[Event]:
        """Every event in order, except the end of the track, with the closings inserted."""
        rows = zip(self.ticks.tolist(), self.statuses.tolist(), self.first.tolist(), self.second.tolist(), strict=True)
        for index, (tick, status, first, second) in enumerate(rows):
            if index in self.closings:
                yield from self.closings[index]
            if status >= 0xF0:
                yield Event(tick, self.long[index])
            elif status & 0xE0 == PROGRAM:  # a change of program, or pressure on the channel
                yield Event(tick, bytes((status, first)))
            else:
                yield Event(tick, bytes((status, first, second)))
        yield from self.closings.get(len(self.ticks), ())

    def ports(self) -> NDArray[np.int64]:
        """Port of each event: that of the last port event (FF 21) before it, 0 before the first."""
        changes = {
            index: data[3] & 0x7F
            for index, data in self.long.items()
            if data[0] == META and data[1] == PORT and len(data) >= 4
        }
        sections = np.zeros(len(self.ticks), dtype=np.int64)
        sections[list(changes)] = 1
        ports = np.array([0, *changes.values()], dtype=np.int64)[np.cumsum(sections)]
        return ports


@dataclass
class MidiFile:
    """A standard MIDI file of format 0 or 1.

    Attributes:
        data: its bytes, unwrapped from gzip and RIFF.
        notices: a clause for each fault that was repaired, such as "notes without an end were ended".
        is_plain: whether symusic reads `data` the same way.
        bodies: indices in `data` where the body of each track chunk begins and ends.
    """

    data: bytes
    midi_format: int
    ticks_per_quarter: int
    tracks: list[Track]
    notices: list[str]
    is_plain: bool
    bodies: list[tuple[int, int]]


def without_suffix(path: PurePath) -> PurePath:
    """A path without the suffix of a music file; `song.mid.gz` loses both of its suffixes."""
    return path.with_suffix("").with_suffix("") if path.suffix.lower() == ".gz" else path.with_suffix("")


def unwrapped(data: bytes, name: str, max_bytes: int) -> bytes:
    """The plain MIDI file inside a gzip or RIFF (.rmi) file; other bytes are returned unchanged.

    Raises:
        UserError: it contains none, or one of more than `max_bytes`.
    """
    if data[:2] == b"\x1f\x8b":
        unpacker = zlib.decompressobj(wbits=31)
        try:
            data = unpacker.decompress(data, max_bytes + 1)
        except zlib.error as error:
            raise UserError(f"{name} is damaged: it is a gzip file that cannot be unpacked") from error
        if len(data) > max_bytes:
            raise UserError(f"{name} unpacks to more than the {max_bytes / 1e6:g} MB that are read")
        if not unpacker.eof:
            raise UserError(f"{name} is cut short: the gzip file ends too early")
    if data[:4] == b"RIFF":
        place = 12
        while data[8:12] == b"RMID" and place + 8 <= len(data):
            kind, size = struct.unpack("<4sI", data[place : place + 8])
            if kind == b"data":
                return data[place + 8 : place + 8 + size]
            place += 8 + size + size % 2
        raise UserError(f"{name} is a RIFF file without MIDI in it; choose a MIDI file (.mid or .rmi)")
    return data


def read_file(data: bytes, name: str, limits: FileLimits) -> MidiFile:
    """Read a MIDI file, plain or wrapped.

    Args:
        data: bytes of the file.
        name: name of the file in messages.
        limits: limits on its size.

    Raises:
        UserError: it is not MIDI, is damaged more than players tolerate, or exceeds the limits.
    """
    data = unwrapped(data, name, limits.max_bytes)
    header_size, midi_format, num_tracks, division = _read_header(data, name)
    bodies, passed_over = _track_chunks(data, 8 + header_size, name, limits.max_tracks)
    if not bodies:
        raise UserError(f"{name} is damaged: it holds no track")
    notices = ["stray bytes between its tracks are ignored"] if b"" in passed_over else []
    if midi_format == 2:
        if len(bodies) > 1:
            raise UserError(
                f"{name} holds {len(bodies)} independent patterns (MIDI format 2); save each as a file of its own"
            )
        midi_format = 1
    is_plain = not passed_over and header_size == 6 and len(bodies) == num_tracks and data[9] < 2
    if len(bodies) != num_tracks:
        notices.append(f"it holds {len(bodies)} tracks, not {num_tracks} as its header says")
    tracks, room = [], limits.max_events
    for begin, end in bodies:
        tracks.append(read_track(data[begin:end], name, room))
        room -= len(tracks[-1].ticks)
        if room < 0:
            raise UserError(
                f"{name} has more events than the {limits.max_events:,} that are read; thin out its controllers"
            )
    if midi_format == 0 and len(tracks) > 1:
        midi_format = 1
    if any(track.has_clipped for track in tracks):
        notices.append("data bytes above 127 are read as 127")
    _close_hanging(tracks, notices)
    _share_programs(tracks)
    is_plain &= all(track.is_plain and not track.closings and not track.programs for track in tracks)
    return MidiFile(data, midi_format, division, tracks, notices, is_plain, bodies)


def normalised(file: MidiFile) -> bytes:
    """The file as bytes without ambiguities: no system messages, no malformed meta events, names in UTF-8."""
    if file.is_plain:
        return file.data
    chunks = []
    for track in file.tracks:
        events = list(track.events())
        if track.programs:
            events = list(_with_programs(track))
        chunks.append(write_track(_normal(event) for event in events if not _is_odd(event)))
    return write_header(file.midi_format, len(chunks), file.ticks_per_quarter) + b"".join(chunks)


def stuck_notes(file: MidiFile) -> set[tuple[int, int, int]]:
    """(start, end, pitch) of each note that the file never ends; the end is that given by `read_file`."""
    stuck = set()
    for track in file.tracks:
        starts: dict[tuple[int, int], list[int]] = defaultdict(list)  # by channel and pitch, of the notes that sound
        for event in track.events() if track.closings else ():
            if event.kind not in (NOTE_ON, NOTE_OFF):
                continue
            sounding = starts[event.data[0] & 0x0F, event.data[1]]
            if event.kind == NOTE_ON and event.data[2] > 0:
                sounding.append(event.tick)
            elif sounding:
                start = sounding.pop(0)
                if event.closes:
                    stuck.add((start, event.tick, event.data[1]))
    return stuck


def write_header(midi_format: int, num_tracks: int, ticks_per_quarter: int) -> bytes:
    """The header chunk."""
    return b"MThd" + struct.pack(">IHHH", 6, midi_format, num_tracks, ticks_per_quarter)


def write_track(events: Iterable[Event]) -> bytes:
    """A track chunk from events in order of time; the end of the track is added."""
    body, now = bytearray(), 0
    for event in events:
        delta = event.tick - now
        body += bytes((delta,)) if delta < 0x80 else quantity(delta)
        body += event.data
        now = event.tick
    body += bytes([0, META, END, 0])
    return b"MTrk" + struct.pack(">I", len(body)) + bytes(body)


def tempo_event(tick: int, microseconds: int) -> Event:
    """A tempo event; `microseconds` per quarter."""
    return Event(tick, bytes([META, TEMPO, 3]) + min(microseconds, 0xFFFFFF).to_bytes(3, "big"))


def metre_event(tick: int, beats: int, unit: int) -> Event:
    """A time signature event; `unit` is a power of two."""
    return Event(tick, bytes([META, METRE, 4, beats, unit.bit_length() - 1, max(1, 96 // unit), 8]))


def quantity(number: int) -> bytes:
    """A variable-length quantity."""
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(number & 0x7F | 0x80)
    return bytes(reversed(digits))


def _read_header(data: bytes, name: str) -> tuple[int, int, int, int]:
    """Size, format, number of tracks, ticks per quarter."""
    if data[:4] != b"MThd" or len(data) < 14:
        raise UserError(f"{name} is not a MIDI file: it does not begin with a MIDI header")
    size, midi_format, num_tracks, division = struct.unpack(">IHHH", data[4:14])
    if size < 6:
        raise UserError(f"{name} is damaged: its header is {size} bytes, not 6")
    if division == 0:
        raise UserError(f"{name} is damaged: it has 0 ticks per quarter note")
    if division & 0x8000:
        raise UserError(f"{name} counts time in SMPTE frames, which is not supported; save it in ticks per quarter")
    if midi_format > 2:
        raise UserError(f"{name} is damaged: there is no MIDI format {midi_format}")
    return size, midi_format, num_tracks, division


def _track_chunks(data: bytes, place: int, name: str, most: int) -> tuple[list[tuple[int, int]], set[bytes]]:
    """Begin and end of the bodies of the track chunks, and the kinds of other chunks that were skipped.

    The kind b"" stands for stray bytes.
    """
    bodies: list[tuple[int, int]] = []
    others: set[bytes] = set()
    while place < len(data):
        kind, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "big")
        fits = place + 8 + size <= len(data)
        if kind == b"MTrk" or (len(kind) < 4 and b"MTrk".startswith(kind)):
            if not fits:
                raise UserError(f"{name} is cut short: a track of {size} bytes ends after the file does")
            bodies.append((place + 8, place + 8 + size))
            if len(bodies) > most:
                raise UserError(f"{name} has more tracks than the {most:,} that are read")
        elif fits and kind.isalnum():
            others.add(kind)
        else:
            place = data.find(b"MTrk", place)
            if place < 0:
                break  # bytes after the last chunk
            others.add(b"")
            continue
        place += 8 + size
    return bodies, others


def read_track(data: bytes, name: str = "the track", max_events: int = 10_000_000) -> Track:
    """Read the body of a track chunk. Reading stops soon after `max_events`; the caller has to check their number.

    Raises:
        UserError: the chunk is cut short, or contains bytes that are not an event.
    """
    scan = _Scan(data, max_events)
    try:
        scan.run()
    except IndexError:
        raise UserError(f"{name} is damaged: an event is cut short; save it again or choose another file") from None
    except _BadEventError as error:
        raise UserError(f"{name} is damaged: {error}; save it again or choose another file") from None
    return scan.track()


@dataclass(frozen=True, slots=True)
class EventSpan:
    """The place of an event in the bytes of a track chunk.

    Attributes:
        tick: tick of the event.
        status: its status byte, also if the status is running.
        start: index of its delta time.
        body: index of its status byte or, if the status is running, of its data.
        end: index after it.
    """

    tick: int
    status: int
    start: int
    body: int
    end: int


def read_spans(data: bytes) -> list[EventSpan]:
    """The places of all events of a track chunk, its end included; only for chunks that `read_track` accepts."""
    spans: list[EventSpan] = []
    place = tick = running = 0
    while place < len(data):
        start = place
        delta, body = _read_quantity(data, place)
        tick += delta
        status = data[body]
        if status in (META, SYSEX, PACKET):
            size, place = _read_quantity(data, body + (2 if status == META else 1))
            place += size
        elif status >= 0xF0:
            place = body + 1 + SYSTEM_SIZES.get(status, 0)
        else:
            place = body + (1 if status & 0x80 else 0)
            status = running = status if status & 0x80 else running
            place += 1 if 0xC0 <= running < 0xE0 else 2
        spans.append(EventSpan(tick, status, start, body, place))
        if status == META and data[body + 1] == END:
            break
    return spans


class _BadEventError(Exception):
    """A track holds bytes that are not an event."""


_DELTA = rb"[\x80-\xff]{0,3}+[\x00-\x7f]"
_ONE, _TWO = rb"[\xc0-\xdf][\x00-\x7f]", rb"[\x80-\xbf\xe0-\xef][\x00-\x7f]{2}"
# Channel events, the first with its status. Running status only for two data bytes, which is enough for most files.
_CHANNEL_EVENTS = re.compile(b"(?:%b(?:%b(?:%b[\x00-\x7f]{2})*+|%b))++" % (_DELTA, _TWO, _DELTA, _ONE), re.DOTALL)
_CHANNEL_EVENT = re.compile(b"%b(?:%b|%b|[\x00-\x7f]{2})" % (_DELTA, _TWO, _ONE), re.DOTALL)


class _Scan:
    """One pass over the bytes of a track chunk.

    Stretches of standard channel events are parsed as arrays; everything else is read event by event.
    """

    def __init__(self, data: bytes, max_events: int, *, by_event: bool = False) -> None:
        self.data = data
        self.bytes = np.frombuffer(data + b"\0\0", dtype=np.uint8)
        self.max_events = max_events
        self.by_event = by_event  # read everything event by event, for tests
        self.num_events = 0
        self.long: dict[int, bytes] = {}
        self.end_tick = 0
        self.is_plain = True
        # Ticks, statuses and places of the first data bytes of the events read one by one since the last stretch.
        self._rows: list[tuple[int, int, int]] = []
        self._stretches: list[NDArray[np.int64]] = [np.zeros((0, 3), dtype=np.int64)]

    def run(self) -> None:
        """Fill the columns."""
        data, size = self.data, len(self.data)
        place = tick = running = 0
        resumes = False  # whether a running status here would continue after a system or meta event
        while place < size and self.num_events <= self.max_events:
            stretch = None if self.by_event else _CHANNEL_EVENTS.match(data, place)
            if stretch is not None:
                tick, running = self._take(stretch.start(), stretch[0], tick)
                place, resumes = stretch.end(), False
                continue
            delta, place = _read_quantity(data, place)
            tick += delta
            status = data[place]
            if status >= 0xF0:
                start, place = place, self._pass_long(status, place)
                if status == META and data[start + 1] == END:
                    break
                self.long[self.num_events] = data[start:place]
                self._add(tick, status, start)
                resumes = True
                continue
            if status & 0x80:
                running, place, resumes = status, place + 1, False
            elif not running:
                raise _BadEventError("a track begins without a status")
            elif resumes:
                self.is_plain = False
            self._add(tick, running, place)
            place += 1 if 0xC0 <= running < 0xE0 else 2
        if place > size:
            raise IndexError
        self.end_tick = tick

    def _add(self, tick: int, status: int, place: int) -> None:
        self._rows.append((tick, status, place))
        self.num_events += 1

    def _take(self, start: int, stretch: bytes, tick: int) -> tuple[int, int]:
        """Parse a stretch of channel events; returns the tick and the status of the last one."""
        sizes = np.fromiter(map(len, _CHANNEL_EVENT.findall(stretch)), dtype=np.int64)
        ends = start + np.cumsum(sizes)
        # An event's status byte is third from its end (two data bytes) or second (one), unless it is running.
        has_two, has_one = self.bytes[ends - 3] >= 0x80, self.bytes[ends - 2] >= 0x80
        has_two &= ~has_one
        running = ~(has_one | has_two)
        body = np.where(has_two, 3, 2)
        places = np.where(has_one, ends - 1, ends - 2)
        statuses = self.bytes[places - 1].astype(np.int64)
        latest = np.maximum.accumulate(np.where(running, 0, np.arange(len(sizes))))
        statuses = statuses[latest]
        begins, deltas = ends - sizes, np.zeros(len(sizes), dtype=np.int64)
        for digit in range(int((sizes - body).max())):
            inside = digit < sizes - body
            deltas = np.where(inside, deltas << 7 | (self.bytes[np.where(inside, begins + digit, 0)] & 0x7F), deltas)
        ticks = tick + np.cumsum(deltas)
        self._flush()
        self._stretches.append(np.stack([ticks, statuses, places], axis=1))
        self.num_events += len(sizes)
        return int(ticks[-1]), int(statuses[-1])

    def _flush(self) -> None:
        if self._rows:
            self._stretches.append(np.array(self._rows, dtype=np.int64))
            self._rows = []

    def _pass_long(self, status: int, place: int) -> int:
        """Index after the system or meta event whose status byte is at `place`."""
        data = self.data
        if status in (META, SYSEX, PACKET):
            size, end = _read_quantity(data, place + (2 if status == META else 1))
            end += size
            if status == PACKET:
                self.is_plain = False
            elif status == META:
                self._look_at(data[place + 1], data[end - size : end], size)
        else:
            end = place + 1 + SYSTEM_SIZES.get(status, 0)
            self.is_plain = False
        if end > len(data):
            raise IndexError
        return end

    def _look_at(self, kind: int, content: bytes, size: int) -> None:
        """Clear `is_plain` if symusic would misread this meta event."""
        if kind in META_SIZES:
            self.is_plain &= size == META_SIZES[kind] and (kind != TEMPO or any(content))
        elif kind in (NAME, LYRIC, MARKER, CUE) and not content.isascii():
            try:
                content.decode()
            except UnicodeDecodeError:
                self.is_plain = False

    def track(self) -> Track:
        """The columns as arrays."""
        self._flush()
        ticks, statuses, places = np.concatenate(self._stretches).T
        statuses = statuses.astype(np.uint8)
        has_first = statuses < 0xF0
        first = np.where(has_first, self.bytes[places], 0).astype(np.uint8)
        has_second = has_first & ((statuses & 0xE0) != PROGRAM)
        second = np.where(has_second, self.bytes[places + 1], 0).astype(np.uint8)
        has_clipped = bool((first > 127).any() or (second > 127).any())
        return Track(
            ticks,
            statuses,
            np.minimum(first, 127),
            np.minimum(second, 127),
            self.long,
            self.end_tick,
            has_clipped=has_clipped,
            is_plain=self.is_plain and not has_clipped,
        )


def _read_quantity(data: bytes, place: int) -> tuple[int, int]:
    number = 0
    for _ in range(4):
        byte = data[place]
        place += 1
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            return number, place
    raise _BadEventError("a number is longer than four bytes")


def _close_hanging(tracks: list[Track], notices: list[str]) -> None:
    """Give an end to each note that has none.

    On a key that is struck more often than it is released, each strike ends the note before it; the last note ends
    at the next "all notes off", or else with the piece.
    """
    end = max((track.end_tick for track in tracks), default=0)
    hanging = 0
    for track in tracks:
        keys = _hanging_keys(track)
        if len(keys):
            hanging += len(keys)
            _close_keys(track, set(keys.tolist()), end)
    if hanging:
        notices.append("notes without an end were ended")


def _hanging_keys(track: Track) -> NDArray[np.int64]:
    """Keys (channel times 128, plus pitch) that are struck more often than they are released."""
    kinds = track.statuses & 0xF0
    is_note = (kinds == NOTE_ON) | (kinds == NOTE_OFF)
    if not is_note.any():
        return np.zeros(0, dtype=np.int64)
    keys = ((track.statuses[is_note] & 0x0F).astype(np.int64) << 7) | track.first[is_note]
    steps = np.where((kinds[is_note] == NOTE_ON) & (track.second[is_note] > 0), 1, -1)
    order = np.argsort(keys, kind="stable")
    keys, steps = keys[order], steps[order]
    begins = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    down = np.cumsum(steps)
    before = np.r_[0, down[begins[1:] - 1]]
    lasts = np.r_[begins[1:], len(keys)] - 1
    # Releasing a key that is not down has no effect: notes hang if the last sum is above the lowest one.
    lowest = np.minimum(np.minimum.reduceat(down, begins) - before, 0)
    return keys[begins][down[lasts] - before > lowest]


def _close_keys(track: Track, keys: set[int], end: int) -> None:
    down: dict[int, bool] = {}
    rows = zip(track.ticks.tolist(), track.statuses.tolist(), track.first.tolist(), track.second.tolist(), strict=True)
    for index, (tick, status, first, second) in enumerate(rows):
        kind, channel = status & 0xF0, status & 0x0F
        if kind in (NOTE_ON, NOTE_OFF):
            key = channel << 7 | first
            if key in keys:
                strikes = kind == NOTE_ON and second > 0
                if strikes and down.get(key):
                    track.closings[index].append(_closing(key, tick))
                down[key] = strikes
        elif kind == CONTROL and first in (ALL_SOUND_OFF, ALL_NOTES_OFF):
            for key in [key for key, is_down in down.items() if is_down and key >> 7 == channel]:
                track.closings[index].append(_closing(key, tick))
                down[key] = False
    for key in [key for key, is_down in down.items() if is_down]:
        track.closings[len(track.ticks)].append(_closing(key, end))


def _closing(key: int, tick: int) -> Event:
    return Event(tick, bytes((NOTE_OFF | key >> 7, key & 0x7F, 64)), closes=True)


class Programs:
    """The current program of each channel, while the events of a file are visited in order of time.

    A track's notes follow its own changes of program or, if it has none, those of any track on the same channel of the
    same port (a conductor track often sets all programs). So tracks that share a channel but set their own programs, as
    written by software with more than sixteen instruments, stay apart.
    """

    def __init__(self) -> None:
        self._own: dict[tuple[int, int], int] = {}
        self._any: dict[int, int] = {}

    def change(self, track: int, address: int, program: int) -> None:
        """A change of program in a track; `address` is port times 16, plus channel."""
        self._own[track, address] = self._any[address] = program

    def of(self, track: int, address: int) -> int:
        """The program with which a track's note sounds now."""
        own = self._own.get((track, address))
        return self._any.get(address, 0) if own is None else own


def _share_programs(tracks: list[Track]) -> None:
    """Copy changes of program to other tracks on the same channel: symusic applies them to their own track only."""
    setters: dict[int, set[int]] = defaultdict(set)  # address -> tracks that change its program
    users: dict[int, set[int]] = defaultdict(set)  # address -> tracks with notes on it
    addresses = []
    for number, track in enumerate(tracks):
        address = track.ports() << 4 | (track.statuses & 0x0F)
        kinds = np.where(track.statuses < 0xF0, track.statuses & 0xF0, 0)
        for found, kind in ((setters, PROGRAM), (users, NOTE_ON)):
            for each in np.unique(address[kinds == kind]).tolist():
                found[each].add(number)
        addresses.append(address)
    # If the only track that sets a channel's program is also the only one with notes on it, nothing needs sharing.
    for each, playing in users.items():
        if each & 0x0F != DRUM_CHANNEL and setters[each] and playing | setters[each] != {min(playing)}:
            _share_program(tracks, addresses, each, sorted(playing | setters[each]))


def _share_program(tracks: list[Track], addresses: list[NDArray[np.int64]], address: int, numbers: list[int]) -> None:
    rows = []
    for number in numbers:
        track = tracks[number]
        kinds = track.statuses & 0xF0
        chosen = np.flatnonzero(
            (addresses[number] == address) & (track.statuses < 0xF0) & ((kinds == PROGRAM) | (kinds == NOTE_ON))
        )
        rows += [(int(track.ticks[index]), number, int(index)) for index in chosen]
    programs = Programs()
    seen = dict.fromkeys(numbers, 0)  # the channel's program as symusic sees it in each track
    for _, number, index in sorted(rows):
        track = tracks[number]
        if track.statuses[index] & 0xF0 == PROGRAM:
            seen[number] = int(track.first[index])
            programs.change(number, address, seen[number])
        elif seen[number] != (program := programs.of(number, address)):
            seen[number] = program
            track.programs[index] = Event(int(track.ticks[index]), bytes((PROGRAM | address & 0x0F, program)))


def _with_programs(track: Track) -> Iterator[Event]:
    """`Track.events`, with the changes of program made by other tracks inserted."""
    index = 0
    for event in track.events():
        if not event.closes:
            if index in track.programs:
                yield track.programs[index]
            index += 1
        yield event


def _is_odd(event: Event) -> bool:
    """Whether to leave an event out of the normalised bytes, because symusic may misread it."""
    status = event.data[0]
    if status != META:
        return status >= 0xF0
    kind = event.data[1]
    if kind in META_SIZES:
        return event.data[2] != META_SIZES[kind] or (kind == TEMPO and not any(event.data[3:]))
    return kind == PORT


def _normal(event: Event) -> Event:
    """The event with its text, if any, in UTF-8."""
    if event.data[0] == META and event.data[1] in (NAME, LYRIC, MARKER, CUE):
        _, start = _read_quantity(event.data, 2)
        text = decoded(event.data[start:]).encode()
        return Event(event.tick, bytes((META, event.data[1])) + quantity(len(text)) + text)
    return event
