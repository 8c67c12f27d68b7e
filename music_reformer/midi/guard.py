"""Reads an untrusted MIDI file in a separate process, with limits on time and memory.

The calling process never parses the uploaded bytes. It receives the unwrapped MIDI file and its normalised bytes
(`smf.normalised`), which the other process has checked against `Limits`.
"""

from __future__ import annotations

import hashlib
import json
import struct
import threading
from collections import OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import symusic

from music_reformer.errors import UserError
from music_reformer.midi.harmony import fitted
from music_reformer.midi.limited import run_limited
from music_reformer.midi.outline import outline_json
from music_reformer.midi.retiming import retimed, timing_of
from music_reformer.midi.roll import roll_json
from music_reformer.midi.score import UPLOAD_LIMITS, Limits, parse, read_bytes, with_likely_metre
from music_reformer.midi.sheet import as_midi
from music_reformer.midi.smf import FileLimits, normalised, read_file

# First bytes of files that may hold MIDI: plain, RIFF, gzip.
BEGINNINGS = (b"MThd", b"RIFF", b"\x1f\x8b")
PARTS = ">6I"  # sizes of the parts of an answer
KEPT_BYTES = 50_000_000  # size of the cache of normalised bytes


@dataclass(frozen=True)
class Opened:
    """An untrusted file that has been checked and can be used.

    Attributes:
        midi: the plain MIDI file, with bars found in its music if it was not played to its own.
        plain: the same file, normalised (`smf.normalised`).
        roll: its piano roll (`roll_json`), in the likely metre (`score.with_likely_metre`).
        outline: its chords and sections (`outline_json`).
        notices: a clause for each fault that was repaired.
        as_sent: the plain MIDI file with its own bars, if those of `midi` differ; otherwise None.
    """

    midi: bytes
    plain: bytes
    roll: str
    outline: str
    notices: list[str]
    as_sent: bytes | None = None


class _Kept:
    """Cache of normalised bytes by the hash of the file, because composing on a piece reads it again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes: OrderedDict[bytes, bytes] = OrderedDict()

    def get(self, data: bytes) -> bytes | None:
        with self._lock:
            key = hashlib.sha256(data).digest()
            if key in self._bytes:
                self._bytes.move_to_end(key)
            return self._bytes.get(key)

    def put(self, data: bytes, plain: bytes) -> None:
        with self._lock:
            self._bytes[hashlib.sha256(data).digest()] = plain
            while sum(map(len, self._bytes.values())) > KEPT_BYTES:
                self._bytes.popitem(last=False)


_kept = _Kept()


def open_guarded(
    source: str | Path | bytes,
    *,
    name: str | None = None,
    limits: Limits = UPLOAD_LIMITS,
    finds_beats: bool = False,
    seconds: float = 60,
    cpu_seconds: int = 10,
    megabytes: int = 1000,
) -> Opened:
    """Read an untrusted file, and make its piano roll and its outline.

    Args:
        source: path or bytes.
        name: name of the file in messages; None: its file name.
        limits: limits on the file's size and content.
        finds_beats: move the bars of played music to where its beats are (`retiming.py`).
        seconds: limit on wall time.
        cpu_seconds: limit on processor time.
        megabytes: limit on memory.

    Raises:
        UserError: as in `read_score`, or reading exceeded a limit.
    """
    name = name or ("the MIDI data" if isinstance(source, bytes) else Path(source).name)
    sent = read_bytes(source, name, limits.file.max_bytes)
    data, not_kept = as_midi(sent, name)
    if not data.startswith(BEGINNINGS):  # costs no process
        raise UserError(f"{name} is neither a MIDI file nor sheet music (MusicXML or ABC)")
    answer = run_limited(
        _open,
        [name.replace("\0", ""), json.dumps({**asdict(limits), "finds_beats": finds_beats})],
        data,
        name=name,
        doing="read",
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        megabytes=megabytes,
    )
    midi, plain, roll, outline, notices, as_sent = _unpacked(answer)
    told = [*not_kept, *json.loads(notices)]
    texts = roll.decode("ascii"), outline.decode("ascii")
    opened = Opened(midi or data, plain or midi or data, *texts, told, as_sent or None)
    _kept.put(opened.midi, opened.plain)
    return opened


def read_score_guarded(
    source: str | Path | bytes, *, name: str | None = None, limits: Limits = UPLOAD_LIMITS, **cost: Any
) -> symusic.Score:
    """`read_score` for untrusted files; arguments and errors as in `open_guarded`."""
    name = name or ("the MIDI data" if isinstance(source, bytes) else Path(source).name)
    data = read_bytes(source, name, limits.file.max_bytes)
    plain = _kept.get(data)
    if plain is None:
        plain = open_guarded(data, name=name, limits=limits, **cost).plain
    return parse(plain, name, limits)


def get_ready() -> None:
    """Load what `_open` needs, so that forked processes share it."""
    import numpy.ma  # noqa: F401 - `np.unique` would load it for each file

    fitted()


def _open(data: bytes, name: str, settings_json: str) -> bytes:
    """Run in the limited process: read, check and normalise a file.

    Returns:
        Six parts, packed (`_packed`): the plain file (empty if it is `data`), its normalised bytes (empty if they are
        the plain file), the piano roll, the outline, the notices as JSON, and the plain file with its own bars (empty
        unless new bars were found).
    """
    given = json.loads(settings_json)
    finds_beats = given.pop("finds_beats")
    limits = Limits(**{**given, "file": FileLimits(**given["file"])})
    file = read_file(data, name, limits.file)
    plain = normalised(file)
    score, notices, as_sent = with_likely_metre(parse(plain, name, limits)), file.notices, b""
    if finds_beats and (timing := timing_of(score)) is not None:
        as_sent = file.data
        file = read_file(retimed(as_sent, name, timing, limits.file), name, limits.file)
        plain = normalised(file)
        score = parse(plain, name, limits)
    roll, outline = roll_json(score).encode("ascii"), outline_json(score).encode("ascii")
    midi = b"" if file.data == data else file.data
    plain = b"" if plain == file.data else plain
    return _packed(midi, plain, roll, outline, json.dumps(notices).encode(), as_sent)


def _packed(*parts: bytes) -> bytes:
    """Join the parts of an answer, preceded by their sizes."""
    return struct.pack(PARTS, *map(len, parts)) + b"".join(parts)


def _unpacked(answer: bytes) -> list[bytes]:
    """Split what `_packed` joined."""
    parts, begin = [], struct.calcsize(PARTS)
    for size in struct.unpack(PARTS, answer[:begin]):
        parts.append(answer[begin : begin + size])
        begin += size
    return parts
