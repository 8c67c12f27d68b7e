from __future__ import annotations

import pytest

from music_reformer.errors import UserError
from music_reformer.midi.key import MAJORS, MINORS, Key

SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


@pytest.mark.parametrize("mode", ["major", "minor"])
def test_every_key_has_its_tonic_and_its_scale(mode: str) -> None:
    for tonic in MAJORS if mode == "major" else MINORS:
        key = Key.parse(f"{tonic} {mode}")
        assert key.tonic == (SEMITONES[tonic[0]] + tonic[1:].count("#") - tonic[1:].count("b")) % 12
        third, fifth = (4, 7) if mode == "major" else (3, 7)
        assert {key.tonic, (key.tonic + third) % 12, (key.tonic + fifth) % 12} <= key.pitch_classes
        # Sharps and flats of the signature are in the scale, and their neighbours are not all.
        assert len(key.pitch_classes) == (7 if mode == "major" else 9)


def test_relatives_share_a_signature() -> None:
    assert Key.parse("Eb major").sharps == Key.parse("C minor").sharps == -3
    assert Key.parse("Eb major").pitch_classes < Key.parse("C minor").pitch_classes


@pytest.mark.parametrize("text", ["", "C", "H major", "c major", "C Major", "C lydian", "C major ", "Fb minor"])
def test_invalid_keys_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="such as C major or F# minor"):
        Key.parse(text)


def test_keys_on_a_pitch_class_are_spelt_simply_and_read_as_they_are_written() -> None:
    for is_minor in (False, True):
        for tonic in range(12):
            key = Key.of(tonic, is_minor=is_minor)
            assert (key.tonic, key.is_minor) == (tonic, is_minor)
            assert -5 <= key.sharps <= 6
            assert Key.parse(str(key)) == key
