from __future__ import annotations

import pytest

from music_reformer.midi.text import MAX_SHOWN, decoded, shown


@pytest.mark.parametrize("name", ["", "Piano", "Flöte", "ピアノ", "Скрипка", "🎹"])
def test_utf_8_is_read_as_it_is(name: str) -> None:
    assert decoded(name.encode()) == name


@pytest.mark.parametrize("name", ["Flöte", "Clavecin à deux claviers", "“Strings” n° 1", "Größe ñ"])
def test_windows_1252_is_what_western_names_are_in(name: str) -> None:
    assert decoded(name.encode("cp1252")) == name


@pytest.mark.parametrize("name", ["ピアノ", "ヴァイオリン 1", "右手", "ドラム"])
def test_shift_jis_is_what_japanese_names_are_in(name: str) -> None:
    assert decoded(name.encode("cp932")) == name


def test_every_sequence_of_bytes_is_some_text() -> None:
    for first in range(256):
        for second in (0x00, 0x41, 0x81, 0x8D, 0xFF):
            assert "\ufffd" not in decoded(bytes((first, second)))


def test_shown_names_are_one_short_line() -> None:
    assert shown(" Right\r\n\thand ") == "Right hand"
    assert shown("x" * MAX_SHOWN) == "x" * MAX_SHOWN
    assert shown("x" * 70_000) == "x" * (MAX_SHOWN - 1) + "…"
