"""Files that cause as much time, memory and output as five megabytes can."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable

import numpy as np

from helpers.midi_bytes import END, chunk, event, meta, midi, note, quantity, scale
from music_reformer.midi.score import UPLOAD_BYTES

SIZE = UPLOAD_BYTES - 10_000


def _many(piece: bytes, *, size: int = SIZE) -> bytes:
    return piece * (size // len(piece))


def _tempos(count: int) -> bytes:
    return b"".join(meta(1, 0x51, (400_000 + step % 1000).to_bytes(3, "big")) for step in range(count))


def _metres(count: int) -> bytes:
    return b"".join(meta(1 + step % 3, 0x58, bytes((1 + step % 5, 5, 24, 8))) for step in range(count))


def _tracks(count: int, body: bytes) -> bytes:
    return midi(*[body] * count, num_tracks=min(count, 0xFFFF))


def _notes_in_running_status(size: int = SIZE) -> bytes:
    return event(0, 0x90, 60, 80) + b"\1\x3c\0" + _many(b"\0\x3c\x50\1\x3c\0", size=size)


def _long_metre(power: int, beats: int, *, quarters: int = 390_000) -> bytes:
    """Two notes far apart, in a metre of the shortest beats, at 300 beats a minute."""
    signs = meta(0, 0x51, (200_000).to_bytes(3, "big")) + meta(0, 0x58, bytes((beats, power, 24, 8)))
    return midi(signs + note(60) + quantity(quarters * 24) + note(60)[1:], division=24)


def _many_chords(bars: int = 2048, beats: int = 14) -> bytes:
    """Random notes on as many beats as chords are recognised for, in bars of `beats` beats."""
    random = np.random.default_rng(1)
    chords = b"".join(
        event(0, 0x90, pitch, 80) + event(24, 0x80, pitch, 0)
        for pitch in random.integers(0, 128, bars * beats).tolist()
    )
    return midi(meta(0, 0x58, bytes((beats, 2, 24, 8))) + chords, division=24)


def _hanging(size: int = SIZE) -> bytes:
    return b"".join(event(1, 0x90 | step % 16, step % 128, 80) for step in range(size // 4))


WORST: dict[str, Callable[[], bytes]] = {
    "10,000 tempos": lambda: midi(_tempos(10_000), scale()),
    "tempos alone": lambda: midi(_tempos(SIZE // 7), scale()),
    "as many tempos as are read, many tracks": lambda: midi(_tempos(19_900), *[scale()] * 390),
    "metres alone": lambda: midi(_metres(SIZE // 8), scale()),
    "as many metres as are read": lambda: midi(_metres(19_900), scale()),
    "64/128 over a long time": lambda: _long_metre(7, 64),
    "as many bars of 64/128 as are read": lambda: _long_metre(7, 64, quarters=99_000),
    "1/128 over a long time": lambda: _long_metre(7, 1),
    "255/128 over a long time": lambda: _long_metre(7, 255),
    "a metre in parts of 2^255": lambda: _long_metre(255, 1),
    "65,000 tracks": lambda: _tracks(65_000, b"\0\x90\x3c\x50\x09\x80\x3c\0"),
    "500,000 empty tracks": lambda: b"MThd" + struct.pack(">IHHH", 6, 1, 0xFFFF, 480) + chunk(b"") * (SIZE // 8),
    "other chunks": lambda: midi(scale()) + chunk(b"", b"XFIH") * (SIZE // 8) + chunk(scale() + END),
    "stray bytes everywhere": lambda: midi(*[note(60)] * 900, between=bytes(5_000)),
    "390 instruments": lambda: midi(*[scale()] * 390),
    "2,048 instruments in a track": lambda: midi(
        b"".join(event(0, 0xC0 | each % 16, each // 16) + note(60, channel=each % 16) for each in range(2048))
    ),
    "notes in running status": lambda: midi(_notes_in_running_status()),
    "as many notes as are read": lambda: midi(_notes_in_running_status(6 * 99_000)),
    "as many chords as are looked for": _many_chords,
    "notes that never end": lambda: midi(_hanging()),
    "as many notes that never end as are read": lambda: midi(_hanging(4 * 99_000)),
    "pressure in running status": lambda: midi(scale() + event(0, 0xD0, 64) + _many(b"\0\x40")),
    "controllers": lambda: midi(scale() + event(0, 0xB0, 1, 64) + _many(b"\1\1\x40")),
    "as many controllers as are read": lambda: midi(scale() + event(0, 0xB0, 64, 64) + b"\7\x40\x40" * 290_000),
    "as many bends as are read": lambda: midi(scale() + event(0, 0xE0, 64, 64) + b"\7\x40\x41" * 290_000),
    "changes of program": lambda: midi(scale() + event(0, 0xC0, 64) + _many(b"\0\x40\0\x41")),
    "programs from a conductor": lambda: midi(
        _many(event(1, 0xC0, 3) + event(1, 0xC0, 4), size=1_000_000), *[_many(note(60), size=10_000)] * 300
    ),
    "empty texts": lambda: midi(scale() + _many(meta(0, 1))),
    "ports": lambda: midi(scale() + _many(meta(0, 0x21, b"\1"))),
    "lyrics": lambda: midi(scale() + _many(meta(1, 5, b"la"))),
    "markers": lambda: midi(scale() + _many(meta(1, 6, b"\xe9"))),
    "names": lambda: midi(scale() + _many(meta(1, 3, b"\x83\x73\x83\x41"))),
    "a long name": lambda: midi(meta(0, 3, b"x" * (SIZE - 1000)) + scale()),
    "a long name in Shift-JIS": lambda: midi(meta(0, 3, b"\x83\x73" * (SIZE // 2 - 1000)) + scale()),
    "a system message": lambda: midi(quantity(0) + b"\xf0" + quantity(SIZE) + bytes(SIZE) + scale()),
    "packets": lambda: midi(scale() + _many(event(0, 0xF7, 1, 0))),
    "clock ticks": lambda: midi(scale() + _many(event(0, 0xF8))),
    "long waits": lambda: midi(scale() + _many(b"\xff\xff\xff\x7f\xb0\1\1") + scale()),
    "an endless number": lambda: midi(b"\x80" * SIZE),
    "a gzip bomb": lambda: gzip.compress(bytes(400_000_000)),
    "a gzip file of notes": lambda: gzip.compress(midi(_notes_in_running_status())),
}
