from __future__ import annotations

import itertools

import numpy as np
import pytest
import symusic

from music_reformer.midi.chords import INTERVALS, parse
from music_reformer.midi.key import Key
from music_reformer.midi.tonality import estimate_key, keys_of, usual_shares

QUARTER = 24


def progression(names: str) -> symusic.Score:
    """A chord a bar."""
    score = symusic.Score(QUARTER)
    track = symusic.Track()
    for bar, name in enumerate(names.split()):
        chord = parse(name)
        for step in INTERVALS[chord.quality]:
            track.notes.append(symusic.Note(bar * 96, 96, 48 + (chord.root + step) % 12, 80))
    score.tracks.append(track)
    return score


def test_a_modulation_is_found_at_its_place() -> None:
    in_c, in_eb = "C Am F G7 C F G7 C", "Eb Cm Ab Bb7 Eb Ab Bb7 Eb"
    found = keys_of(progression(f"{in_c} {in_c} {in_eb} {in_eb} {in_c} {in_c}"))
    assert [(tick, str(key)) for tick, key in found] == [
        (0, "C major"),
        (16 * 96, "Eb major"),
        (32 * 96, "C major"),
    ]


def test_minor_keys_are_told_from_their_relatives() -> None:
    assert str(keys_of(progression("Am Dm E7 Am F Dm E7 Am"))[0][1]) == "A minor"
    assert str(keys_of(progression("C F G7 C Am F G7 C"))[0][1]) == "C major"


def test_transposing_a_piece_transposes_its_keys() -> None:
    piece = progression("C F G7 C D7 G D7 G Am E7 Am Bb F C7 F Bbm F")
    found = keys_of(piece)
    for semitones in range(-11, 12):
        other = keys_of(piece.shift_pitch(semitones))
        moved = [(tick, (key.tonic + semitones) % 12, key.is_minor) for tick, key in found]
        assert [(tick, key.tonic, key.is_minor) for tick, key in other] == moved


def test_a_passing_chord_is_no_new_key() -> None:
    assert len(keys_of(progression("C F G7 C C Eb7 G7 C C F G7 C"))) == 1


def test_keys_change_and_start_with_the_score() -> None:
    random = np.random.default_rng(3)
    names = " ".join(random.choice(["C", "F#", "Ebm", "A7", "Bb"], 5)[0] for _ in range(3))
    piece = progression(" ".join(" ".join([name] * 12) for name in ("C F G7 C", "F# B C#7 F#", names)))
    found = keys_of(piece)
    assert found[0][0] == 0
    assert all(tick < later and key != other for (tick, key), (later, other) in itertools.pairwise(found))


def test_an_empty_score_has_no_key() -> None:
    assert keys_of(symusic.Score(QUARTER)) == []
    assert estimate_key(np.zeros(12)) is None
    drums = progression("C F")
    drums.tracks[0].is_drum = True
    assert keys_of(drums) == []


@pytest.mark.parametrize("is_minor", [False, True])
def test_every_key_is_estimated_from_its_own_tonic_triad_and_scale(is_minor: bool) -> None:
    for tonic in range(12):
        key = Key.of(tonic, is_minor=is_minor)
        sounding = np.zeros(12)
        sounding[list(key.pitch_classes)] = 1
        sounding[[tonic, (tonic + (3 if is_minor else 4)) % 12, (tonic + 7) % 12]] = 3
        assert estimate_key(sounding) == key


@pytest.mark.parametrize("number", range(24))
def test_the_usual_shares_of_a_key_are_heard_as_that_key(number: int) -> None:
    shares = usual_shares(Key.numbered(number))
    assert shares.sum() == pytest.approx(1, abs=0.01)
    assert shares.argmax() == number % 12
    assert estimate_key(shares) == Key.numbered(number)
