"""Writes new events into the uploaded file, so that nothing in it is lost.

symusic does not keep text, copyright, instrument names, system exclusive messages, aftertouch and changes of program
within a track. So the new events are inserted into the file's own tracks. Every event before the cut stays unchanged;
after it come the ends of notes that sound across the cut, and the new notes. If a hole was filled, every event stays
except the notes that were removed from it.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field

import symusic

from music_reformer.errors import UserError
from music_reformer.midi.score import MAX_LIMITS
from music_reformer.midi.smf import (
    BEND,
    CONTROL,
    DRUM_CHANNEL,
    END,
    KEY,
    META,
    METRE,
    NAME,
    NOTE_OFF,
    NOTE_ON,
    PORT,
    PROGRAM,
    TEMPO,
    Event,
    Programs,
    Track,
    metre_event,
    quantity,
    read_file,
    tempo_event,
    write_header,
    write_track,
)
from music_reformer.midi.vocabulary import DRUMS, program_of

NUM_PORTS = 128
# Order of events at one tick: new notes end before the file's own events and begin after all others.
ENDS, KEPT, MOVES, BEGINS = 0, 1, 2, 3


class SpliceError(Exception):
    """The file cannot be spliced: it is damaged, or no channel is free."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instrument plays: a track chunk, and its address there, a channel of a port."""

    chunk: int
    port: int
    channel: int

    @property
    def address(self) -> int:
        """Port and channel as one number (see `Programs`)."""
        return self.port << 4 | self.channel


class Writer:
    """Writes continued scores as files: spliced into the original or, where that is impossible, as new files.

    Args:
        original: bytes of the file that is continued; None: the piece was composed from nothing.
        score: the same, as symusic reads it.
        cut: tick of the cut.
        until: tick at which the hole ends, if the cut is the beginning of one.
        missing: instruments whose notes were taken out of the hole, -1 for drums; none: all.
        missing_tracks: of these, the indices of the tracks in `score`; none: all. New tracks follow the existing ones.
        locked: notes that stay in the hole, by track, tick and pitch.
        metre, tempo (quarters a minute): from the cut on; None: those of the file.
        name: what messages call the file.
    """

    def __init__(
        self,
        original: bytes | None,
        score: symusic.Score,
        cut: int,
        *,
        until: int | None = None,
        missing: frozenset[int] = frozenset(),
        missing_tracks: frozenset[int] = frozenset(),
        locked: frozenset[tuple[int, int, int]] = frozenset(),
        metre: tuple[int, int] | None = None,
        tempo: float | None = None,
        name: str = "the file",
    ) -> None:
        self._name = name
        self._must_splice = original is not None
        self._splicer: Splicer | None = None
        if original is not None:
            try:
                self._splicer = Splicer(original, score, cut, until, missing, missing_tracks, locked, metre, tempo)
            except SpliceError as error:
                self._tell(error)

    def write(self, continued: symusic.Score) -> tuple[bytes, bool]:
        """The file, and whether it may lack something of the original (text, system exclusive messages)."""
        if self._splicer is not None:
            try:
                return self._splicer.write(continued), False
            except SpliceError as error:
                self._tell(error)
        return continued.dumps_midi(), self._must_splice

    def _tell(self, error: SpliceError) -> None:
        logging.getLogger(__name__).warning(
            "%s is written as a new file, without the text and system messages of the original: %s", self._name, error
        )


@dataclass
class Splicer:
    """A file cut at a tick, ready to take any number of continuations.

    Args:
        original: bytes of a MIDI file.
        score: the same, as `read_score` reads it.
        cut: tick of the cut.
        until, missing, missing_tracks, locked, metre, tempo: as in `Writer`.

    Raises:
        SpliceError: it is damaged.
    """

    original: bytes
    score: symusic.Score
    cut: int
    until: int | None = None
    missing: frozenset[int] = frozenset()
    missing_tracks: frozenset[int] = frozenset()
    locked: frozenset[tuple[int, int, int]] = frozenset()
    metre: tuple[int, int] | None = None
    tempo: float | None = None
    _kept: list[list[Event]] = field(default_factory=list)
    # (tick, pitch, program or -1 for drums) of notes -> the places that play them.
    _players: dict[tuple[int, int, int], list[Place]] = field(default_factory=lambda: defaultdict(list))
    # Of each track of the score; None: it has no notes.
    _places: list[Place | None] = field(default_factory=list)
    # (place, tick, pitch) of the notes of missing instruments in the hole.
    _in_hole: list[tuple[Place, int, int]] = field(default_factory=list)
    # (chunk, tick, channel, pitch) of the notes that were taken out of it.
    _taken: set[tuple[int, int, int, int]] = field(default_factory=set)
    # Addresses on which something plays, and those whose program changes in the hole.
    _used: set[int] = field(default_factory=set)
    _changes_in_hole: set[int] = field(default_factory=set)
    _programs_at_cut: Programs = field(default_factory=Programs)

    def __post_init__(self) -> None:
        try:
            file = read_file(self.original, "the file", MAX_LIMITS.file)
        except UserError as error:
            raise SpliceError(str(error)) from error
        self._format = file.midi_format
        self._ports = [_last_port(track) for track in file.tracks]
        chunks = [list(track.events()) for track in file.tracks]
        self._find_players(chunks)
        self._find_places()
        self._find_taken()
        self._kept = [list(self._keep(number, events)) for number, events in enumerate(chunks)]

    def write(self, continued: symusic.Score) -> bytes:
        """The file with what `continued` has after the cut or in the hole; its tracks are the file's, then new ones."""
        chunks = [list(events) for events in self._kept]
        news: dict[int, list[Event]] = defaultdict(list)
        ports = list(self._ports)
        free = self._free_addresses()
        if self.metre is not None:
            news[0].append(metre_event(self.cut, *self.metre))
        if self.tempo is not None:
            news[0].append(tempo_event(self.cut, round(60e6 / self.tempo)))
        for number, track in enumerate(continued.tracks):
            program = program_of(track)
            track = self._without_locked(track, number)
            if not self._is_missing(program, number) or not _has_news(track, self.cut, self.until):
                continue
            place = self._place(number)
            if place is None or not self._still_plays(place, program):
                # The channel has another instrument by now, or the track has no channel: it gets a new one.
                place = self._new_place(program, place, free, ports)
                if place.chunk == len(chunks):
                    chunks.append(list(_opening(track.name, place.port)))
                    ports.append(place.port)
                news[place.chunk].append(Event(self.cut, bytes([PROGRAM | place.channel, max(program, 0)])))
            news[place.chunk] += _news(track, self.cut, self.until, place.channel)
        header = write_header(self._format, len(chunks), self.score.ticks_per_quarter)
        return header + b"".join(
            write_track(merged(events, news[number], self.cut)) for number, events in enumerate(chunks)
        )

    def _without_locked(self, track: symusic.core.TrackTick, number: int) -> symusic.core.TrackTick:
        locked = {(tick, pitch) for index, tick, pitch in self.locked if index == number}
        if not locked:
            return track
        rest = track.copy()
        rest.notes = type(rest.notes)([note for note in rest.notes if (note.time, note.pitch) not in locked])
        return rest

    def _still_plays(self, place: Place, program: int) -> bool:
        return program == DRUMS or (
            self._programs_at_cut.of(place.chunk, place.address) == program
            and place.address not in self._changes_in_hole
        )

    def _free_addresses(self) -> list[tuple[int, int]]:
        """(port, channel) on which nothing plays: the file's ports first, then further ports."""
        ports = sorted({address >> 4 for address in self._used} | {0})
        ports += [port for port in range(NUM_PORTS) if port not in ports]
        return [
            (port, channel)
            for port in ports
            for channel in range(16)
            if channel != DRUM_CHANNEL and port << 4 | channel not in self._used
        ]

    def _new_place(self, program: int, before: Place | None, free: list[tuple[int, int]], ports: list[int]) -> Place:
        """A place for a track that has none of its own; `chunk` may be the number of a chunk yet to be added."""
        if program == DRUMS:
            port, channel = 0, DRUM_CHANNEL
        elif free:
            port, channel = free.pop(0)
        else:
            raise SpliceError("all channels of all ports are taken")
        if self._format == 0:
            if port != ports[0]:
                raise SpliceError("all sixteen channels are taken, and a file of one track has no more")
            return Place(0, port, channel)
        if before is not None and ports[before.chunk] == port:
            return Place(before.chunk, port, channel)
        return Place(len(ports), port, channel)

    def _find_players(self, chunks: list[list[Event]]) -> None:
        """Which chunk and channel plays which note, and which program each channel has at the cut."""
        rows: list[tuple[int, int, int, bytes]] = []  # tick, chunk, port, event
        for number, events in enumerate(chunks):
            port = 0
            for event in events:
                if event.kind in (NOTE_ON, PROGRAM):
                    rows.append((event.tick, number, port, event.data))
                elif event.kind == META and event.data[1] == PORT:
                    port = _port_of(event.data)
        rows.sort(key=lambda row: row[:2])
        programs = Programs()
        last = self.cut if self.until is not None else self.cut - 1  # with a hole, a change exactly at the cut stays
        at_cut = bisect_right(rows, last, key=lambda row: row[0])
        self._listen(rows[:at_cut], programs)
        self._programs_at_cut = deepcopy(programs)
        self._listen(rows[at_cut:], programs)

    def _listen(self, rows: list[tuple[int, int, int, bytes]], programs: Programs) -> None:
        for tick, number, port, data in rows:
            place = Place(number, port, data[0] & 0x0F)
            in_hole = self.until is not None and self.cut <= tick < self.until
            if data[0] & 0xF0 == PROGRAM:
                programs.change(number, place.address, data[1])
                if in_hole and tick > self.cut:
                    self._changes_in_hole.add(place.address)
            elif data[2]:
                self._used.add(place.address)
                program = DRUMS if place.channel == DRUM_CHANNEL else programs.of(number, place.address)
                self._players[tick, data[1], program].append(place)
                if in_hole and self._is_missing(program):
                    self._in_hole.append((place, tick, data[1]))

    def _is_missing(self, program: int, track: int | None = None) -> bool:
        is_one_of_them = track is None or not self.missing_tracks or track in self.missing_tracks
        return is_one_of_them and (not self.missing or program in self.missing)

    def _find_taken(self) -> None:
        """Which notes were taken out of the hole: all of the missing instruments, or those of the missing tracks."""
        places = {self._place(track) for track in self.missing_tracks}
        locked = {(self._place(track), tick, pitch) for track, tick, pitch in self.locked}
        self._taken = {
            (place.chunk, tick, place.channel, pitch)
            for place, tick, pitch in self._in_hole
            if (not self.missing_tracks or place in places) and (place, tick, pitch) not in locked
        }

    def _find_places(self) -> None:
        """Where each track of the score plays, by a vote of its notes, since tracks may play in unison."""
        for track in self.score.tracks:
            program = program_of(track)
            votes = Counter(
                place for note in track.notes for place in self._players.get((note.time, note.pitch, program), ())
            )
            most = max(votes.values(), default=0)
            likeliest = [place for place, count in votes.items() if count == most]
            free = [place for place in likeliest if place not in self._places]
            self._places.append(next(iter(free or likeliest), None))

    def _place(self, number: int) -> Place | None:
        """Where a track of the original score plays; None if it has no notes or is new."""
        return self._places[number] if number < len(self._places) else None

    def _keep(self, number: int, events: Iterable[Event]) -> Iterator[Event]:
        """Events before the cut; tempo, metre and key at it; after it the ends of notes that sound across it.

        A note that never ends is ended at the cut. In a piece with a hole all events stay except the removed notes.
        """
        # By channel and pitch: whether each sounding note is kept.
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
                if event.closes and self.until is None:
                    event = Event(min(event.tick, self.cut), data)
            elif event.tick == self.cut and kind == META and data[1] in (TEMPO, METRE, KEY):
                keeps = (self.metre if data[1] == METRE else self.tempo if data[1] == TEMPO else None) is None
            if keeps:
                yield event


def merged(kept: list[Event], news: list[Event], cut: int) -> Iterator[Event]:
    """Events of a track by time. Kept events stay in order, except note ends that were moved to the cut."""
    before = [event for event in kept if event.tick < cut]
    rows = [(event.tick, KEPT, event) for event in kept if event.tick >= cut]
    rows += [(event.tick, _turn(event), event) for event in news]
    yield from before
    yield from (event for _, _, event in sorted(rows, key=lambda row: row[:2]))


def _opening(name: str, port: int) -> Iterator[Event]:
    """Name and port of a new track."""
    text = name.encode()
    yield Event(0, bytes([META, NAME]) + quantity(len(text)) + text)
    if port:
        yield Event(0, bytes([META, PORT, 1, port]))


def _port_of(data: bytes) -> int:
    return data[3] & 0x7F if len(data) >= 4 else 0


def _last_port(track: Track) -> int:
    """The port in force at the end of a track; its channels are on this one."""
    ports = track.ports()
    return int(ports[-1]) if len(ports) else 0


def _turn(event: Event) -> int:
    if event.kind == NOTE_OFF:
        return ENDS
    return BEGINS if event.kind == NOTE_ON else MOVES


def _has_news(track: symusic.core.TrackTick, cut: int, until: int | None) -> bool:
    if until is not None:
        return any(cut <= note.time < until for note in track.notes)
    return any(event.time >= cut for events in (track.notes, track.controls, track.pitch_bends) for event in events)


def _news(track: symusic.core.TrackTick, cut: int, until: int | None, channel: int) -> Iterator[Event]:
    """Events of a track after the cut, or its notes in a hole, as events of a channel."""
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
