"""Sixty bad files: each is refused in one sentence, without an effect on other visitors."""

from __future__ import annotations

import random
import struct
import time
from pathlib import Path

import pytest

from music_reformer.errors import UserError
from music_reformer.midi.examples import EXAMPLES
from music_reformer.midi.score import UPLOAD_BYTES, read_score
from music_reformer.ui.operations import Operations
from music_reformer.ui.order import Order

GOOD = EXAMPLES["waltz"].score().dumps_midi()
END = b"\0\xff\x2f\0"
SHORT_BARS = b"\0\xff\x58\x04\x01\x07\x18\x08"  # of 1/128
NOTE = b"\0\x90\x3c\x50\x60\x80\x3c\0"


def track(body: bytes) -> bytes:
    return b"MTrk" + struct.pack(">I", len(body)) + body


def file(*bodies: bytes, midi_format: int = 1, num_tracks: int | None = None, division: int = 480) -> bytes:
    count = len(bodies) if num_tracks is None else num_tracks
    return b"MThd" + struct.pack(">IHHH", 6, midi_format, count, division) + b"".join(map(track, bodies))


def tempo(microseconds: int) -> bytes:
    return b"\0\xff\x51\x03" + microseconds.to_bytes(3, "big")


def many_notes(count: int) -> bytes:
    return b"".join(bytes([0, 0x90, 40 + index % 40, 80, 1, 0x80, 40 + index % 40, 0]) for index in range(count))


FOREIGN = {
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(300),
    "a photograph": b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(300),
    "a page": b"<!doctype html><html><script>alert(1)</script></html>",
    "a text": b"Dear Clara,\nI have no MIDI for you.\n",
    "a wide text": "Dear Clara, no MIDI.".encode("utf-16"),
    "a document": b"%PDF-1.7\n" + bytes(300),
    "an archive": b"PK\x03\x04" + bytes(300),
    "a program": b"\x7fELF\x02\x01\x01" + bytes(300),
    "a recording": b"RIFF\x24\0\0\0WAVEfmt " + bytes(300),
    "an RMID": b"RIFF\x24\0\0\0RMIDdata" + bytes(300),
    "a song": b"ID3\x04\0" + bytes(300),
    "another song": b"OggS\0\x02" + bytes(300),
    "a soundfont": b"RIFF\x24\0\0\0sfbk" + bytes(300),
    "a pickle": b"\x80\x04\x95cos\nsystem\n(S'true'\ntR.",
    "nothing": b"",
    "a byte": b"M",
    "zeros": bytes(4096),
    "noise": random.Random(1).randbytes(4096),
    "much noise": random.Random(2).randbytes(400_000),
    "noise after a header": GOOD[:14] + random.Random(3).randbytes(4096),
    "too much": GOOD + bytes(UPLOAD_BYTES),
}
HEADER = {
    "four letters": b"MThd",
    "half a header": GOOD[:9],
    "a header alone": GOOD[:14],
    "a header of no length": b"MThd" + struct.pack(">IHHH", 0, 1, 1, 480) + track(NOTE + END),
    "a header without end": b"MThd" + struct.pack(">IHHH", 0xFFFFFFFF, 1, 1, 480) + track(NOTE + END),
    "no ticks": file(NOTE + END, division=0),
    "film frames": file(NOTE + END, division=0xE728),
    "no tracks": file(num_tracks=0),
    "independent patterns": file(NOTE + END, NOTE + END, midi_format=2),
    "the wrong letters": GOOD.replace(b"MTrk", b"MTrx"),
    "small letters": GOOD.replace(b"MThd", b"mthd"),
}
CUT = {f"cut at {share} %": GOOD[: len(GOOD) * share // 100] for share in (5, 10, 20, 35, 50, 65, 80, 90, 97)}
CUT["the last byte missing"] = GOOD[:-1]
CONTENT = {
    "a track longer than the file": file(NOTE)[:-8] + struct.pack(">I", 0x7FFFFFFF) + NOTE,
    "a track of four gigabytes": GOOD[:18] + b"\xff\xff\xff\xff" + GOOD[22:],
    "no notes": file(END),
    "empty tracks": file(*[END] * 50),
    "only ends of notes": file(b"\0\x80\x3c\0" * 100 + END),
    "only beginnings without sound": file(b"\0\x90\x3c\0" * 100 + END),
    "only text": file(b"\0\xff\x01\x7f" + b"a" * 127 + END),
    "an endless number": file(b"\xff" * 5000),
    "absurd times": file(b"".join(b"\xff\xff\xff\x7f" + NOTE[1:] for _ in range(100)) + END),
    "a day and a night": file(tempo(0xFFFFFF) + (b"\x83\xff\x7f" + NOTE[1:]) * 200 + END, division=1),
    "an endless beat": file(tempo(1) + NOTE + END, division=1),
    "65,000 tracks": file(*[b""] * 65_000),
    "too many notes": file(many_notes(120_000) + END),
    "bars without end": file(SHORT_BARS + (b"\xff\xff\xff\x7f" + NOTE[1:]) * 2 + END, division=0x7FFF),
    "data before a status": file(b"\0\x3c\x50\0\x3c\x50"),
    "a text that goes on": file(NOTE + b"\0\xff\x01\x8f\xff\xff\x7fabc"),
    "a message that goes on": file(NOTE + b"\0\xf0\x8f\xff\xff\x7fabc"),
    "a note cut in half": file(b"\0\x90\x3c"),
}  # fmt: skip
BAD = {**FOREIGN, **HEADER, **CUT, **CONTENT}


def send(operations: Operations, folder: Path, data: bytes) -> str:
    """Open `data`; returns the sentence with which it is refused, or ""."""
    path = folder / "upload.mid"
    path.write_bytes(data)
    try:
        operations.open_file(path, name="bad.mid")
    except UserError as refusal:
        return str(refusal)
    return ""


def test_at_least_60_different_bad_files_are_tested() -> None:
    assert len(BAD) >= 60
    assert len(set(BAD.values())) == len(BAD)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_gives_one_sentence_and_is_not_kept(operations: Operations, tmp_path: Path, name: str) -> None:
    began = time.monotonic()
    sentence = send(operations, tmp_path, BAD[name])
    assert sentence.startswith("bad.mid ")
    assert "\n" not in sentence
    assert len(sentence) < 200
    assert str(tmp_path) not in sentence
    assert list(operations.shelf.folder.iterdir()) == [], "nothing of it is kept"
    assert time.monotonic() - began < 30


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_a_file_with_bytes_changed_is_refused_or_composed_on(operations: Operations, tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    data = bytearray(GOOD)
    for _ in range(dice.randrange(1, 30)):
        data[dice.randrange(14, len(data))] = dice.randrange(256)
    (tmp_path / "upload.mid").write_bytes(data)
    try:
        piece = operations.open_file(tmp_path / "upload.mid", name="bad.mid")
    except UserError:
        assert "\n" not in send(operations, tmp_path, bytes(data))
        return
    *_, done = operations.compose(Order.read({"piece": piece["key"], "length": "1bars", "seed": 1}))
    written = operations.shelf.path(done["variations"][0]["key"])
    assert read_score(written).note_num() >= 8  # those of the new bar
