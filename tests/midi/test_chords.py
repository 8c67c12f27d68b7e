from __future__ import annotations

import pytest

from music_reformer.errors import UserError
from music_reformer.midi.chords import INTERVALS, NO_CHORD, QUALITIES, Chord, parse


@pytest.mark.parametrize(
    ("text", "root", "quality", "bass"),
    [
        ("C:maj7/3", 0, "maj7", 4),
        ("C", 0, "maj", 0),
        ("C:", 0, "maj", 0),
        ("Bb:min/b3", 10, "min", 1),
        ("F#:sus4(b7)", 6, "sus4", 6),
        ("Ab:maj(9)/3", 8, "maj", 0),
        ("Db:maj/#4", 1, "maj", 7),
        ("E:min11", 4, "min7", 4),
        ("G:13", 7, "7", 7),
        ("D:minmaj7", 2, "min", 2),
        ("Am/C", 9, "min", 0),
        ("F#m7b5", 6, "hdim7", 6),
        ("D/F#", 2, "maj", 6),
        ("Ebmaj7/Bb", 3, "maj7", 10),
        ("G5", 7, "5", 7),
        ("Gsus4", 7, "sus4", 7),
    ],
)
def test_chords_are_read(text: str, root: int, quality: str, bass: int) -> None:
    assert parse(text) == Chord(root, quality, bass)


def test_every_chord_is_read_as_it_is_written() -> None:
    for quality in QUALITIES[:-1]:
        for root in range(12):
            for bass in range(12):
                chord = Chord(root, quality, bass)
                assert parse(str(chord)) == parse(chord.harte) == chord
    assert parse("N") == NO_CHORD
    assert str(NO_CHORD) == NO_CHORD.harte == "N"


@pytest.mark.parametrize(
    "text", ["", "H", "C:foo", "Cfoo", "C/9", "C:maj/0", "C:maj//3", "N:maj", "C:N", "CN", "c", "/C", "C/b"]
)
def test_invalid_chords_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="write it like Am7/C"):
        parse(text)


def test_chords_have_names_and_pitch_classes() -> None:
    assert str(parse("A:min7/b3")) == "Am7/C"
    assert str(parse("C:maj7")) == "Cmaj7"
    assert parse("Am7/C").pitch_classes == {9, 0, 4, 7}
    assert parse("C:maj/2").pitch_classes == {0, 2, 4, 7}
    assert NO_CHORD.pitch_classes == frozenset()


def test_qualities_differ_in_their_notes() -> None:
    assert len(QUALITIES) <= 14
    assert len(set(INTERVALS.values())) == len(QUALITIES)


def test_transposing_moves_root_and_bass() -> None:
    assert parse("Am/C").transposed(5) == parse("Dm/F")
    assert parse("Am/C").transposed(-24) == parse("Am/C")
    assert NO_CHORD.transposed(3) == NO_CHORD
