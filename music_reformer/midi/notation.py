"""A score as MusicXML, for notation programs, by music21 (`sheet.py` reads).

What is written, and how it is rounded, is decided in `written.py`, `voices.py` and `staves.py`; here it becomes notes,
beams, clefs, braces and a page.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from fractions import Fraction
from typing import Any
from xml.etree import ElementTree

from music_reformer.errors import UserError
from music_reformer.midi.key import Key
from music_reformer.midi.limited import run_limited, serve_limited
from music_reformer.midi.score import KEPT_LIMITS, read_score, with_likely_metre
from music_reformer.midi.staves import (
    MOST_VOICES,
    Syllable,
    WrittenPart,
    hidden_metres,
    key_sections,
    tempo_marks,
    written_parts,
)
from music_reformer.midi.voices import Piece, Voice, in_bars, note_values
from music_reformer.midi.written import UNIT, Bar, written_bars

SHORT_NAME = 6  # characters that need no abbreviation
NOTATION_NOTES = 30_000  # less than a minute of work
NOTATION_BARS = 30_000  # of all parts together; as much work if they are empty
STEPS = "FCGDAEB"  # along the line of fifths
# Clefs of programs that do not simply follow their range, by music21's names.
CLEFS = {
    **dict.fromkeys(range(24, 32), "Treble8vbClef"),  # guitars sound an octave lower than they are written
    **dict.fromkeys((*range(32, 40), 43), "Bass8vbClef"),
    **dict.fromkeys((9, 72), "Treble8vaClef"),
    **dict.fromkeys((40, 56, 60, 68, 69, 71, 73), "TrebleClef"),
    **dict.fromkeys((42, 47, 57, 58, 70), "BassClef"),
    41: "AltoClef",
}
MIDDLE_LINES = {"G": 35, "C": 29, "F": 23}  # of the treble, alto and bass clef, in steps of the scale from C0 = 1
VOICES = range(52, 55)
TENOR = (52, 60)  # mean pitch of a voice that reads a treble clef an octave lower
# Parts that a bracket joins, by their programs.
FAMILIES = (range(40, 44), range(56, 64), range(64, 80), VOICES)
# Where drums stand on the staff, and their note heads: by General MIDI key; all others are crosses on the middle line.
DRUMS = {
    **dict.fromkeys((35, 36), ("F4", "normal")),
    **dict.fromkeys((38, 40), ("C5", "normal")),
    37: ("C5", "x"),
    **dict.fromkeys((41, 43), ("A4", "normal")),
    **dict.fromkeys((45, 47), ("D5", "normal")),
    **dict.fromkeys((48, 50), ("E5", "normal")),
    42: ("G5", "x"),
    44: ("D4", "x"),
    46: ("G5", "circle-x"),
    **dict.fromkeys((49, 52, 55, 57), ("A5", "x")),
    **dict.fromkeys((51, 59), ("F5", "x")),
    53: ("F5", "diamond"),
    56: ("E5", "triangle"),
}
DRUM_NAMES = {
    35: "Acoustic Bass Drum", 36: "Bass Drum", 37: "Side Stick", 38: "Snare", 39: "Hand Clap", 40: "Electric Snare",
    41: "Low Floor Tom", 42: "Closed Hi-Hat", 43: "High Floor Tom", 44: "Pedal Hi-Hat", 45: "Low Tom",
    46: "Open Hi-Hat", 47: "Low-Mid Tom", 48: "Hi-Mid Tom", 49: "Crash Cymbal 1", 50: "High Tom", 51: "Ride Cymbal 1",
    52: "Chinese Cymbal", 53: "Ride Bell", 54: "Tambourine", 55: "Splash Cymbal", 56: "Cowbell", 57: "Crash Cymbal 2",
    59: "Ride Cymbal 2",
}  # fmt: skip
# A4 and its margins in millimetres; heights of a staff there, and of what stands between staves in staff heights.
PAGE, MARGIN, STAFF, SMALL, SMALLEST, SPACED = (210, 297), 12, 6.5, 4.0, 3.0, 2.9


def music_xml(midi: bytes, *, name: str, title: str, seconds: float = 120, megabytes: int = 3000) -> bytes:
    """MIDI bytes as MusicXML bytes, made in a process of its own: large files take music21 long.

    Args:
        name: what messages call the piece.
        title: what stands above the music.
        seconds, megabytes: time and memory that it may take.

    Raises:
        UserError: there are too many notes, or it took more than the limits.
    """
    module = "music_reformer.midi.notation"
    arguments = [name, title]
    return run_limited(module, arguments, midi, name=name, doing="written", seconds=seconds, megabytes=megabytes)


def convert(data: bytes, name: str, title: str) -> bytes:
    """What `music_xml` returns, made in this process: for pieces that we made ourselves."""
    import music21

    played = with_likely_metre(read_score(data, limits=KEPT_LIMITS, name=name))
    if played.note_num() > NOTATION_NOTES:
        raise UserError(f"{name} has more than {NOTATION_NOTES:,} notes; export a part of it as notes instead")
    bars = written_bars(played)
    if len(bars) * len(played.tracks) > NOTATION_BARS:
        raise UserError(
            f"{name} has more than {NOTATION_BARS:,} bars in its parts; export a part of it as notes instead"
        )
    parts = written_parts(played, bars)
    frame = _Frame(bars, key_sections(played, bars), tempo_marks(played, bars))
    score = music21.stream.Score()
    score.metadata = music21.metadata.Metadata(title=title, composer="")
    score.insert(0, _page(sum(len(part.staves) for part in parts)))
    streams = [_staves(part, number, frame) for number, part in enumerate(parts)]
    for stream in (stream for staves in streams for stream in staves):
        score.insert(0, stream)
    for group in _groups(parts, streams):
        score.insert(0, group)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exporter = music21.musicxml.m21ToXml.ScoreExporter(score, makeNotation=False)
        root = exporter.parse()
    for part, element in zip(parts, root.iter("part"), strict=True):
        if part.is_drum:
            _name_drums(root, element, part)
    return bytes(exporter.xmlHeader()) + ElementTree.tostring(root)


class _Frame:
    """What all parts share, bar by bar: time and key signatures, tempo marks and numbers.

    Args:
        bars: of the score.
        keys: (index of a bar, key), the first at 0.
        tempos: (index of a bar, quarters a minute).
    """

    def __init__(self, bars: Sequence[Bar], keys: Sequence[tuple[int, Key]], tempos: Sequence[tuple[int, float]]):
        self.bars = bars
        self.tempos = dict(tempos)
        self.key_changes = dict(keys)
        hidden = hidden_metres(bars)
        self.metres = [hidden.get(index, (bar.beats, bar.unit)) for index, bar in enumerate(bars)]
        self.has_pickup = 0 in hidden
        self._signatures: dict[tuple[int, int], Any] = {}

    def signature(self, index: int) -> Any:
        """music21's time signature of a bar, which also knows how to beam."""
        import music21

        metre = self.metres[index]
        if metre not in self._signatures:
            self._signatures[metre] = music21.meter.TimeSignature("{}/{}".format(*metre))
        return self._signatures[metre]

    def whole(self, index: int) -> int:
        """Length of a whole bar of the metre that is shown."""
        beats, unit = self.metres[index]
        return 4 * UNIT * beats // unit

    def measure(self, index: int, *, is_first: bool) -> Any:
        """An empty measure; tempo marks stand over the first staff only."""
        import music21

        bar, metre = self.bars[index], self.metres[index]
        measure = music21.stream.Measure(number=index + (not self.has_pickup))
        if index == 0 or metre != self.metres[index - 1]:
            measure.timeSignature = music21.meter.TimeSignature("{}/{}".format(*metre))
        if index in self.key_changes:
            key = self.key_changes[index]
            measure.insert(0, music21.key.KeySignature(key.sharps).asKey("minor" if key.is_minor else "major"))
        if is_first and index in self.tempos:
            measure.insert(0, _tempo(self.tempos[index], metre))
        if bar.length < self.whole(index):
            missing = _quarters(self.whole(index) - bar.length)
            if index == 0:
                measure.paddingLeft = missing
                measure.showNumber = music21.stream.enums.ShowNumber.NEVER
            else:
                measure.paddingRight = missing
        return measure


def _quarters(units: int) -> Fraction:
    return Fraction(units, UNIT)


def _tempo(quarters_a_minute: float, metre: tuple[int, int]) -> Any:
    import music21

    beats, unit = metre
    length = 1.5 if unit == 8 and beats % 3 == 0 and beats > 3 else 2.0 if unit == 2 else 1.0
    mark: Any = music21.tempo.MetronomeMark(number=max(1, round(quarters_a_minute / length)), referent=length)
    mark.placement = "above"
    return mark


def _page(num_staves: int) -> Any:
    """An A4 page with room for two systems of so many staves, or for one if they would be too small."""
    import music21

    staff = (PAGE[1] - 3 * MARGIN) / (num_staves * SPACED)
    if staff / 2 >= SMALL:
        staff = min(STAFF, staff / 2)
    staff = max(SMALLEST, min(STAFF, staff))
    tenths = 40 / staff  # tenths of the space between lines, in a millimetre
    margin = round(MARGIN * tenths)
    page = music21.layout.PageLayout(
        pageWidth=round(PAGE[0] * tenths),
        pageHeight=round(PAGE[1] * tenths),
        leftMargin=margin,
        rightMargin=margin,
        topMargin=margin,
        bottomMargin=margin,
    )
    return music21.layout.ScoreLayout(scalingMillimeters=round(staff, 2), scalingTenths=40, pageLayout=page)


def _groups(parts: Sequence[WrittenPart], streams: Sequence[Sequence[Any]]) -> list[Any]:
    """Braces of keyboards, and brackets around neighbours of one family."""
    import music21

    groups = [music21.layout.StaffGroup(list(staves), symbol="brace") for staves in streams if len(staves) > 1]
    hands = zip(parts, streams, streams[1:], strict=False)
    groups += [
        music21.layout.StaffGroup([*right, *left], symbol="brace") for part, right, left in hands if part.is_right_hand
    ]
    family = [
        next((number for number, programs in enumerate(FAMILIES) if part.program in programs), None)
        if len(part.staves) == 1 and not part.is_drum
        else None
        for part in parts
    ]
    begin = 0
    for end in range(1, len(parts) + 1):
        if end == len(parts) or family[end] != family[begin]:
            if end - begin > 1 and family[begin] is not None:
                joined = [staves[0] for staves in streams[begin:end]]
                through = FAMILIES[family[begin] or 0] is not VOICES
                groups.append(music21.layout.StaffGroup(joined, symbol="bracket", barTogether=through))
            begin = end
    return groups


def _staves(part: WrittenPart, number: int, frame: _Frame) -> list[Any]:
    """A part of music21 for each staff of a part."""
    import music21

    kind = music21.stream.PartStaff if len(part.staves) > 1 else music21.stream.Part
    streams = []
    for place, voices in enumerate(part.staves):
        stream = kind(id=f"P{number + 1}-Staff{place + 1}")
        stream.partName = part.name
        instrument = _instrument(part, number)
        stream.partAbbreviation = instrument.instrumentAbbreviation
        stream.insert(0, instrument)
        _fill(stream, part, voices, frame, place=place, is_first=number == place == 0)
        streams.append(stream)
    return streams


def _instrument(part: WrittenPart, number: int) -> Any:
    import music21

    instrument: Any
    if part.is_drum:
        instrument = music21.instrument.UnpitchedPercussion()
        instrument.midiChannel = 9
    else:
        instrument = music21.instrument.instrumentFromMidiProgram(part.program)
        instrument.midiProgram = part.program
    instrument.instrumentAbbreviation = _abbreviation(part.name, instrument)
    instrument.instrumentName = part.name
    instrument.transposition = None  # the score is in C: octaves are said by clefs
    instrument.partId = f"P{number + 1}"
    instrument.instrumentId = f"P{number + 1}-I1"
    return instrument


def _abbreviation(name: str, instrument: Any) -> str:
    """What stands before all systems but the first."""
    words, usual = name.split(), instrument.instrumentName or ""
    number = words.pop() if len(words) > 1 and words[-1].isdigit() else ""
    if len(name) <= SHORT_NAME:
        return name
    if usual and usual.lower() in name.lower():
        short = instrument.instrumentAbbreviation
    else:
        short = "".join(word[0] for word in words) if len(words) > 1 else f"{words[0][:4]}."
    return f"{short} {number}".strip()


def _fill(
    stream: Any, part: WrittenPart, voices: Sequence[Voice], frame: _Frame, *, place: int, is_first: bool
) -> None:
    """Put measures with their notes into a staff, the part's upper one (`place` 0) or its lower one."""
    import music21

    pieces = [in_bars(voice, frame.bars) for voice in voices]
    key = Key(0, is_minor=False)
    syllables = dict(part.syllables) if place == 0 else {}
    first_voice = 1 + MOST_VOICES * place
    for index, bar in enumerate(frame.bars):
        key = frame.key_changes.get(index, key)
        measure = frame.measure(index, is_first=is_first)
        if index == 0:
            measure.clef = _clef(part, voices)
        inside = [found[index] for found in pieces if index in found] or [[]]
        inside.sort(key=lambda pieces: -sum(sum(p.pitches) / len(p.pitches) for p in pieces) / max(1, len(pieces)))
        for number, own in enumerate(inside):
            elements = [
                _element(piece, part, key, syllables.pop(bar.start + piece.start, None) if piece.pitches else None)
                for piece in note_values(own, bar)
            ]
            _beam(elements, frame.signature(index), measure)
            # Two staves are one part of MusicXML, in which the lower one has the voices 5 to 8.
            is_alone = len(inside) == 1 and len(part.staves) == 1
            holder = measure if is_alone else music21.stream.Voice(id=first_voice + number)
            for element in elements:
                if number > 0 and element.isRest:
                    element.style.hideObjectOnPrint = True
                holder.append(element)
            if holder is not measure:
                measure.insert(0, holder)
            if not own and bar.length == frame.whole(index):
                elements[0].fullMeasure = True
        stream.append(measure)
    stream.getElementsByClass("Measure").last().rightBarline = "final"
    if not part.is_drum:
        stream.makeAccidentals(inPlace=True)


def _element(piece: Piece, part: WrittenPart, key: Key, syllable: Syllable | None) -> Any:
    """A note, chord or rest of music21."""
    import music21

    element: Any
    if not piece.pitches or (part.is_drum and piece.tied_back):  # drums have no ties: the hit is over
        element = music21.note.Rest()
    elif part.is_drum:
        hits = [_hit(pitch) for pitch in piece.pitches]
        element = hits[0] if len(hits) == 1 else music21.percussion.PercussionChord(hits)
    else:
        pitches = [_spelt(pitch, key) for pitch in piece.pitches]
        element = music21.note.Note(pitches[0]) if len(pitches) == 1 else music21.chord.Chord(pitches)
    element.duration = music21.duration.Duration(_quarters(piece.length))
    if piece.tuplet and element.duration.tuplets:
        ends: dict[tuple[bool, bool], Any] = {(True, True): "startStop", (True, False): "start", (False, True): "stop"}
        element.duration.tuplets[0].type = ends.get((piece.starts_tuplet, piece.stops_tuplet))
    if (piece.tied_back or piece.tied_on) and not part.is_drum:
        kind = "stop" if not piece.tied_on else "continue" if piece.tied_back else "start"
        for note in getattr(element, "notes", (element,)):
            note.tie = music21.tie.Tie(kind)
    if syllable is not None:
        syllabic: dict[tuple[bool, bool], Any] = {
            (False, False): "single",
            (False, True): "begin",
            (True, True): "middle",
            (True, False): "end",
        }
        lyric = music21.note.Lyric(syllable.text, syllabic=syllabic[syllable.from_before, syllable.goes_on])
        element.lyrics.append(lyric)
    return element


def _spelt(pitch: int, key: Key) -> Any:
    """A pitch of MIDI, spelt as a musician would in a key: with its scale, and from the flat third to the sharp fifth
    of a major key beside it."""
    import music21

    lowest = key.sharps - 3  # steps along the line of fifths from C
    fifths = lowest + (pitch * 7 - lowest) % 12
    alter, step = divmod(fifths + 1, 7)
    octave = (pitch - alter) // 12 - 1
    return music21.pitch.Pitch(f"{STEPS[step]}{('#' * alter) or ('-' * -alter)}{octave}")


def _hit(pitch: int) -> Any:
    import music21

    place, head = DRUMS.get(pitch, ("B4", "x"))
    hit = music21.note.Unpitched(displayName=place)
    hit.notehead = head
    return hit


def _beam(elements: Sequence[Any], signature: Any, measure: Any) -> None:
    """Beam the elements of a voice in a measure; tuplets that a beam holds together need no bracket."""
    start = measure.paddingLeft or 0.0
    for element, beams in zip(elements, signature.getBeams(elements, measureStartOffset=start), strict=True):
        if beams is not None and not element.isRest:
            element.beams = beams
    group: list[Any] = []
    for element in elements:
        if not element.duration.tuplets:
            continue
        group.append(element)
        if element.duration.tuplets[0].type in ("stop", "startStop"):
            if all(not each.isRest and each.beams for each in group):
                group[0].duration.tuplets[0].bracket = False
            group = []


def _clef(part: WrittenPart, voices: Sequence[Voice]) -> Any:
    """The clef of a staff, by its instrument and range."""
    import music21

    if part.is_drum:
        return music21.clef.PercussionClef()
    pitches = [pitch for voice in voices for chord in voice.chords for pitch in chord.pitches]
    mean = sum(pitches) / len(pitches)
    named = CLEFS.get(part.program)
    if part.program in VOICES:
        is_tenor = TENOR[0] < mean < TENOR[1] and not part.name.lower().startswith("bas")
        named = "Treble8vbClef" if is_tenor else None
    if named is not None:
        clef = getattr(music21.clef, named)()
        # An instrument of a synthesizer may play where no player would: then its clef would hide it in ledger lines.
        middle = MIDDLE_LINES[clef.sign] + 7 * clef.octaveChange
        lines = (music21.pitch.Pitch(midi=round(mean)).diatonicNoteNum - middle) / 2
        if abs(lines) <= 4:
            return clef
    heights: Any = music21.stream.Stream([music21.note.Note(pitch) for pitch in pitches[:1000]])
    return music21.clef.bestClef(heights)


def _name_drums(root: ElementTree.Element, element: ElementTree.Element, part: WrittenPart) -> None:
    """Say which drum each note of a part is: music21 writes one instrument for all of them."""
    listed = next(each for each in root.iter("score-part") if each.get("id") == element.get("id"))
    for tag in ("score-instrument", "midi-instrument"):
        for found in listed.findall(tag):
            listed.remove(found)
    ident = element.get("id")
    keys = sorted({pitch for *_, pitch in part.notes()})
    for key in keys:
        instrument = ElementTree.SubElement(listed, "score-instrument", id=f"{ident}-I{key + 1}")
        ElementTree.SubElement(instrument, "instrument-name").text = DRUM_NAMES.get(key, f"Percussion {key}")
    for key in keys:
        instrument = ElementTree.SubElement(listed, "midi-instrument", id=f"{ident}-I{key + 1}")
        for tag, number in (("midi-channel", 10), ("midi-program", part.program + 1), ("midi-unpitched", key + 1)):
            ElementTree.SubElement(instrument, tag).text = str(number)
    # Notes stand in the order in which they were put in.
    written = [key for voice in part.staves[0] for chord in voice.chords for key in chord.pitches]
    hits = [note for note in element.iter("note") if note.find("unpitched") is not None]
    for note, key in zip(hits, written, strict=True):
        for found in note.findall("instrument"):
            note.remove(found)
        place = 1 + max(
            index for index, child in enumerate(note) if child.tag in ("unpitched", "duration", "tie", "chord")
        )
        note.insert(place, ElementTree.Element("instrument", id=f"{ident}-I{key + 1}"))


if __name__ == "__main__":
    sys.exit(serve_limited(convert))
