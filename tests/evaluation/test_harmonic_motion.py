"""Where the harmony of new bars stands still, although it moved before."""

from __future__ import annotations

import pytest
import symusic

from music_reformer.evaluation.harmonic_motion import HarmonicMotion, stands_still, still_share

CHORDS = {"C": (48, 60, 64, 67), "F": (53, 60, 65, 69), "G": (55, 59, 62, 67), "a": (57, 60, 64, 69)}


def piece_of(chords: str) -> symusic.Score:
    """A bar of 4/4 for each chord, in quarters; "-" is a rest."""
    score = symusic.Score(24)
    track = symusic.Track("", 0, False)
    for bar, name in enumerate(chords):
        for beat in range(4):
            for pitch in CHORDS.get(name, ()):
                track.notes.append(symusic.Note(96 * bar + 24 * beat, 24, pitch, 80))
    drums = symusic.Track("", 0, True)  # so that rests at the end are bars, too
    drums.notes.append(symusic.Note(96 * len(chords), 24, 36, 80))
    score.tracks.extend([track, drums])
    return score


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ("CaFG" * 4, 0.0),
        ("aFCG" * 4, 0.0),
        ("C" * 16, 1.0),
        ("CCCCCCCCCFCCCCCC", 1.0),
        ("CaFG" * 4 + "F" * 16, 0.5),
    ],
)
def test_new_bars_that_stay_on_a_chord_stand_still(new: str, expected: float) -> None:
    assert still_share(piece_of("CaFG" * 4 + new), 16, len(new)) == expected


def test_a_piece_whose_harmony_stood_still_may_continue_so() -> None:
    assert still_share(piece_of("C" * 32), 16, 16) == 0.0


@pytest.mark.parametrize("chords", ["CaFG" * 4 + "-" * 16, "-" * 16 + "CaFG" * 4, "CaFG" * 4 + "CaFG", "C" * 8])
def test_the_still_share_is_none_without_enough_chords_on_both_sides(chords: str) -> None:
    assert still_share(piece_of(chords), 16, len(chords) - 16) is None


def test_harmony_stands_still_if_changes_halve_or_one_root_dominates() -> None:
    before = HarmonicMotion(changes_per_bar=1.0, largest_share=0.4)
    assert not stands_still(HarmonicMotion(0.6, 0.6), before)
    assert stands_still(HarmonicMotion(0.4, 0.4), before)
    assert stands_still(HarmonicMotion(0.6, 0.75), before)
    assert not stands_still(HarmonicMotion(0.6, 0.75), HarmonicMotion(1.0, 0.7))
