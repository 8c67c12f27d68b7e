"""What stands on a staff, as music21 has it: notes and chords, beams, clefs, instruments and drums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any
from xml.etree import ElementTree

from music_reformer.midi.key import Key
from music_reformer.midi.staves import Syllable, WrittenPart
from music_reformer.midi.voices import Voice, WrittenSpan
from music_reformer.midi.written import UNIT

SHORT_NAME = 6  # characters that need no abbreviation
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
MIDDLE_C = 60
WHITE_KEYS = (1, 1, 2, 2, 3, 4, 4, 5, 5, 6, 6, 7)  # step of the scale of each pitch class, sharps as their naturals
LEFT_HAND = 3  # times fewer ledger lines in the treble clef, before a left hand is written in it
VOICES = range(52, 55)
TENOR = (52, 60)  # mean pitch of a voice that reads a treble clef an octave lower
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


def quarters(units: int) -> Fraction:
    """A length in quarters, as music21 counts."""
    return Fraction(units, UNIT)


def element_of(piece: WrittenSpan, part: WrittenPart, key: Key, syllable: Syllable | None) -> Any:
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
    element.duration = music21.duration.Duration(quarters(piece.length))
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
    """A MIDI pitch, spelt as a musician would in a key: by its scale, and outside it from the flat third to the sharp
    fifth of the major key."""
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


def beam(elements: Sequence[Any], signature: Any, measure: Any) -> None:
    """Beam the elements of a voice in a measure; tuplets that a beam holds together need no bracket."""
    if len(elements) < 2:
        return
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


def clef_of(part: WrittenPart, voices: Sequence[Voice], *, is_left: bool = False) -> Any:
    """The clef of a staff, by its instrument, or with the fewest ledger lines. `is_left`: of a keyboard's left hand."""
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
        # A synthesizer may play far outside an instrument's range, where its usual clef would need many ledger lines.
        middle = MIDDLE_LINES[clef.sign] + 7 * clef.octaveChange
        lines = (music21.pitch.Pitch(midi=round(mean)).diatonicNoteNum - middle) / 2
        if abs(lines) <= 4:
            return clef
    above, below = (_ledger_lines(pitches, MIDDLE_LINES[sign]) for sign in "GF")
    # A left hand is written in the bass clef unless it would hardly be readable there.
    is_treble = above * (LEFT_HAND if is_left else 1) < below or (above == below and not is_left and mean >= MIDDLE_C)
    return music21.clef.TrebleClef() if is_treble else music21.clef.BassClef()


def _ledger_lines(pitches: Sequence[int], middle: int) -> int:
    """How many ledger lines pitches need on a staff with the middle line `middle`, in steps of the scale (C0 = 1)."""
    counts = Counter(pitches)
    return sum(
        count * max(0, (abs(7 * (pitch // 12 - 1) + WHITE_KEYS[pitch % 12] - middle) - 4) // 2)
        for pitch, count in counts.items()
    )


def instrument_of(part: WrittenPart, number: int) -> Any:
    """The instrument of a part, whose place among the parts is `number`, with its names and program."""
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
    instrument.transposition = None  # the score is in C: clefs show octaves
    instrument.partId = f"P{number + 1}"
    instrument.instrumentId = f"P{number + 1}-I1"
    return instrument


def _abbreviation(name: str, instrument: Any) -> str:
    """The short name, printed before every system but the first."""
    words, usual = name.split(), instrument.instrumentName or ""
    number = words.pop() if len(words) > 1 and words[-1].isdigit() else ""
    if len(name) <= SHORT_NAME:
        return name
    if usual and usual.lower() in name.lower():
        short = instrument.instrumentAbbreviation
    else:
        short = "".join(word[0] for word in words) if len(words) > 1 else f"{words[0][:4]}."
    return f"{short} {number}".strip()


def name_drums(root: ElementTree.Element, element: ElementTree.Element, part: WrittenPart) -> None:
    """Name the drum of each note of a part, since music21 writes one instrument for all of them."""
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
