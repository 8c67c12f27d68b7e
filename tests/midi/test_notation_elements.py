"""Elements of a staff: spelling, clefs, names and drums, as a musician would write them."""

from __future__ import annotations

from fractions import Fraction

import music21
import pytest

from music_reformer.midi.key import Key
from music_reformer.midi.notation_elements import (
    DRUM_NAMES,
    DRUMS,
    beam,
    clef_of,
    element_of,
    instrument_of,
    quarters,
)
from music_reformer.midi.staves import Syllable, WrittenPart
from music_reformer.midi.voices import Voice, WrittenChord, WrittenSpan
from music_reformer.midi.written import UNIT


def part(program: int = 0, *pitches: int, name: str = "Piano") -> WrittenPart:
    chords = [WrittenChord(UNIT * place, UNIT * (place + 1), (pitch,)) for place, pitch in enumerate(pitches)]
    return WrittenPart(name, max(program, 0), program < 0, [[Voice(chords)]])


def span(*pitches: int, length: int = UNIT, **more: object) -> WrittenSpan:
    return WrittenSpan(0, length, pitches, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["C major", "A minor", "E major", "B minor", "Gb major", "Eb minor", "F# minor"])
def test_a_key_is_spelt_with_its_own_signature(key: str) -> None:
    """No step of the scale needs an accidental, and every pitch sounds unchanged."""
    parsed = Key.parse(key)
    signature = {pitch.name for pitch in music21.key.KeySignature(parsed.sharps).alteredPitches}
    for pitch in range(21, 109):
        element = element_of(span(pitch), part(), parsed, None)
        assert element.pitch.midi == pitch
        assert abs(element.pitch.alter) <= 2
        steps = music21.key.KeySignature(parsed.sharps).getScale("major").getPitches("C1", "C9")
        if pitch % 12 in {each.midi % 12 for each in steps}:
            assert element.pitch.accidental is None or element.pitch.name in signature


@pytest.mark.parametrize(
    ("key", "pitch", "name"), [("C major", 66, "F#4"), ("F major", 70, "B-4"), ("A minor", 68, "G#4")]
)
def test_notes_beside_the_scale_are_spelt_as_usual(key: str, pitch: int, name: str) -> None:
    assert element_of(span(pitch), part(), Key.parse(key), None).pitch.nameWithOctave == name


def test_notes_chords_and_rests() -> None:
    key = Key.parse("C major")
    assert element_of(span(), part(), key, None).isRest
    chord = element_of(span(60, 64), part(), key, None)
    assert [pitch.midi for pitch in chord.pitches] == [60, 64]
    assert element_of(span(60, length=3 * UNIT // 2), part(), key, None).duration.quarterLength == 1.5
    assert quarters(UNIT // 3) == Fraction(1, 3)


@pytest.mark.parametrize(
    ("back", "on", "tie"), [(False, True, "start"), (True, True, "continue"), (True, False, "stop")]
)
def test_ties_are_on_every_note_of_a_chord_and_on_no_drum(back: bool, on: bool, tie: str) -> None:
    key, piece = Key.parse("C major"), span(60, 64, tied_back=back, tied_on=on)
    assert [note.tie.type for note in element_of(piece, part(), key, None).notes] == [tie, tie]
    drum = element_of(piece, part(-1), key, None)
    assert drum.isRest if back else all(note.tie is None for note in drum.notes)


@pytest.mark.parametrize(
    ("from_before", "goes_on", "syllabic"),
    [(False, False, "single"), (False, True, "begin"), (True, True, "middle"), (True, False, "end")],
)
def test_syllables_say_where_in_their_word_they_stand(from_before: bool, goes_on: bool, syllabic: str) -> None:
    (lyric,) = element_of(span(60), part(), Key.parse("C major"), Syllable("la", from_before, goes_on)).lyrics
    assert (lyric.text, lyric.syllabic) == ("la", syllabic)


@pytest.mark.parametrize(
    ("program", "pitches", "clef"),
    [
        (-1, (38,), "PercussionClef"),
        (40, (76,), "TrebleClef"),
        (41, (60,), "AltoClef"),
        (42, (45,), "BassClef"),
        (32, (36,), "Bass8vbClef"),
        (24, (55,), "Treble8vbClef"),
        (0, (76, 72), "TrebleClef"),
        (0, (40, 43), "BassClef"),
        (40, (30,), "BassClef"),  # no violin: its clef would hide it in ledger lines
        (52, (56,), "Treble8vbClef"),  # tenors
        (52, (67,), "TrebleClef"),
    ],
)
def test_a_clef_follows_instrument_and_range(program: int, pitches: tuple[int, ...], clef: str) -> None:
    written = part(program, *pitches)
    assert type(clef_of(written, written.staves[0])).__name__ == clef


def test_a_left_hand_stays_in_its_clef_longer() -> None:
    written = part(0, 60, 62)
    assert type(clef_of(written, written.staves[0])).__name__ == "TrebleClef"
    assert type(clef_of(written, written.staves[0], is_left=True)).__name__ == "BassClef"


def test_instruments_keep_their_names_and_have_short_ones() -> None:
    found = instrument_of(part(40, 70, name="Violin 2"), 3)
    assert (found.instrumentName, found.instrumentAbbreviation, found.midiProgram) == ("Violin 2", "Vln 2", 40)
    assert (found.partId, found.transposition) == ("P4", None)
    assert instrument_of(part(0, 60, name="Lead"), 0).instrumentAbbreviation == "Lead"
    assert instrument_of(part(80, 60, name="Soft Square Lead"), 0).instrumentAbbreviation == "SSL"
    assert instrument_of(part(80, 60, name="Wobblers"), 0).instrumentAbbreviation == "Wobb."
    assert instrument_of(part(-1, 38, name="Kit"), 0).midiChannel == 9


def test_drums_stand_in_their_places_and_those_without_one_on_the_middle_line() -> None:
    key = Key.parse("C major")
    for pitch in (36, 38, 42, 81):
        hit = element_of(span(pitch), part(-1), key, None)
        assert (hit.displayName, hit.notehead) == DRUMS.get(pitch, ("B4", "x"))
    assert set(DRUMS) <= set(DRUM_NAMES) | {54, 39}


def test_eighths_are_beamed_by_the_beat_and_rests_break_a_beam() -> None:
    key = Key.parse("C major")
    measure, metre = music21.stream.Measure(), music21.meter.TimeSignature("4/4")
    notes = [element_of(span(*([60] if place != 2 else []), length=UNIT // 2), part(), key, None) for place in range(4)]
    for element in notes:
        measure.append(element)
    beam(notes, metre, measure)
    assert [[each.type for each in note.beams] if not note.isRest else None for note in notes] == [
        ["start"], ["stop"], None, [],
    ]  # fmt: skip
