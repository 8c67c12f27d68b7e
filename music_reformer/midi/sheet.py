"""Reads sheet music (MusicXML, plain or compressed, and ABC) as MIDI, by music21 in a process of its own.

Kept as far as MIDI can express it: title and composer, parts with their instruments, bar lines and pickups, metres,
keys, tempos in numbers and in words, dynamics and accents, repeats, ties, grace notes, drums, and lyrics.

music21 and mido are imported where a score is converted: most files are MIDI already, and their readers need neither.
"""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from music_reformer.errors import UserError
from music_reformer.midi.limited import run_limited
from music_reformer.midi.smf import MIDI_SUFFIXES

SHEET_SUFFIXES = (".musicxml", ".mxl", ".xml", ".abc")
# Endings of the files that every command reads.
MUSIC_SUFFIXES = (*MIDI_SUFFIXES, *SHEET_SUFFIXES)
MAX_UNPACKED = 50_000_000
SECONDS, MEGABYTES = 60, 1500
TICKS = 480  # per quarter
TEXT = 200  # characters of a name that are kept

# What cannot be read, by its first bytes, and which program can export it.
_OTHERS = {
    b"%PDF": ("a PDF, a picture of music", "open what it was printed from"),
    b"FICHIER GUITAR PRO": ("a Guitar Pro file", "open it in Guitar Pro or MuseScore"),
    b"\x18FICHIER GUITAR PRO": ("a Guitar Pro file", "open it in Guitar Pro or MuseScore"),
    b"BCFZ": ("a Guitar Pro file", "open it in Guitar Pro or MuseScore"),
    b"BCFS": ("a Guitar Pro file", "open it in Guitar Pro or MuseScore"),
    b"ENIGMA": ("a Finale file", "open it in Finale or Dorico"),
    b"\x0fSIBELIUS": ("a Sibelius file", "open it in Sibelius"),
}
_OTHERS_IN_ZIP = {
    ".mscx": ("a MuseScore file", "open it in MuseScore"),
    ".gpif": ("a Guitar Pro file", "open it in Guitar Pro or MuseScore"),
    "score.dat": ("a Finale or Dorico file", "open it there"),
}

VELOCITIES = {"pppp": 16, "ppp": 24, "pp": 36, "p": 50, "mp": 64, "mf": 78, "f": 92, "ff": 106, "fff": 118, "ffff": 126}
PLAIN_VELOCITY = 78
ACCENTS = {"accent": 14, "strong accent": 20, "staccato": 0}
GRACE = 60  # ticks of a grace note, taken from the note before it
SNARE = 38


def is_music_name(name: str) -> bool:
    """Whether a file's name has an ending of a music file (`MUSIC_SUFFIXES`)."""
    return name.lower().endswith(MUSIC_SUFFIXES)


def as_midi(data: bytes, name: str) -> tuple[bytes, list[str]]:
    """Sheet music as a MIDI file, and a clause for each thing that was lost; other bytes are returned unchanged.

    Args:
        data: bytes of the file.
        name: what messages call it.

    Raises:
        UserError: it is of a kind that cannot be read, it is damaged, or it takes too long.
    """
    kind = _kind(data)
    if kind is None:
        return data, []
    answer = run_limited(
        _convert,
        [name.replace("\0", ""), kind],
        data,
        name=name,
        doing="read",
        seconds=2 * SECONDS,
        cpu_seconds=SECONDS,
        megabytes=MEGABYTES,
    )
    size = struct.unpack(">I", answer[:4])[0]
    return answer[4 + size :], json.loads(answer[4 : 4 + size])


def _kind(data: bytes) -> str | None:
    """ "musicxml", "zip", "abc" or "other" (sheet music that cannot be read); None if it is not sheet music."""
    start = data[:4096].lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    if data.startswith(b"PK\x03\x04"):
        return "zip"
    if any(data.startswith(mark) for mark in _OTHERS):
        return "other"
    plain = start.replace(b"\0", b"")  # UTF-16
    if plain.startswith((b"<?xml", b"<!DOCTYPE", b"<score-", b"<museScore", b"<opus")):
        return "musicxml"
    if re.search(rb"(?m)^X: *\d", plain) and re.search(rb"(?m)^K:", data):
        return "abc"
    return None


def _refuse(name: str, what: str, where: str) -> UserError:
    return UserError(f"{name} is {what}; {where}, export it as MusicXML or MIDI, and choose that file")


# In the other process


def _convert(data: bytes, name: str, kind: str) -> bytes:
    if kind == "other":
        raise _refuse(name, *next(other for mark, other in _OTHERS.items() if data.startswith(mark)))
    if kind == "zip":
        data, kind = _unzipped(data, name), "musicxml"
    if kind == "musicxml" and b"<museScore" in data[:4096].replace(b"\0", b""):
        raise _refuse(name, *_OTHERS_IN_ZIP[".mscx"])
    import music21

    notices: list[str] = []
    text = _text(data)
    programs: dict[str, int] = {}
    if kind == "musicxml":
        text, programs = _drums_as_keys(text)
    try:
        parsed = music21.converter.parseData(text, format=kind)
    except Exception as error:  # music21 raises exceptions of any type on damaged files
        raise UserError(f"{name} is damaged and cannot be read as {_NAMES[kind]}; save it again") from error
    if isinstance(parsed, music21.stream.Opus):
        if len(parsed.scores) > 1:
            notices.append(f"the first of its {len(parsed.scores)} tunes is opened")
        parsed = parsed.scores[0]
    midi = _written(_played(parsed, notices), programs)
    told = json.dumps(notices).encode()
    return struct.pack(">I", len(told)) + told + midi


_NAMES = {"musicxml": "MusicXML", "abc": "ABC"}


def _text(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _drums_as_keys(text: str) -> tuple[str, dict[str, int]]:
    """MusicXML in which each drum has its MIDI key as pitch, and the General MIDI programs of the parts by their ids.

    music21 reads one instrument for a part, and loses which instrument an unpitched note belongs to.
    """
    try:
        root = ElementTree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text))
    except ElementTree.ParseError:
        return text, {}  # music21 will refuse it
    programs: dict[str, int] = {}
    keys: dict[str, int] = {}
    for part in root.iter("score-part"):
        for instrument in part.iter("midi-instrument"):
            program, key = (_number(instrument.findtext(tag)) for tag in ("midi-program", "midi-unpitched"))
            if program is not None:
                programs.setdefault(part.get("id", ""), program)
            if key is not None:
                keys[instrument.get("id", "")] = key
    changed = False
    for note in root.iter("note"):
        drum, named = note.find("unpitched"), note.find("instrument")
        key = keys.get(named.get("id", "")) if named is not None else None
        if drum is None or key is None:
            continue
        changed = True
        drum.clear()
        drum.tag = "pitch"
        octave, step = divmod(key, 12)
        ElementTree.SubElement(drum, "step").text = "CCDDEFFGGAAB"[step]
        ElementTree.SubElement(drum, "alter").text = str(int(step in (1, 3, 6, 8, 10)))
        ElementTree.SubElement(drum, "octave").text = str(octave - 1)
    return ElementTree.tostring(root, encoding="unicode") if changed else text, programs


def _number(text: str | None) -> int | None:
    """A MIDI number as MusicXML counts, from 1."""
    return int(text) - 1 if text is not None and text.strip().isdecimal() and 1 <= int(text) <= 128 else None


def _unzipped(data: bytes, name: str) -> bytes:
    """The score in a compressed MusicXML file."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            for ending, other in _OTHERS_IN_ZIP.items():
                if any(each.lower().endswith(ending) for each in names):
                    raise _refuse(name, *other)
            root = _root_of(archive) or next(
                (each for each in names if each.endswith((".musicxml", ".xml")) and not each.startswith("META-INF")),
                None,
            )
            if root is None:
                raise UserError(f"{name} is a zip archive without a score; unpack it and choose a file from it")
            with archive.open(root) as file:
                content = file.read(MAX_UNPACKED + 1)
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise UserError(f"{name} is damaged and cannot be unpacked; save it again") from error
    if len(content) > MAX_UNPACKED:
        raise UserError(f"{name} is more than {MAX_UNPACKED / 1e6:g} MB unpacked, the most that is read")
    return content


def _root_of(archive: zipfile.ZipFile) -> str | None:
    """The score that the container of a compressed MusicXML file names."""
    if "META-INF/container.xml" not in archive.namelist():
        return None
    with archive.open("META-INF/container.xml") as file:
        found = re.search(rb'full-path="([^"]+)"', file.read(10_000))
    named = found[1].decode(errors="replace") if found else None
    return named if named in archive.namelist() else None


def _played(score: Any, notices: list[str]) -> Any:
    """The score with its repeats written out."""
    import music21

    if any(score.recurse().getElementsByClass("RepeatMark")):
        try:
            score = score.expandRepeats()
        except music21.repeat.ExpanderException:
            notices.append("its repeats contradict each other, so every bar is played once")
    return score


def _parts(score: Any) -> list[Any]:
    return list(score.parts) or [score]


def _written(score: Any, programs: dict[str, int]) -> bytes:
    """A score of music21 as a MIDI file: a track for metre, tempo and title, and one for each part."""
    import mido

    file = mido.MidiFile(type=1, ticks_per_beat=TICKS, charset="utf-8")
    parts = _parts(score)
    file.tracks.append(_track(_conductor(score, parts[0])))
    addresses = _Addresses()
    for part in parts:
        file.tracks.append(_track(_part_events(part, addresses, programs)))
    written = io.BytesIO()
    file.save(file=written)
    return written.getvalue()


def _track(events: Iterator[tuple[int, int, Any]]) -> Any:
    """Messages at (tick, rank among those of the tick), as a track."""
    import mido

    track = mido.MidiTrack()
    now = 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        track.append(message.copy(time=tick - now))
        now = tick
    return track


def _ticks(quarters: Any) -> int:
    return max(0, round(float(quarters) * TICKS))


def _conductor(score: Any, part: Any) -> Iterator[tuple[int, int, Any]]:
    import mido

    metadata = score.metadata
    title = (metadata.bestTitle or metadata.movementName or "") if metadata is not None else ""
    yield 0, 0, mido.MetaMessage("track_name", name=str(title)[:TEXT])
    if metadata is not None and metadata.composer:
        yield 0, 1, mido.MetaMessage("text", text=str(metadata.composer)[:TEXT])
    yield from _metres(part)
    flat = part.flatten()
    for signature in flat.getElementsByClass("KeySignature"):
        sharps = max(-7, min(7, int(signature.sharps or 0)))
        mode = getattr(signature, "mode", None) or "major"
        yield _ticks(signature.offset), 2, mido.MetaMessage("key_signature", key=_key_name(sharps, mode == "minor"))
    yield from _tempos(score)
    for mark in flat.getElementsByClass("RehearsalMark"):
        yield _ticks(mark.offset), 4, mido.MetaMessage("marker", text=str(mark.content)[:TEXT])


_MAJORS = ("Cb", "Gb", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#")
_MINORS = ("Abm", "Ebm", "Bbm", "Fm", "Cm", "Gm", "Dm", "Am", "Em", "Bm", "F#m", "C#m", "G#m", "D#m", "A#m")


def _key_name(sharps: int, is_minor: bool) -> str:
    return (_MINORS if is_minor else _MAJORS)[sharps + 7]


def _metres(part: Any) -> Iterator[tuple[int, int, Any]]:
    """A metre for each bar whose length differs from that of the bar before: pickups, and bars that are cut in two."""
    import mido

    bars = list(part.getElementsByClass("Measure"))
    metre, written = (4, 4), None
    for number, bar in enumerate(bars):
        stated = bar.timeSignature
        if stated is not None:
            metre = int(stated.numerator), int(stated.denominator)
        length = float(bar.duration.quarterLength)
        whole = 4 * metre[0] / metre[1]
        played = metre
        # The last bar may be short, to make up for a pickup; new bars after it are whole again.
        if 0 < length < whole - 1e-6 and number + 1 < len(bars):
            played = next(((round(length * unit / 4), unit) for unit in (metre[1], 8, 16, 32)
                           if abs(length * unit / 4 - round(length * unit / 4)) < 1e-6), metre)  # fmt: skip
        if played != written:
            yield (
                _ticks(bar.offset),
                1,
                mido.MetaMessage("time_signature", numerator=min(255, played[0]), denominator=played[1]),
            )
            written = played


def _tempos(score: Any) -> Iterator[tuple[int, int, Any]]:
    import mido
    from music21.tempo import defaultTempoValues

    found: dict[int, float] = {}
    words = {word.lower(): beats for word, beats in defaultTempoValues.items()}
    for part in _parts(score):
        flat = part.flatten()
        for text in flat.getElementsByClass("TextExpression"):
            said = str(text.content).strip(" .").lower()
            usual = words.get(said) or words.get(said.split(" ")[0])
            if usual:
                found.setdefault(_ticks(text.offset), float(usual))
        for mark in flat.getElementsByClass("MetronomeMark"):
            beats = mark.getQuarterBPM()
            if beats:
                found[_ticks(mark.offset)] = float(beats)
    for tick, beats in found.items():
        yield tick, 3, mido.MetaMessage("set_tempo", tempo=max(1, min(2**24 - 1, round(60_000_000 / max(beats, 4)))))


class _Addresses:
    """Port and channel of each instrument; drums are on channel 10 of the first port."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[int, int]] = {}

    def of(self, program: int, is_drum: bool) -> tuple[int, int]:
        """(port, channel)."""
        if is_drum:
            return 0, 9
        if program not in self._found:
            port, number = divmod(len(self._found), 15)
            self._found[program] = port, number + (number >= 9)
        return self._found[program]


def _part_events(part: Any, addresses: _Addresses, programs: dict[str, int]) -> Iterator[tuple[int, int, Any]]:
    import mido

    instrument = part.getInstrument(returnDefault=True)
    flat = part.flatten()
    is_drum = _is_drums(part, instrument, flat)
    program = programs.get(str(instrument.partId), int(instrument.midiProgram or 0))
    port, channel = addresses.of(program, is_drum)
    yield 0, 0, mido.MetaMessage("track_name", name=str(part.partName or instrument.instrumentName or "")[:TEXT])
    if port:
        yield 0, 1, mido.MetaMessage("midi_port", port=port)
    if not is_drum:
        yield 0, 2, mido.Message("program_change", channel=channel, program=program)
    sounding = [each for each in flat.notes if "ChordSymbol" not in each.classes and "NoChord" not in each.classes]
    for begin, end, key, velocity in _joined(_notes(sounding, flat)):
        yield begin, 5, mido.Message("note_on", channel=channel, note=key, velocity=velocity)
        yield end, 4, mido.Message("note_off", channel=channel, note=key, velocity=0)
    for element in sounding:
        for lyric in element.lyrics[:1]:
            if lyric.text:
                joined = str(lyric.text) + ("" if lyric.syllabic in ("begin", "middle") else " ")
                yield _begin(element), 3, mido.MetaMessage("lyrics", text=joined[:TEXT])


def _begin(element: Any) -> int:
    """Tick at which an element begins; grace notes come before the note that they decorate."""
    begin = _ticks(element.offset)
    return begin if element.duration.quarterLength else max(0, begin - GRACE)


def _notes(elements: list[Any], flat: Any) -> Iterator[tuple[int, int, int, int, str]]:
    """(begin, end, key, velocity, kind of tie) of the notes of a part, in order of time."""
    marks = [(float(mark.offset), mark.value) for mark in flat.getElementsByClass("Dynamic")]
    loudness = sorted((offset, VELOCITIES.get(str(value), PLAIN_VELOCITY)) for offset, value in marks)
    for element in elements:
        begin = _begin(element)
        end = max(_ticks(element.offset + element.duration.quarterLength), begin + 1)
        said = [velocity for offset, velocity in loudness if offset <= float(element.offset)]
        accent = sum(ACCENTS.get(each.name, 0) for each in element.articulations)
        velocity = min(127, (said[-1] if said else PLAIN_VELOCITY) + accent)
        for note in element.notes if hasattr(element, "notes") else (element,):
            tie = note.tie.type if note.tie is not None else ""
            yield from ((begin, end, key, velocity, tie) for key in _keys(note))


def _joined(notes: Iterator[tuple[int, int, int, int, str]]) -> list[tuple[int, int, int, int]]:
    """(begin, end, key, velocity) of notes; tied notes become one, in whichever voices they are."""
    found: list[list[int]] = []
    tied: dict[int, list[int]] = {}  # the last note of each key that a tie continues
    for begin, end, key, velocity, tie in sorted(notes, key=lambda note: note[0]):
        before = tied.pop(key, None) if tie in ("stop", "continue") else None
        if before is not None and before[1] == begin:
            before[1], note = end, before
        else:
            note = [begin, end, key, velocity]
            found.append(note)
        if tie in ("start", "continue"):
            tied[key] = note
    return [(begin, end, key, velocity) for begin, end, key, velocity in found]


def _is_drums(part: Any, instrument: Any, flat: Any) -> bool:
    if instrument.midiChannel == 9 or any(flat.getElementsByClass("Unpitched")):
        return True
    return "UnpitchedPercussion" in instrument.classes or any(flat.getElementsByClass("PercussionClef"))


def _keys(element: Any) -> list[int]:
    """Keys of a note or a drum."""
    if "Unpitched" in element.classes:
        stored = element.storedInstrument
        key = getattr(stored, "percMapPitch", None)
        return [int(key) if key is not None else SNARE]
    return [max(0, min(127, int(pitch.midi))) for pitch in element.pitches]
