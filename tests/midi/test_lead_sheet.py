"""Chords by bar, as typed; invalid ones are refused in a sentence."""

from __future__ import annotations

import pytest
import symusic

from music_reformer.errors import UserError
from music_reformer.midi.chords import NO_CHORD, Chord, parse
from music_reformer.midi.lead_sheet import MAX_CHARACTERS, LeadSheet, laid_over, lead_sheet_of, places


def bars(text: str) -> list[list[str]]:
    return [[str(chord) for chord in bar] for bar in LeadSheet.parse(text).bars]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Am7 | D7 G7/B | Cmaj7", [["Am7"], ["D7", "G7/B"], ["Cmaj7"]]),
        ("| C |\n| F G |", [["C"], ["F", "G"]]),
        ("C | D\n\n|: E\n F :|", [["C"], ["D"], ["E"], ["F"]]),
        ("C | % | ? | % |G", [["C"], ["C"], [], [], ["G"]]),
        ("A:min7/b3 | N", [["Am7/C"], ["N"]]),
        ("[Am]Morning has [D7]broken\n[G]like", [["Am"], ["D7"], ["G"]]),
    ],
)
def test_typed_chords_are_read(text: str, expected: list[list[str]]) -> None:
    assert bars(text) == expected


def test_a_repeat_is_endless_and_bars_after_a_sheet_without_one_are_open() -> None:
    sheet = LeadSheet.parse("E7 |: Am | F G :|")
    assert [" ".join(map(str, sheet.of_bar(number))) for number in range(6)] == ["E7", "Am", "F G", "Am", "F G", "Am"]
    assert LeadSheet.parse("Am").of_bar(1) == ()


@pytest.mark.parametrize("text", ["Am7 | D7 G/B | ? | C", "|: C | ? | F# :|", "N | |: Bb | Eb7 :|", "C"])
def test_a_sheet_survives_writing_and_parsing(text: str) -> None:
    sheet = LeadSheet.parse(text)
    assert LeadSheet.parse(str(sheet)) == sheet


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must have at least one bar"),
        (" | | ", "must have at least one bar"),
        ("% | C", "first bar"),
        ("H7", "'H7' is not a known chord"),
        ("|: C", "goes on for ever"),
        ("C :|", "goes on for ever"),
        ("|: C :| D", "goes on for ever"),
        ("|: C |: D :|", "goes on for ever"),
        ("|: :|", "must have at least one bar"),
        ("C " * 9, "at most 8 chords"),
        ("C|" * MAX_CHARACTERS, "at most 10,000 characters"),
    ],
)
def test_invalid_sheets_are_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        LeadSheet.parse(text)


def test_chords_begin_on_beats_while_there_are_enough() -> None:
    assert places(1, 4, 96) == [0]
    assert places(2, 4, 96) == [0, 48]
    assert places(2, 3, 72) == [0, 24]
    assert places(3, 4, 96) == [0, 24, 48]
    assert places(4, 2, 48) == [0, 12, 24, 36]


def test_a_sheet_is_made_of_the_chords_of_a_piece() -> None:
    """C, then half a bar each of F and G, in root position, over four bars; then a bar in 3/4 of A minor."""
    score = symusic.Score(480)
    score.time_signatures.extend([symusic.TimeSignature(0, 4, 4), symusic.TimeSignature(4 * 4 * 480, 3, 4)])
    piano = symusic.Track("", 0, False)
    for bar in range(4):
        half = 2 * 480
        for number, root in enumerate((0, 0) if bar % 2 == 0 else (5, 7)):
            for step in (0, 12, 16, 19):
                piano.notes.append(symusic.Note(bar * 4 * 480 + number * half, half, 36 + root + step, 80))
    for step in (0, 12, 15, 19):
        piano.notes.append(symusic.Note(4 * 4 * 480, 3 * 480, 45 + step, 80))
    score.tracks.append(piano)
    sheet = lead_sheet_of(score, 0, 5)
    assert sheet.bars[0] == sheet.bars[2] == (parse("C"),)
    f, g = parse("F"), parse("G")
    assert sheet.bars[1] == sheet.bars[3] == (f, f, g, g)
    assert sheet.bars[4] == (parse("Am"),)
    assert NO_CHORD not in sum(sheet.bars, ())


def test_in_compound_metres_and_long_ones_chords_stand_where_they_sound() -> None:
    """Two chords in a bar of 12/8, which has four beats, and of 13/4, which has more beats than chords may have."""
    for beats, unit, halves in ((12, 8, (6, 6)), (13, 4, (6, 7))):
        score = symusic.Score(480)
        score.time_signatures.append(symusic.TimeSignature(0, beats, unit))
        piano = symusic.Track("", 0, False)
        length, start = 4 * 480 // unit, 0
        for _ in range(4):
            for root, count in zip((0, 7), halves, strict=True):
                for step in (0, 12, 16, 19):
                    piano.notes.append(symusic.Note(start, count * length, 36 + root + step, 80))
                start += count * length
        score.tracks.append(piano)
        (bar, *others) = lead_sheet_of(score, 0, 4).bars
        assert set(others) == {bar}
        begins = places(len(bar), beats, beats)
        wrong = [abs(begin - halves[0]) for begin, chord in zip(begins, bar, strict=True) if chord == parse("G")]
        assert 4 <= len(bar) <= 8
        assert min(wrong) <= 1
        assert sorted(set(map(str, bar))) == ["C", "G"]


def test_a_sheet_replaces_only_the_chords_of_its_own_bars() -> None:
    own = [(0, parse("C")), (96, parse("F")), (240, parse("G")), (480, parse("Am"))]
    sheet = LeadSheet.parse("Dm E | ? | Bb")
    laid = laid_over(own, sheet, [96, 192, 288, 384], 4)

    def at(changes: list[tuple[int, Chord]], tick: int) -> Chord:
        return [chord for begin, chord in changes if begin <= tick][-1]

    assert laid == sorted(laid, key=lambda change: change[0])
    for tick in range(0, 600, 12):
        asked = {(96, 144): "Dm", (144, 192): "E", (288, 384): "Bb"}
        expected = [parse(name) for (begin, end), name in asked.items() if begin <= tick < end] or [at(own, tick)]
        assert [at(laid, tick)] == expected
