"""The names of General MIDI."""

from __future__ import annotations

import pytest

from music_reformer.midi.instruments import PROGRAM_NAMES, instrument_name


def test_all_128_programs_have_different_names() -> None:
    assert len(PROGRAM_NAMES) == len(set(PROGRAM_NAMES)) == 128


@pytest.mark.parametrize(
    ("program", "name"),
    [(0, "Acoustic Grand Piano"), (24, "Acoustic Guitar (nylon)"), (40, "Violin"), (73, "Flute"), (127, "Gunshot")],
)
def test_programs_have_their_general_midi_names(program: int, name: str) -> None:
    assert instrument_name(program, drum=False) == name


def test_whatever_their_program_drums_are_drums() -> None:
    assert {instrument_name(program, drum=True) for program in (0, 40)} == {"Drums"}
