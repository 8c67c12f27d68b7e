"""Writing new events into the file that was uploaded, so that nothing of it is lost.

Between reading and writing, symusic drops text, copyright, instrument names, system exclusive messages, aftertouch and
a change of program within a track. So the continuation is put into the file's own tracks: every event before the cut
stays as it is, and behind it come the ends of notes that sound across the cut, and what was composed. Where a hole was
filled, every event stays but the notes that were taken out of it.
"""

from __future__ import annotations

import logging
import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import symusic

from music_reformer.midi.vocabulary import DRUMS, program_of

DRUM_CHANNEL = 9
# Meta events that are in force from a bar line on, and so are kept where they stand right at the cut.
TEMPO, METRE, KEY, NAME, END = 0x51, 0x58, 0x59, 0x03, 0x2F
META, NOTE_OFF, NOTE_ON, CONTROL, PROGRAM, BEND = 0xFF, 0x80, 0x90, 0xB0, 0xC0, 0xE0
# Of events at one tick, notes end before controllers move, and those before notes begin.
ENDS, MOVES, BEGINS = 0, 1, 2


class SpliceError(Exception):
    """The file cannot be spliced: an odd structure, or no channel is free."""


@dataclass(slots=True)
class Event:
    """One event of a track: `data` is its bytes without the time, its status byte always first."""

    tick: int
    data: bytes

    @property
    def kind(self) -> int:
        """Status without the channel; of system and meta events the whole status."""
        status = self.data[0]
        return status & 0xF0 if status < 0xF0 else status


class Writer:
    """How continued scores become files: spliced into the original, or written anew where that cannot be done.

    Args:
        original: bytes of the file that is continued; None: there is none, and nothing to lose.
        score: the same, as symusic reads it.
        cut: tick of the cut.
        until: tick at which the hole ends, if the cut is the beginning of one.
        missing: instruments whose notes were taken out of the hole, -1 for drums; none: all.
    """

    def __init__(
        self,
        original: bytes | None,
        score: symusic.Score,
        cut: int,
        *,
        until: int | None = None,
        missing: frozenset[int] = frozenset(),
    ) -> None:
        self._must_splice = original is not None
        self._splicer: Splicer | None = None
        if original is not None:
            try:
                self._splicer = Splicer(original, score, cut, until, missing)
            except SpliceError as error:
                self._tell(error)

    def write(self, continued: symusic.Score) -> tuple[bytes, bool]:
        """The file, and whether something of the original may be lost in it (text, system exclusive messages)."""
        if self._splicer is not None:
            try:
                return self._splicer.write(continued), False
            except SpliceError as error:
                self._tell(error)
        return continued.dumps_midi(), self._must_splice

    def _tell(self, error: SpliceError) -> None:
        logging.getLogger(__name__).warning("the file is written anew, not spliced: %s", error)


@dataclass
class Splicer:
    """A file cut at a tick, ready to take any number of continuations.

    Args:
        original: bytes of a standard MIDI file, of format 0 or 1.
        score: the same, as symusic reads it.
        cut: tick of the cut.
        until, missing: as in `Writer`.

    Raises:
        SpliceError: it is of another format or damaged.
    """

    original: bytes
    score: symusic.Score
    cut: int
    until: int | None = None
    missing: frozenset[int] = frozenset()
    _format: int = 0
    _kept: list[list[Event]] = field(default_factory=list)
    # (tick, pitch, program or -1 for drums) of notes -> every (chunk, channel) that plays one.
    _players: dict[tuple[int, int, int], list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    # (chunk, channel) of each track of the score; None: it has no notes.
    _places: list[tuple[int, int] | None] = field(default_factory=list)
    # (chunk, tick, channel, pitch) of notes that were taken out of the hole.
    _taken: set[tuple[int, int, int, int]] = field(default_factory=set)
    _used: set[int] = field(default_factory=set)
    _program_at_cut: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            _, length, self._format = struct.unpack(">4sIH", self.original[:10])
            chunks = [list(read_track(chunk)) for chunk in _chunks(self.original, 8 + length)]
        except (struct.error, IndexError) as error:
            raise SpliceError("the file is damaged") from error
        if self._format > 1 or not chunks:
            raise SpliceError("only files of format 0 and 1 can be spliced")
        self._find_players(chunks)
        self._find_places()
        self._kept = [list(self._keep(number, events)) for number, events in enumerate(chunks)]

    def write(self, continued: symusic.Score) -> bytes:
        """The file with what `continued` (the same tracks first, then new ones) has from the cut on, or in the hole."""
        chunks = [list(events) for events in self._kept]
        free = [channel for channel in range(16) if channel != DRUM_CHANNEL and channel not in self._used]
        for number, track in enumerate(continued.tracks):
            program = program_of(track)
            if not self._is_missing(program) or not _has_news(track, self.cut, self.until):
                continue
            chunk, channel = self._place(number) or (None, None)
            if program == DRUMS and channel is None:
                channel = DRUM_CHANNEL
            elif program != DRUMS and (channel is None or self._program_at_cut.get(channel, 0) != program):
                # The channel plays another instrument by now, or there is none: the track moves to one of its own.
                if not free:
                    raise SpliceError("all sixteen channels are taken")
                chunk, channel = None, free.pop(0)
            news = list(_news(track, self.cut, self.until, channel or 0))
            if chunk is None:
                news = [Event(self.cut, bytes([PROGRAM | (channel or 0), max(program, 0)])), *news]
                if self._format == 1:
                    name = track.name.encode("latin-1", errors="replace")
                    chunks.append([Event(0, bytes([META, NAME]) + quantity(len(name)) + name)])
                chunk = len(chunks) - 1
            chunks[chunk] = [*chunks[chunk], *news]
        header = b"MThd" + struct.pack(">IHHH", 6, self._format, len(chunks), self.score.ticks_per_quarter)
        return header + b"".join(write_track(events, self.cut) for events in chunks)

    def _find_players(self, chunks: list[list[Event]]) -> None:
        """Which chunk and channel plays which note, and which program each channel has at the cut."""
        in_time = sorted(
            ((event.tick, event.kind != PROGRAM, number, event.data) for number, events in enumerate(chunks)
             for event in events if event.kind in (NOTE_ON, PROGRAM)),
            key=lambda row: row[:2],
        )  # fmt: skip
        programs: dict[int, int] = {}
        for tick, _, number, data in in_time:
            channel = data[0] & 0x0F
            if data[0] & 0xF0 == PROGRAM:
                programs[channel] = data[1]
                if tick <= self.cut:
                    self._program_at_cut[channel] = data[1]
            elif data[2]:
                self._used.add(channel)
                program = DRUMS if channel == DRUM_CHANNEL else programs.get(channel, 0)
                self._players[tick, data[1], program].append((number, channel))
                if self.until is not None and self.cut <= tick < self.until and self._is_missing(program):
                    self._taken.add((number, tick, channel, data[1]))

    def _is_missing(self, program: int) -> bool:
        return not self.missing or program in self.missing

    def _find_places(self) -> None:
        """Which chunk and channel each track of the score is. Tracks may play in unison, so all notes are asked."""
        for track in self.score.tracks:
            program = program_of(track)
            played = (self._players.get((note.time, note.pitch, program), ()) for note in track.notes)
            counts = Counter(place for places in played for place in places)
            most = max(counts.values(), default=0)
            likeliest = [place for place, count in counts.items() if count == most]
            free = [place for place in likeliest if place not in self._places]
            self._places.append(next(iter(free or likeliest), None))

    def _place(self, number: int) -> tuple[int, int] | None:
        """(chunk, channel) of a track of the original score; None: it has no notes, or it is new."""
        return self._places[number] if number < len(self._places) else None

    def _keep(self, number: int, events: Iterable[Event]) -> Iterator[Event]:
        """Events before the cut; tempo, metre and key at it; behind it the ends of notes that sound across it.

        Of a piece with a hole all events, but for the notes that were taken out.
        """
        # By channel and pitch: of each note that sounds, whether it is kept.
        sounding: dict[tuple[int, int], list[bool]] = defaultdict(list)
        for event in events:
            kind, data, channel = event.kind, event.data, event.data[0] & 0x0F
            if kind == META and data[1] == END:
                continue
            keeps = event.tick < self.cut or self.until is not None
            if kind == NOTE_ON and data[2] > 0:
                keeps &= (number, event.tick, channel, data[1]) not in self._taken
                sounding[channel, data[1]].append(keeps)
            elif kind in (NOTE_ON, NOTE_OFF):
                if notes := sounding[channel, data[1]]:
                    keeps = notes.pop(0)
            elif event.tick == self.cut and kind == META and data[1] in (TEMPO, METRE, KEY):
                keeps = True
            if keeps:
                yield event


def read_track(data: bytes) -> Iterator[Event]:
    """Events of a track chunk; running status is written out. Raises `IndexError` or `SpliceError` where damaged."""
    place, tick, running = 0, 0, 0
    while place < len(data):
        delta, place = _read_quantity(data, place)
        tick += delta
        status = data[place]
        if status >= 0xF0:
            start, place = place, place + (2 if status == META else 1)
            if status not in (META, 0xF0, 0xF7):
                raise SpliceError(f"a track holds a system message ({status:#x})")
            size, place = _read_quantity(data, place)
            place += size
            yield Event(tick, data[start:place])
            if status == META and data[start + 1] == END:
                return
            continue
        if status & 0x80:
            running, place = status, place + 1
        if not running:
            raise SpliceError("a track begins without a status")
        size = 1 if running & 0xF0 in (PROGRAM, 0xD0) else 2
        body = data[place : place + size]
        if len(body) < size:
            raise IndexError("the track is cut short")
        place += size
        yield Event(tick, bytes([running]) + body)


def write_track(events: list[Event], cut: int) -> bytes:
    """A track chunk. What stands before the cut keeps its order; behind it, ends of notes come first at each tick."""
    kept = [event for event in events if event.tick < cut]
    behind = sorted((event for event in events if event.tick >= cut), key=lambda event: (event.tick, _turn(event)))
    body, now = bytearray(), 0
    for event in [*kept, *behind]:
        body += quantity(event.tick - now) + event.data
        now = event.tick
    body += bytes([0, META, END, 0])
    return b"MTrk" + struct.pack(">I", len(body)) + bytes(body)


def quantity(number: int) -> bytes:
    """A variable-length quantity."""
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(number & 0x7F | 0x80)
    return bytes(reversed(digits))


def _read_quantity(data: bytes, place: int) -> tuple[int, int]:
    number = 0
    while True:
        byte = data[place]
        place += 1
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            return number, place


def _chunks(data: bytes, place: int) -> Iterator[bytes]:
    """Bodies of the track chunks; chunks of other kinds are passed over."""
    while place + 8 <= len(data):
        kind, size = struct.unpack(">4sI", data[place : place + 8])
        if kind == b"MTrk":
            yield data[place + 8 : place + 8 + size]
        place += 8 + size


def _turn(event: Event) -> int:
    if event.kind == NOTE_OFF or (event.kind == NOTE_ON and event.data[2] == 0):
        return ENDS
    return BEGINS if event.kind == NOTE_ON else MOVES


def _has_news(track: symusic.core.TrackTick, cut: int, until: int | None) -> bool:
    if until is not None:
        return any(cut <= note.time < until for note in track.notes)
    return any(event.time >= cut for events in (track.notes, track.controls, track.pitch_bends) for event in events)


def _news(track: symusic.core.TrackTick, cut: int, until: int | None, channel: int) -> Iterator[Event]:
    """What a track has from the cut on, or the notes that it has in a hole, as events of a channel."""
    if until is not None:
        yield from _notes((note for note in track.notes if cut <= note.time < until), channel)
        return
    for control in track.controls:
        if control.time >= cut:
            yield Event(control.time, bytes([CONTROL | channel, control.number, control.value]))
    for bend in track.pitch_bends:
        if bend.time >= cut:
            value = bend.value + 8192
            yield Event(bend.time, bytes([BEND | channel, value & 0x7F, value >> 7]))
    yield from _notes((note for note in track.notes if note.time >= cut), channel)


def _notes(notes: Iterable[symusic.core.NoteTick], channel: int) -> Iterator[Event]:
    for note in notes:
        yield Event(note.time, bytes([NOTE_ON | channel, note.pitch, note.velocity]))
        yield Event(note.time + note.duration, bytes([NOTE_OFF | channel, note.pitch, 64]))
