"""Changes single notes of a MIDI file: adds, removes and alters them; all else stays byte for byte.

A removed note loses its two events, the one that strikes it and the one that releases it. An altered note keeps them:
a byte is changed in place, or they move to another tick. A chunk without a changed note is copied. In a chunk with one,
every other event keeps its bytes; only the wait before an event next to a changed one is written anew, and its status
where it was running.

MIDI knows no notes, only strikes and releases of a key, and the first release ends the note that was struck first. So
of two notes of one pitch on one channel, one inside the other, the one that begins first ends first.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import symusic

from music_reformer.config import require
from music_reformer.errors import UserError
from music_reformer.midi.score import MAX_LIMITS
from music_reformer.midi.smf import (
    DRUM_CHANNEL,
    NOTE_OFF,
    NOTE_ON,
    PROGRAM,
    Event,
    EventSpan,
    MidiFile,
    Track,
    quantity,
    read_file,
    read_spans,
)

# The largest number that a MIDI file writes as one wait.
MAX_TICK = 2**28 - 1
RELEASE_VELOCITY = 64
# Order at one tick: releases that are new there, what the file has, strikes that are new there, the end of the track.
ENDS, KEPT, BEGINS, LAST = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class FileNote:
    """A note as the piano roll has it: `track` is the index of its track in the score, `tick` and `length` in ticks."""

    track: int
    tick: int
    length: int
    pitch: int
    velocity: int

    @property
    def end(self) -> int:
        """Tick of its release."""
        return self.tick + self.length


# A note, and what it becomes. The first is None where a note is added, the second where one is removed.
Change = tuple[FileNote | None, FileNote | None]


@dataclass(slots=True, eq=False)
class _Item:
    """An event of a chunk.

    Attributes:
        data: its bytes; without the status where that is running.
        wait: bytes of its delta time in the file; none for a new event.
        delta: the same as a number.
        follows_long: a system or meta event stands before it in the file.
        rank: its order among the events of its tick.
        is_written: it goes into the file; a removed event does not, nor an end that `read_file` gave to a hanging note.
    """

    tick: int
    status: int
    data: bytes
    wait: bytes = b""
    delta: int = -1
    follows_long: bool = False
    rank: int = KEPT
    is_written: bool = True

    def set(self, place: int, value: int) -> None:
        """Change one of its bytes, counted from the end."""
        changed = bytearray(self.data)
        changed[place] = value
        self.data = bytes(changed)


@dataclass(slots=True, eq=False)
class _Sounding:
    """A note in a chunk: the events that strike and release it."""

    channel: int
    program: int
    on: _Item
    off: _Item


@dataclass
class _Chunk:
    """The events of a track chunk, and its notes.

    Attributes:
        strays: releases of keys that are not down, by channel and pitch.
        hanging: ends of notes that hang, which are not in the file.
        tail: bytes behind the end of the track.
    """

    items: list[_Item] = field(default_factory=list)
    notes: list[_Sounding] = field(default_factory=list)
    strays: dict[tuple[int, int], list[_Item]] = field(default_factory=lambda: defaultdict(list))
    hanging: dict[tuple[int, int], list[_Item]] = field(default_factory=lambda: defaultdict(list))
    tail: bytes = b""
    is_changed: bool = False

    @classmethod
    def read(cls, data: bytes, track: Track) -> _Chunk:
        """The chunk whose body is `data`, and which was read as `track`."""
        chunk, spans = cls(), read_spans(data)
        programs: dict[int, int] = {}
        down: dict[tuple[int, int], list[_Sounding]] = defaultdict(list)
        index = 0
        for event in track.events():
            if event.closes:
                item = _Item(event.tick, event.data[0], event.data, is_written=False)
                chunk.hanging[event.data[0] & 0x0F, event.data[1]].append(item)
            else:
                if index in track.programs:
                    _note_program(programs, track.programs[index])
                item = _item(data, spans, index)
                index += 1
            _note_program(programs, event)
            chunk.items.append(item)
            chunk._pair(event, item, programs, down)
        for last in range(index, len(spans)):  # the end of the track
            chunk.items.append(_item(data, spans, last))
            chunk.items[-1].rank = LAST
        chunk.tail = data[spans[-1].end :] if spans else b""
        return chunk

    def _pair(
        self, event: Event, item: _Item, programs: dict[int, int], down: dict[tuple[int, int], list[_Sounding]]
    ) -> None:
        if event.kind not in (NOTE_ON, NOTE_OFF):
            return
        channel, pitch, velocity = event.data[0] & 0x0F, event.data[1], event.data[2]
        if event.kind == NOTE_ON and velocity:
            down[channel, pitch].append(_Sounding(channel, programs.get(channel, 0), item, item))
        elif waiting := down[channel, pitch]:
            waiting[0].off = item
            self.notes.append(waiting.pop(0))
        else:
            self.strays[channel, pitch].append(item)

    def write_ends(self, key: tuple[int, int]) -> None:
        """Put the ends of hanging notes into the file: those of a channel and pitch."""
        for item in self.hanging.pop(key, ()):
            item.is_written = self.is_changed = True

    def drop_strays(self, key: tuple[int, int]) -> None:
        """Take out releases that would end a new note of a channel and pitch too early."""
        for item in self.strays.pop(key, ()):
            item.is_written = False

    def written(self) -> bytes:
        """The body of the chunk."""
        body = bytearray()
        now = running = 0
        after_long = False
        latest = max((item.tick for item in self.items if item.is_written), default=0)
        for item in self.items:
            if item.rank == LAST:
                item.tick = max(item.tick, latest)
        for item in sorted(self.items, key=lambda item: (item.rank == LAST, item.tick, item.rank)):
            if not item.is_written:
                continue
            delta = item.tick - now
            body += item.wait if delta == item.delta else quantity(delta)
            if item.status < 0xF0:
                can_run = running == item.status and after_long <= item.follows_long
                if not item.data[0] & 0x80 and not can_run:
                    body.append(item.status)
                running = item.status
            body += item.data
            now, after_long = item.tick, item.status >= 0xF0
        return bytes(body) + self.tail


class _Programs:
    """Which program a channel has at a tick, as the notes of a chunk hear it (see `smf.Programs`)."""

    def __init__(self, tracks: list[Track]) -> None:
        self._own: dict[tuple[int, int], list[tuple[int, int, int]]] = defaultdict(list)
        self._any: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        for number, track in enumerate(tracks):
            ports = track.ports()
            for index in ((track.statuses & 0xF0 == PROGRAM) & (track.statuses < 0xF0)).nonzero()[0].tolist():
                address = int(ports[index]) << 4 | int(track.statuses[index]) & 0x0F
                change = (int(track.ticks[index]), number, int(track.first[index]))
                self._own[number, address].append(change)
                self._any[address].append(change)
        self._ports = [track.ports() for track in tracks]
        self._ticks = [track.ticks for track in tracks]
        for changes in self._any.values():
            changes.sort(key=lambda change: change[:2])

    def at(self, chunk: int, channel: int, tick: int) -> int:
        """The program of a note of a chunk that begins at a tick."""
        before = bisect_right(self._ticks[chunk], tick)
        port = int(self._ports[chunk][before - 1]) if before else 0
        address = port << 4 | channel
        own = _last(self._own[chunk, address], tick, chunk)
        if own is not None or channel == DRUM_CHANNEL:
            return own or 0
        return _last(self._any[address], tick, chunk) or 0


class Editor:
    """A file whose notes can be changed.

    Args:
        data: bytes of a MIDI file.
        score: the same, as `read_score` reads it.
        name: what messages call it.

    Raises:
        UserError: it is damaged.
    """

    def __init__(self, data: bytes, score: symusic.Score, *, name: str = "the piece") -> None:
        self._file: MidiFile = read_file(data, name, MAX_LIMITS.file)
        data = self._file.data
        self._chunks = [
            _Chunk.read(data[begin:end], track)
            for (begin, end), track in zip(self._file.bodies, self._file.tracks, strict=True)
        ]
        self._programs = _Programs(self._file.tracks)
        self._end = max((track.end_tick for track in self._file.tracks), default=0)
        self._places: list[tuple[int, int, int] | None] = []  # chunk, channel and program of each track of the score
        self._found: dict[FileNote, list[_Sounding]] = defaultdict(list)
        self._find_tracks(score)

    def apply(self, changes: Iterable[Change]) -> None:
        """Make the changes, all or none.

        Raises:
            UserError: a note that should change is not in the piece, a track has none, or its channel plays another
                instrument where a note should be added.
        """
        changes = list(changes)
        olds = [self._take(old) if old is not None else None for old, _ in changes]
        for old, new in changes:
            if new is not None and (old is None or (old.track, old.tick) != (new.track, new.tick)):
                self._check_place(new)
        for (old, new), sounding in zip(changes, olds, strict=True):
            if old is not None:
                self._touch(old)
            if new is not None:
                self._touch(new, is_new=True)
            if old is not None and new is not None and sounding is not None and old.track == new.track:
                self._alter(sounding, old, new)
                continue
            if old is not None and sounding is not None:
                sounding.on.is_written = sounding.off.is_written = False
            if new is not None:
                self._add(new)

    def written(self) -> bytes:
        """The file."""
        file = self._file
        parts, place = [], 0
        for (begin, end), chunk in zip(file.bodies, self._chunks, strict=True):
            body = chunk.written() if chunk.is_changed else file.data[begin:end]
            parts += [file.data[place : begin - 4], struct.pack(">I", len(body)), body]
            place = end
        return b"".join([*parts, file.data[place:]])

    def _find_tracks(self, score: symusic.Score) -> None:
        """Find for each track of the score the notes of the file that it shows, by what they are."""
        groups: dict[tuple[int, int, int], list[_Sounding]] = defaultdict(list)
        for number, chunk in enumerate(self._chunks):
            for sounding in chunk.notes:
                groups[number, sounding.channel, sounding.program].append(sounding)
        alike: dict[tuple[bool, int, tuple[tuple[int, ...], ...]], list[tuple[int, int, int]]] = defaultdict(list)
        for place, notes in groups.items():
            is_drum = place[1] == DRUM_CHANNEL
            alike[is_drum, place[2], tuple(sorted(_values(note, is_drum=is_drum) for note in notes))].append(place)
        for index, track in enumerate(score.tracks):
            columns = track.notes.numpy()
            names = ("time", "duration", "pitch", "velocity")
            values = tuple(sorted(zip(*(columns[name].tolist() for name in names), strict=True)))
            places = alike.get((track.is_drum, track.program, values), [])
            self._places.append(places.pop(0) if places else None)
            for sounding in groups[self._places[-1]] if self._places[-1] is not None else ():
                self._found[FileNote(index, *_values(sounding, is_drum=track.is_drum))].append(sounding)

    def _take(self, note: FileNote) -> _Sounding:
        found = self._found[note]
        if not found:
            raise UserError(
                f"A note that should change (pitch {note.pitch} at tick {note.tick} of track {note.track}) is not "
                "in the piece; reload the page and try again."
            )
        return found.pop()

    def _place(self, note: FileNote) -> tuple[int, int, int]:
        place = self._places[note.track] if note.track < len(self._places) else None
        if place is None:
            raise UserError(f"The piece has no track {note.track} with notes; add the note to another track.")
        return place

    def _check_place(self, note: FileNote) -> None:
        number, channel, program = self._place(note)
        require(
            self._programs.at(number, channel, note.tick) == program,
            "The channel of this track plays another instrument there; choose another place or another track.",
        )

    def _touch(self, note: FileNote, *, is_new: bool = False) -> None:
        """Make the key of a note unambiguous, because what its releases end depends on all that is on it."""
        number, channel, _ = self._place(note)
        chunk = self._chunks[number]
        chunk.is_changed = True
        chunk.write_ends((channel, note.pitch))
        if is_new:
            chunk.drop_strays((channel, note.pitch))
            if note.end > self._end:  # hanging notes end with the piece, which is longer now
                for each in self._chunks:
                    for key in list(each.hanging):
                        each.write_ends(key)

    def _alter(self, sounding: _Sounding, old: FileNote, new: FileNote) -> None:
        on, off = sounding.on, sounding.off
        if old.pitch != new.pitch:
            on.set(-2, new.pitch)
            off.set(-2, new.pitch)
        if old.velocity != new.velocity:
            on.set(-1, new.velocity)
        if old.tick != new.tick:
            on.tick, on.rank = new.tick, BEGINS
        if off.tick != new.end:
            off.tick, off.rank = new.end, ENDS

    def _add(self, note: FileNote) -> None:
        number, channel, _ = self._place(note)
        on, off = NOTE_ON | channel, NOTE_OFF | channel
        self._chunks[number].items += [
            _Item(note.tick, on, bytes((on, note.pitch, note.velocity)), rank=BEGINS),
            _Item(note.end, off, bytes((off, note.pitch, RELEASE_VELOCITY)), rank=ENDS),
        ]


def edited(data: bytes, score: symusic.Score, changes: Iterable[Change], *, name: str = "the piece") -> bytes:
    """A MIDI file with some of its notes changed; arguments and errors as of `Editor`."""
    editor = Editor(data, score, name=name)
    editor.apply(changes)
    return editor.written()


def _item(data: bytes, spans: list[EventSpan], index: int) -> _Item:
    """An event of the file."""
    span = spans[index]
    before = spans[index - 1] if index else None
    return _Item(
        span.tick,
        span.status,
        data[span.body : span.end],
        wait=data[span.start : span.body],
        delta=span.tick - (before.tick if before else 0),
        follows_long=before is not None and before.status >= 0xF0,
    )


def _note_program(programs: dict[int, int], event: Event) -> None:
    if event.kind == PROGRAM:
        programs[event.data[0] & 0x0F] = event.data[1]


def _values(sounding: _Sounding, *, is_drum: bool) -> tuple[int, int, int, int]:
    """Tick, length, pitch and velocity of a note as a score has them, where drum hits are at least a tick long."""
    on, off = sounding.on, sounding.off
    length = off.tick - on.tick
    return on.tick, max(length, 1) if is_drum else length, min(on.data[-2], 127), min(on.data[-1], 127)


def _last(changes: list[tuple[int, int, int]], tick: int, chunk: int) -> int | None:
    """The program of the last change before a note; at one tick, those of later chunks come after it."""
    place = bisect_right(changes, (tick, chunk), key=lambda change: change[:2])
    return changes[place - 1][2] if place else None
