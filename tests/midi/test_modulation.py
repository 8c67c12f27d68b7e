"""Notes and chords go to the same degree of another key, and to the scale of its mode."""

from __future__ import annotations

import numpy as np
import pytest

from music_reformer.midi.chords import Chord, parse
from music_reformer.midi.key import Key
from music_reformer.midi.modulation import UNCHANGED, Modulation

KEYS = [Key.numbered(number) for number in range(24)]


def modulation(source: str, target: str) -> Modulation:
    return Modulation(Key.parse(source), Key.parse(target))


def chords(names: str, source: str, target: str) -> str:
    return " ".join(str(modulation(source, target).chord(parse(name))) for name in names.split())


def test_between_keys_of_one_mode_all_notes_and_chords_move_equally_far() -> None:
    up = modulation("C major", "D major")
    assert [up.pitch(pitch) for pitch in range(128)] == list(range(2, 130))
    assert up.chord(Chord(7, "7", 11)) == Chord(9, "7", 1)
    assert modulation("A minor", "E minor").pitch(60) == 55  # the shorter way
    assert modulation("C major", "F# major").semitones == 6


@pytest.mark.parametrize(
    ("names", "source", "target", "moved"),
    [
        ("C Am F G Dm Em Bdim", "C major", "A minor", "Am F Dm E Bdim C G#dim"),
        ("C Am F G7 Cmaj7 Dm7", "C major", "C minor", "Cm Ab Fm G7 Cm7 Dm7b5"),
        ("Cm Ab Fm Gm Eb G7", "C minor", "C major", "C Am F G Em G7"),
        ("Am/E E/G# Dm/F", "A minor", "A major", "A/E E/G# D/F#"),
        ("N C5 Csus4", "C major", "C minor", "N C5 Csus4"),
        ("C6", "C major", "C minor", "Cm"),
    ],
)
def test_chords_go_to_the_same_degree_of_the_other_mode(names: str, source: str, target: str, moved: str) -> None:
    expected = " ".join(str(parse(name)) for name in moved.split())
    assert chords(names, source, target) == expected


def test_the_leading_tone_stays_raised_in_minor_and_the_seventh_is_raised_in_major() -> None:
    assert [modulation("C major", "C minor").pitch(60 + step) - 60 for step in (0, 2, 4, 5, 7, 9, 11)] == [
        *(0, 2, 3, 5, 7, 8, 11),
    ]
    assert [modulation("C minor", "C major").pitch(60 + step) - 60 for step in (0, 2, 3, 5, 7, 8, 10, 11)] == [
        *(0, 2, 4, 5, 7, 9, 11, 11),
    ]


@pytest.mark.parametrize("source", KEYS, ids=str)
def test_the_notes_of_a_key_go_to_notes_of_the_other(source: Key) -> None:
    for target in KEYS:
        moved = {Modulation(source, target).pitch(pitch_class) % 12 for pitch_class in source.pitch_classes}
        assert moved <= target.pitch_classes
        assert Modulation(source, target).pitch(source.tonic) % 12 == target.tonic


@pytest.mark.parametrize("source", KEYS, ids=str)
def test_amounts_of_pitch_classes_move_with_them_and_keep_their_sum(source: Key) -> None:
    amount = np.arange(12.0) ** 2
    for target in KEYS:
        way = Modulation(source, target)
        moved = way.by_class(amount)
        assert moved.sum() == amount.sum()
        for pitch_class in range(12):
            assert moved[way.pitch(pitch_class) % 12] >= amount[pitch_class]


def test_equal_keys_change_nothing() -> None:
    assert [UNCHANGED.pitch(pitch) for pitch in range(128)] == list(range(128))
    chord = Chord(7, "7", 11)
    assert UNCHANGED.chord(chord) == chord
