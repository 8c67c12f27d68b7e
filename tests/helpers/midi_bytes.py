"""MIDI files made byte by byte, valid or not."""

from __future__ import annotations

import struct

from music_reformer.midi.smf import quantity

END = b"\0\xff\x2f\0"
SCALE = (60, 62, 64, 65, 67, 69, 71, 72)


def event(delta: int, *data: int) -> bytes:
    """An event after a wait."""
    return quantity(delta) + bytes(data)


def meta(delta: int, kind: int, content: bytes = b"") -> bytes:
    return quantity(delta) + bytes((0xFF, kind)) + quantity(len(content)) + content


def note(pitch: int, *, channel: int = 0, length: int = 400, rest: int = 80, velocity: int = 80) -> bytes:
    """A note, and a rest before it."""
    return event(rest, 0x90 | channel, pitch, velocity) + event(length, 0x80 | channel, pitch, 64)


def scale(*, channel: int = 0, up: int = 0) -> bytes:
    """Two bars of eight notes."""
    return b"".join(note(pitch + up, channel=channel) for pitch in SCALE)


def chunk(body: bytes, kind: bytes = b"MTrk") -> bytes:
    return kind + struct.pack(">I", len(body)) + body


def midi(
    *bodies: bytes, midi_format: int = 1, num_tracks: int | None = None, division: int = 480, between: bytes = b""
) -> bytes:
    """A file of tracks, whose ends are added; `between` is put between the chunks, `num_tracks` into the header."""
    count = len(bodies) if num_tracks is None else num_tracks
    header = b"MThd" + struct.pack(">IHHH", 6, midi_format, count, division)
    return header + between.join(chunk(body + END) for body in bodies)
