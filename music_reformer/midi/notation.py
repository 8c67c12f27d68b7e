"""A score as MusicXML, for notation programs, by music21 (`sheet.py` reads).

What is written, and how it is rounded, is decided in `written.py`, `voices.py` and `staves.py`; here and in
`notation_elements.py` it becomes notes, beams, clefs, braces and a page.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from music_reformer.errors import UserError
from music_reformer.midi.key import Key
from music_reformer.midi.limited import run_limited
from music_reformer.midi.notation_elements import VOICES, beam, clef_of, element_of, instrument_of, name_drums, quarters
from music_reformer.midi.score import KEPT_LIMITS, read_score, with_likely_metre
from music_reformer.midi.staves import (
    MOST_VOICES,
    WrittenPart,
    hidden_metres,
    key_sections,
    tempo_marks,
    written_parts,
)
from music_reformer.midi.voices import Voice, in_bars, note_values
from music_reformer.midi.written import UNIT, WrittenBar, written_bars

NOTATION_NOTES = 30_000  # less than a minute of work
NOTATION_BARS = 20_000  # over all parts; empty bars take time, too
# Parts that a bracket joins, by their programs.
FAMILIES = (range(40, 44), range(56, 64), range(64, 80), VOICES)
# Size of A4, its margins, and the normal, small and smallest height of a staff, in millimetres; distance from staff to
# staff in staff heights.
PAGE, MARGIN, STAFF, SMALL, SMALLEST, SPACED = (210, 297), 12, 6.5, 4.0, 3.0, 2.9


def music_xml(
    midi: bytes, *, name: str, title: str, seconds: float = 900, cpu_seconds: int = 120, megabytes: int = 3000
) -> bytes:
    """MIDI bytes as MusicXML bytes, made in a process of its own, since large files take music21 a long time.

    Args:
        name: what messages call the piece.
        title: printed above the music.
        seconds, cpu_seconds, megabytes: time and memory that it may take. On a busy machine it may take many times as
            long as its processor time.

    Raises:
        UserError: there are too many notes or bars, or it exceeded a limit.
    """
    return run_limited(
        convert,
        [name, title],
        midi,
        name=name,
        doing="written",
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        megabytes=megabytes,
    )


def convert(data: bytes, name: str, title: str) -> bytes:
    """What `music_xml` returns, made in this process; for trusted pieces that we made ourselves."""
    piece = written_piece(data, name)
    header, root = xml_of(piece, range(len(piece.bars)), title=title)
    for part, element in zip(piece.parts, root.iter("part"), strict=True):
        if part.is_drum:
            name_drums(root, element, part)
    return header + ElementTree.tostring(root)


@dataclass(frozen=True)
class WrittenPiece:
    """A piece as it is written: its parts and its bars."""

    parts: list[WrittenPart]
    frame: _Frame

    @property
    def bars(self) -> Sequence[WrittenBar]:
        """All bars, from the first."""
        return self.frame.bars


def written_piece(data: bytes, name: str) -> WrittenPiece:
    """MIDI bytes as they are written. Raises `UserError` for more than `NOTATION_NOTES` or `NOTATION_BARS`."""
    played = with_likely_metre(read_score(data, limits=KEPT_LIMITS, name=name))
    if played.note_num() > NOTATION_NOTES:
        raise UserError(f"{name} has more than {NOTATION_NOTES:,} notes; export a part of it as notes instead")
    bars = written_bars(played)
    if len(bars) * len(played.tracks) > NOTATION_BARS:
        raise UserError(
            f"{name} has more than {NOTATION_BARS:,} bars in its parts; export a part of it as notes instead"
        )
    return WrittenPiece(
        written_parts(played, bars), _Frame(bars, key_sections(played, bars), tempo_marks(played, bars))
    )


def xml_of(piece: WrittenPiece, span: range, *, title: str) -> tuple[bytes, ElementTree.Element]:
    """Some bars of a piece as MusicXML: the declarations before its root element, and the root."""
    import music21

    parts = piece.parts
    score = music21.stream.Score()
    score.metadata = music21.metadata.Metadata(title=title, composer="")
    score.insert(0, _page(sum(len(part.staves) for part in parts)))
    streams = [_staves(part, number, piece.frame, span) for number, part in enumerate(parts)]
    for stream in (stream for staves in streams for stream in staves):
        score.insert(0, stream)
    for group in _groups(parts, streams):
        score.insert(0, group)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exporter = music21.musicxml.m21ToXml.ScoreExporter(score, makeNotation=False)
        root = exporter.parse()
    return bytes(exporter.xmlHeader()), root


class _Frame:
    """The measures that all parts share: time and key signatures, tempo marks and bar numbers.

    Args:
        bars: bars of the score.
        keys: key signatures as (index of the bar, key), the first at bar 0.
        tempos: tempo marks as (index of the bar, quarters per minute).
    """

    def __init__(
        self, bars: Sequence[WrittenBar], keys: Sequence[tuple[int, Key]], tempos: Sequence[tuple[int, float]]
    ):
        self.bars = bars
        self.tempos = dict(tempos)
        self.key_changes = dict(keys)
        self.keys: list[Key] = []
        for index in range(len(bars)):
            before = self.keys[-1] if self.keys else Key(0, is_minor=False)
            self.keys.append(self.key_changes.get(index, before))
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

    def measure(self, index: int, *, is_first: bool, begins: bool) -> Any:
        """An empty measure; tempo marks stand over the first staff only. If it `begins`, it states metre and key."""
        import music21

        bar, metre = self.bars[index], self.metres[index]
        measure = music21.stream.Measure(number=index + (not self.has_pickup))
        if begins or metre != self.metres[index - 1]:
            measure.timeSignature = music21.meter.TimeSignature("{}/{}".format(*metre))
        if begins or index in self.key_changes:
            key = self.keys[index]
            measure.insert(0, music21.key.KeySignature(key.sharps).asKey("minor" if key.is_minor else "major"))
        if is_first and index in self.tempos:
            measure.insert(0, _tempo(self.tempos[index], metre))
        if bar.length < self.whole(index):
            missing = quarters(self.whole(index) - bar.length)
            if index == 0:
                measure.paddingLeft = missing
                measure.showNumber = music21.stream.enums.ShowNumber.NEVER
            else:
                measure.paddingRight = missing
        return measure


def _tempo(quarters_a_minute: float, metre: tuple[int, int]) -> Any:
    import music21

    beats, unit = metre
    length = 1.5 if unit == 8 and beats % 3 == 0 and beats > 3 else 2.0 if unit == 2 else 1.0
    mark: Any = music21.tempo.MetronomeMark(number=max(1, round(quarters_a_minute / length)), referent=length)
    mark.placement = "above"
    return mark


def staff_height(num_staves: int) -> float:
    """Millimetres of a staff on an A4 page that has room for two systems, or for one if they would be too small."""
    staff = (PAGE[1] - 3 * MARGIN) / (num_staves * SPACED)
    if staff / 2 >= SMALL:
        staff = min(STAFF, staff / 2)
    return max(SMALLEST, min(STAFF, staff))


def _page(num_staves: int) -> Any:
    """An A4 page for systems of `num_staves` staves."""
    import music21

    staff = staff_height(num_staves)
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


def _staves(part: WrittenPart, number: int, frame: _Frame, span: range) -> list[Any]:
    """A part of music21 for each staff of a part, with the bars of `span`."""
    import music21

    kind = music21.stream.PartStaff if len(part.staves) > 1 else music21.stream.Part
    streams = []
    for place, voices in enumerate(part.staves):
        stream = kind(id=f"P{number + 1}-Staff{place + 1}")
        stream.partName = part.name
        instrument = instrument_of(part, number)
        stream.partAbbreviation = instrument.instrumentAbbreviation
        stream.insert(0, instrument)
        _fill(stream, part, voices, frame, span, place=place, is_first=number == place == 0)
        streams.append(stream)
    return streams


def _fill(
    stream: Any, part: WrittenPart, voices: Sequence[Voice], frame: _Frame, span: range, *, place: int, is_first: bool
) -> None:
    """Put measures with their notes into a staff, the part's upper one (`place` 0) or its lower one."""
    import music21

    pieces = [in_bars(voice, frame.bars) for voice in voices]
    syllables = dict(part.syllables) if place == 0 else {}
    first_voice = 1 + MOST_VOICES * place
    for index in span:
        bar, key = frame.bars[index], frame.keys[index]
        measure = frame.measure(index, is_first=is_first, begins=index == span.start)
        if index == span.start:
            measure.clef = clef_of(part, voices, is_left=place > 0 or part.is_left_hand)
        inside = [found[index] for found in pieces if index in found] or [[]]
        inside.sort(key=lambda pieces: -sum(sum(p.pitches) / len(p.pitches) for p in pieces) / max(1, len(pieces)))
        for number, own in enumerate(inside):
            elements = [
                element_of(piece, part, key, syllables.pop(bar.start + piece.start, None) if piece.pitches else None)
                for piece in note_values(own, bar)
            ]
            beam(elements, frame.signature(index), measure)
            # Two staves are one part in MusicXML, in which the lower staff has voices 5 to 8.
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
    if span.stop == len(frame.bars):
        stream.getElementsByClass("Measure").last().rightBarline = "final"
    if not part.is_drum:
        stream.makeAccidentals(inPlace=True)
