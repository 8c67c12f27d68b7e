"""MusicXML as notation programs read it: each test parses the file and looks at its elements."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
import symusic

from helpers.midi_bytes import event, midi, scale
from music_reformer.errors import UserError
from music_reformer.midi import notation
from music_reformer.midi.examples import EXAMPLES
from music_reformer.midi.notation import convert, music_xml

QUARTER = 480


def piece(
    *tracks: tuple[int, list[tuple[float, float, int]]], metre: tuple[int, int] = (4, 4), name: str = ""
) -> symusic.Score:
    """A score of (program, or -1 for drums; notes as onset and length in quarters and pitch)."""
    score = symusic.Score(QUARTER)
    score.time_signatures.append(symusic.TimeSignature(0, *metre))
    for program, notes in tracks:
        track = symusic.Track(name, max(program, 0), program < 0)
        for onset, length, pitch in notes:
            track.notes.append(symusic.Note(round(onset * QUARTER), round(length * QUARTER), pitch, 80))
        score.tracks.append(track)
    return score


def written(score: symusic.Score, title: str = "") -> ElementTree.Element:
    return ElementTree.fromstring(convert(score.dumps_midi(), "it", title))


def texts(root: ElementTree.Element, path: str) -> list[str]:
    return [element.text or "" for element in root.iterfind(f".//{path}")]


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_piece_is_written_in_bars_for_every_part(name: str) -> None:
    example = EXAMPLES[name]
    score = example.score()
    root = written(score, "A title")
    assert root.findtext("movement-title") == "A title"
    parts = root.findall("part")
    bars = round(score.end() / score.ticks_per_quarter / example.beats_per_bar + 0.49)
    assert [len(part.findall("measure")) for part in parts] == [bars] * len(example.parts)
    for part in parts:
        assert texts(part, "beats") == [str(example.beats_per_bar)]
    # A note that is tied over or split is one of the piece's: beginnings count.
    heads = len(texts(root, "pitch")) + len(texts(root, "unpitched"))
    assert heads - len(root.findall(".//tie[@type='stop']")) == score.note_num()


def test_a_piece_without_key_is_spelt_in_one() -> None:
    pitches = [63, 65, 67, 68, 70, 72, 74, 75, 70, 67, 63, 68, 72, 75, 70, 74, 75]
    root = written(piece((0, [(place, 1, pitch) for place, pitch in enumerate(pitches)])))
    assert set(texts(root, "fifths")) == {"-3"}
    assert "1" not in texts(root, "alter")


def test_each_section_has_its_key() -> None:
    """Sixteen bars in C, and as many in A flat."""
    scale = [0, 4, 7, 12, 11, 7, 5, 2]
    notes = [(step / 2, 0.5, 60 + (8 if step >= 128 else 0) + scale[step % 8]) for step in range(256)]
    root = written(piece((0, notes)))
    assert [
        (measure.get("number"), measure.findtext(".//fifths"))
        for measure in root.iterfind("part/measure")
        if measure.find(".//key") is not None
    ] == [("1", "0"), ("17", "-4")]


def test_drums_are_unpitched_and_named_on_a_percussion_staff() -> None:
    root = written(piece((-1, [(0, 0.1, 36), (0, 0.1, 42), (0.5, 0.1, 42), (1, 0.1, 38), (1.5, 0.1, 46)])))
    assert texts(root, "clef/sign") == ["percussion"]
    assert not texts(root, "pitch")
    places = [
        step + octave for step, octave in zip(texts(root, "display-step"), texts(root, "display-octave"), strict=True)
    ]
    assert places == ["F4", "G5", "G5", "C5", "G5"]
    keys = {
        each.get("id"): int(each.findtext("midi-unpitched") or 0) - 1 for each in root.iterfind(".//midi-instrument")
    }
    assert [keys[note.get("id")] for note in root.iterfind(".//note/instrument")] == [36, 42, 42, 38, 46]
    assert {each.text for each in root.iterfind(".//midi-channel")} == {"10"}
    assert texts(root, "instrument-name") == ["Bass Drum", "Snare", "Closed Hi-Hat", "Open Hi-Hat"]
    # A hit lasts until the next; nothing is cut into small rests.
    assert [note.findtext("type") for note in root.iterfind(".//note")][:5] == ["eighth"] * 4 + ["eighth"]


@pytest.mark.parametrize(
    ("program", "pitch", "clef"),
    [
        (40, 76, ("G", "2", None)),
        (41, 62, ("C", "3", None)),
        (42, 48, ("F", "4", None)),
        (43, 38, ("F", "4", "-1")),
        (33, 38, ("F", "4", "-1")),
        (24, 55, ("G", "2", "-1")),
        (52, 72, ("G", "2", None)),
        (52, 57, ("G", "2", "-1")),
        (52, 48, ("F", "4", None)),
        (72, 90, ("G", "2", "1")),
        (0, 40, ("F", "4", None)),
        (33, 84, ("G", "2", None)),  # a synthesizer's bass, far above its clef
    ],
)
def test_clefs_follow_the_instrument_and_its_range(program: int, pitch: int, clef: tuple[str, str, str | None]) -> None:
    root = written(piece((program, [(0, 1, pitch), (1, 1, pitch + 2), (2, 2, pitch - 2)])))
    found = root.find(".//clef")
    assert found is not None
    assert (found.findtext("sign"), found.findtext("line"), found.findtext("clef-octave-change")) == clef


STEPS = "CDEFGAB"


def ledger_lines(root: ElementTree.Element, sign: str) -> int:
    """Ledger lines of all notes of the only staff, in a treble and in a bass clef, counted line by line."""
    bottom, top = {"G": (("E", 4), ("F", 5)), "F": (("G", 2), ("A", 3))}[sign]
    height = lambda step, octave: 7 * octave + STEPS.index(step)  # noqa: E731
    lines = 0
    for pitch in root.iterfind(".//pitch"):
        at = height(pitch.findtext("step"), int(pitch.findtext("octave", "")))
        while at > height(*top) + 1:
            lines, at = lines + 1, at - 2
        while at < height(*bottom) - 1:
            lines, at = lines + 1, at + 2
    return lines


# A bass note and two chords in each bar.
WALTZ_BASS = [(0, 1, (43,)), (1, 1, (67, 71)), (2, 1, (67, 71))]


@pytest.mark.parametrize(
    "pitches", [(43, 67, 71, 67, 71), (48, 52, 55), (60, 64, 67), (57, 60, 64), (36, 72, 76), (53, 57, 60, 65, 69)]
)
def test_a_clef_spares_ledger_lines(pitches: tuple[int, ...]) -> None:
    root = written(piece((48, [(place, 1, pitch) for place, pitch in enumerate(pitches)])))
    fewest = min("GF", key=lambda sign: ledger_lines(root, sign))
    if ledger_lines(root, "G") != ledger_lines(root, "F"):
        assert texts(root, "clef/sign") == [fewest]


@pytest.mark.parametrize("names", [("", ""), ("Right hand", "Left hand")])
def test_the_left_hand_of_a_waltz_reads_a_bass_clef(names: tuple[str, str]) -> None:
    """Its chords are high, and most of its notes are chords."""
    left = [
        (3 * bar + beat, length, pitch) for bar in range(4) for beat, length, chord in WALTZ_BASS for pitch in chord
    ]
    right = [(beat, 1, 79 + beat % 5) for beat in range(12)]
    score = piece((0, right), (0, left), metre=(3, 4))
    for track, name in zip(score.tracks, names, strict=True):
        track.name = name
    assert texts(written(score), "clef/sign") == ["G", "F"]


def test_hands_stand_on_two_staves_with_a_brace_and_voices_of_their_own() -> None:
    right = [(beat, 1, 72 + beat) for beat in range(4)]
    left = [(beat, 2, 45 + beat) for beat in (0, 2)]
    for tracks in ([(0, right + left)], [(0, right), (0, left)]):
        root = written(piece(*tracks))
        assert len(root.findall("part")) == 1
        assert root.findtext(".//staves") == "2"
        assert texts(root, "clef/sign") == ["G", "F"]
        by_staff = {staff: {v.findtext("voice") for v in root.iterfind(".//note") if v.findtext("staff") == staff}
                    for staff in ("1", "2")}  # fmt: skip
        assert by_staff == {"1": {"1"}, "2": {"5"}}


def test_hands_with_names_of_their_own_are_two_parts_in_a_brace() -> None:
    score = piece((0, [(0, 4, 72)]), (0, [(0, 2, 40), (2, 2, 66)]))
    score.tracks[0].name, score.tracks[1].name = "Right hand", "Left hand"
    root = written(score)
    assert texts(root, "part-name") == ["Right hand", "Left hand"]
    assert not texts(root, "staves")
    assert [group.findtext("group-symbol") for group in root.iterfind(".//part-group[@type='start']")] == ["brace"]


def test_a_melody_and_a_piano_of_one_program_are_no_hands() -> None:
    """As in POP909: three tracks of program 0, of which the last one needs two staves."""
    score = piece((0, [(0, 4, 76)]), (0, [(0, 4, 70)]), (0, [(0, 2, 40), (2, 2, 66)]))
    for track, name in zip(score.tracks, ("Melody", "Bridge", "Piano"), strict=True):
        track.name = name
    root = written(score)
    assert texts(root, "part-name") == ["Melody", "Bridge", "Piano"]
    assert [part.findtext(".//staves") for part in root.findall("part")] == [None, None, "2"]
    assert not texts(root, "group-symbol")


def test_each_lasting_tempo_has_one_mark() -> None:
    score = piece((0, [(bar * 4, 4, 60) for bar in range(16)]), (40, [(0, 64, 72)]))
    # A recording's tempo, changed at every beat; then a new one that lasts.
    score.tempos.extend([symusic.Tempo(beat * QUARTER, qpm=99 + beat % 3) for beat in range(32)])
    score.tempos.append(symusic.Tempo(32 * QUARTER, qpm=140))
    root = written(score)
    assert texts(root, "per-minute") == ["100", "140"]
    assert texts(root, "beat-unit") == ["quarter", "quarter"]
    compound = piece((0, [(0, 3, 60)]), metre=(6, 8))
    compound.tempos.append(symusic.Tempo(0, qpm=90))
    root = written(compound)
    assert texts(root, "per-minute") == ["60"]
    assert root.find(".//beat-unit-dot") is not None


def test_triplets_are_bracketed_once() -> None:
    notes = [(beat + third / 3, 1 / 3, 60 + third) for beat in range(2) for third in range(3)]
    root = written(piece((73, [*notes, (2, 2 / 3, 65), (2 + 2 / 3, 1 / 3, 67), (3, 1, 65)])))
    assert [element.get("type") for element in root.iterfind(".//tuplet")] == ["start", "stop"] * 3
    # A beam says that the notes belong together; quarter and eighth need a bracket.
    assert [element.get("bracket") for element in root.iterfind(".//tuplet[@type='start']")] == ["no", "no", "yes"]
    assert texts(root, "actual-notes") == ["3"] * 8
    assert not texts(root, "tied")


def test_notes_are_tied_over_bar_lines_and_beats() -> None:
    root = written(piece((73, [(0.5, 2, 60), (3, 2, 62)])))
    lengths = [note.findtext("type") for note in root.iterfind(".//note") if note.find("pitch") is not None]
    assert lengths == ["quarter", "eighth", "quarter", "quarter"] or lengths == [
        "eighth",
        "quarter",
        "quarter",
        "quarter",
    ]
    assert [tie.get("type") for tie in root.iterfind(".//tied")] == ["start", "stop"] * 2


def test_two_voices_have_rests_in_one_of_them_only() -> None:
    root = written(piece((73, [(0, 4, 60), (1, 1, 72), (2, 1, 74)])))
    shown = [note for note in root.iterfind(".//note") if note.find("rest") is not None]
    assert {note.findtext("voice") for note in root.iterfind(".//note")} == {"1", "2"}
    assert [note.findtext("voice") for note in shown] == ["1", "1"]


def test_a_pickup_is_bar_0_and_shows_the_metre_of_the_piece() -> None:
    score = piece((73, [(0, 1, 67), (1, 2, 72), (3, 1, 71), (4, 3, 72)]), metre=(1, 4))
    score.time_signatures.append(symusic.TimeSignature(QUARTER, 3, 4))
    root = written(score)
    assert [(each.get("number"), each.get("implicit")) for each in root.iterfind("part/measure")] == [
        ("0", "yes"), ("1", "no"), ("2", "no"),
    ]  # fmt: skip
    assert texts(root, "beats") == ["3"]


def test_lyrics_stand_under_their_notes() -> None:
    score = piece((52, [(0, 1, 67), (1, 1, 69), (2, 2, 71)]))
    words = symusic.Track("Words", 0, False)
    words.lyrics.extend([symusic.TextMeta(0, "O "), symusic.TextMeta(480, "sum"), symusic.TextMeta(960, "mer ")])
    score.tracks.append(words)
    root = written(score)
    assert texts(root, "lyric/text") == ["O", "sum", "mer"]
    assert texts(root, "lyric/syllabic") == ["single", "begin", "end"]


def test_names_are_short_and_told_apart() -> None:
    root = written(piece((40, [(0, 4, 76)]), (40, [(0, 4, 67)]), (0, [(0, 4, 67)])))
    assert texts(root, "part-name") == ["Violin 1", "Violin 2", "Piano"]
    assert texts(root, "part-abbreviation") == ["Vln 1", "Vln 2", "Piano"]
    assert [group.findtext("group-symbol") for group in root.iterfind(".//part-group[@type='start']")] == ["bracket"]


def test_a_page_is_a4_with_smaller_staves_for_many_parts() -> None:
    sizes = []
    for number in (1, 20):
        root = written(piece(*[(40, [(0, 4, 76)])] * number))
        scale = float(root.findtext(".//millimeters") or 0)
        assert float(root.findtext(".//page-width") or 0) * scale / 40 == pytest.approx(210, abs=1)
        sizes.append(scale)
    assert sizes[0] == 6.5
    assert 3 <= sizes[1] < 5


def test_faults_of_a_file_are_repaired_before_engraving() -> None:
    """A note that never ends; symusic by itself drops it."""
    stuck = midi(event(0, 0x90, 48, 80) + scale())
    assert symusic.Score.from_midi(stuck).note_num() == 8
    assert "3" in texts(ElementTree.fromstring(convert(stuck, "it", "")), "octave")


def test_too_many_notes_or_bars_are_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="it has more than 20,000 bars in its parts; export a part of it"):
        written(piece((0, [(0, 1, 60), (4 * 21_000, 1, 60)])))
    with pytest.raises(UserError, match="a metre of 255/8 cannot be written as notes"):
        written(piece((0, [(0, 1, 60)]), metre=(255, 8)))
    monkeypatch.setattr(notation, "NOTATION_NOTES", 1)
    with pytest.raises(UserError, match="it has more than 1 notes; export a part of it"):
        written(piece((0, [(0, 1, 60), (1, 1, 60)])))


def test_notation_is_written_in_a_process_with_a_time_limit() -> None:
    waltz = EXAMPLES["waltz"].score().dumps_midi()
    assert music_xml(waltz, name="it", title="") == convert(waltz, "it", "")
    with pytest.raises(UserError, match=r"it took more than 0\.001 seconds to be written"):
        music_xml(waltz, name="it", title="", seconds=0.001)


def test_processor_time_is_limited_too() -> None:
    long = piece((0, [(place / 4, 0.25, 60 + place % 12) for place in range(6000)])).dumps_midi()
    with pytest.raises(UserError, match=r"it took more than 1 seconds to be written"):
        music_xml(long, name="it", title="", cpu_seconds=1)
