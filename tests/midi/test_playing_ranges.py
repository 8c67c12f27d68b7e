"""Usual ranges of all instruments."""

from __future__ import annotations

from music_reformer.midi.playing_ranges import usual_range


def test_every_program_has_a_range_of_an_octave_at_least() -> None:
    for program in range(128):
        low, high = usual_range(program)
        assert 0 <= low <= high - 12 <= 127 - 12


def test_strings_and_winds_lie_as_they_do_in_an_orchestra() -> None:
    violin, viola, cello, bass = (usual_range(program) for program in (40, 41, 42, 43))
    assert violin > viola > cello > bass
    piccolo, flute, bassoon = (usual_range(program) for program in (72, 73, 70))
    assert piccolo > flute > bassoon
