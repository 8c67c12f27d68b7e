"""Voices, and the note values that write them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from music_reformer.midi.voices import EXPRESSIBLE, Voice, WrittenSpan, in_bars, note_values, voices
from music_reformer.midi.written import UNIT, WrittenBar, WrittenNote

METRES = [(4, 4), (3, 4), (2, 4), (6, 8), (9, 8), (12, 8), (3, 8), (2, 2), (5, 4), (7, 8), (3, 2)]


def bar_of(beats: int, unit: int) -> WrittenBar:
    return WrittenBar(0, 0, 4 * UNIT * beats // unit, beats, unit)


def values(spans: list[tuple[float, float]], metre: tuple[int, int] = (4, 4)) -> list[tuple[float, bool]]:
    """(length in quarters, whether it is a rest) of the note values for notes given by their places in a bar."""
    inside = [WrittenSpan(round(a * UNIT), round((b - a) * UNIT), (60,)) for a, b in spans]
    return [(piece.length / UNIT, not piece.pitches) for piece in note_values(inside, bar_of(*metre))]


@pytest.mark.parametrize(
    ("metre", "spans", "lengths"),
    [
        ((4, 4), [(0, 4)], [4]),
        ((4, 4), [(0, 3), (3, 4)], [3, 1]),
        ((4, 4), [(0, 1), (1, 3), (3, 4)], [1, 2, 1]),
        ((4, 4), [(0, 0.5), (0.5, 1.5), (1.5, 2), (2, 4)], [0.5, 1, 0.5, 2]),
        ((4, 4), [(0, 1.5), (1.5, 2.5), (2.5, 4)], [1.5, 0.5, 0.5, 1.5]),  # the middle of the bar is seen
        ((4, 4), [(0, 0.75), (0.75, 1.25), (1.25, 2), (2, 4)], [0.75, 0.25, 0.25, 0.75, 2]),
        ((3, 4), [(0, 2.5), (2.5, 3)], [2, 0.5, 0.5]),
        ((3, 4), [(0, 3)], [3]),
        ((6, 8), [(0, 1), (1, 2), (2, 3)], [1, 0.5, 0.5, 1]),
        ((6, 8), [(0, 3)], [3]),
        ((9, 8), [(0, 1.5), (1.5, 4.5)], [1.5, 3]),
        ((2, 2), [(0, 3), (3, 4)], [3, 1]),
    ],
)
def test_note_values_show_the_beats(
    metre: tuple[int, int], spans: list[tuple[float, float]], lengths: list[float]
) -> None:
    assert values(spans, metre) == [(length, False) for length in lengths]


def test_rests_do_not_hide_beats() -> None:
    assert values([(0, 0.5)]) == [(0.5, False), (0.5, True), (1, True), (2, True)]
    assert values([(3, 4)]) == [(2, True), (1, True), (1, False)]
    assert values([], (3, 4)) == [(3, True)]


def test_quarter_triplets_are_not_cut_at_the_beat() -> None:
    assert values([(0, 2 / 3), (2 / 3, 4 / 3), (4 / 3, 2), (2, 4)]) == [
        (pytest.approx(2 / 3), False), (pytest.approx(2 / 3), False), (pytest.approx(2 / 3), False), (2, False),
    ]  # fmt: skip


def test_a_tuplet_starts_and_stops_once() -> None:
    inside = [
        WrittenSpan(0, UNIT // 3, (60,)),
        WrittenSpan(UNIT // 3, 2 * UNIT // 3, (62,)),
        WrittenSpan(UNIT, UNIT, (64,)),
    ]
    pieces = note_values(inside, bar_of(2, 4))
    assert [(piece.tuplet, piece.starts_tuplet, piece.stops_tuplet) for piece in pieces] == [
        (3, True, False), (3, False, True), (0, False, False),
    ]  # fmt: skip


@pytest.mark.parametrize("metre", METRES)
@pytest.mark.parametrize("grid", [2, 4, 8, 3, 6, 5, 7])
def test_note_values_fill_the_bar_and_say_the_same(metre: tuple[int, int], grid: int) -> None:
    """For notes anywhere on any grid: no gaps, ties only within notes, and closed tuplets."""
    bar = bar_of(*metre)
    random = np.random.default_rng(grid)
    steps = bar.length // bar.cell * grid
    for _ in range(20):
        edges = sorted({int(edge) * bar.cell // grid for edge in random.integers(0, steps + 1, 8)})
        inside = [WrittenSpan(a, b - a, (60,)) for a, b in pairwise(edges) if random.random() < 0.7]
        pieces = note_values(inside, bar)
        assert pieces[0].start == 0
        assert all(one.start + one.length == other.start for one, other in pairwise(pieces))
        assert pieces[-1].start + pieces[-1].length == bar.length
        sounding = [piece for piece in pieces if piece.pitches]
        assert [piece.start for piece in sounding if not piece.tied_back] == [piece.start for piece in inside]
        ends = [piece.start + piece.length for piece in sounding if not piece.tied_on]
        assert ends == [piece.start + piece.length for piece in inside]
        opened = [piece.starts_tuplet - piece.stops_tuplet for piece in pieces]
        assert set(np.cumsum(opened)) <= {0, 1}
        assert sum(opened) == 0
        whole = not inside  # a rest of a whole bar may have any length
        assert whole or all(piece.length in EXPRESSIBLE for piece in pieces if not piece.tuplet)


def written(*notes: tuple[float, float, int]) -> list[WrittenNote]:
    return [WrittenNote(round(a * UNIT), round(b * UNIT), pitch, False) for a, b, pitch in notes]


def spoken(found: list[Voice]) -> list[list[tuple[float, float, tuple[int, ...]]]]:
    return [[(chord.onset / UNIT, chord.end / UNIT, chord.pitches) for chord in voice.chords] for voice in found]


def test_simultaneous_notes_form_chords_and_overlapping_ones_voices() -> None:
    found = voices(written((0, 1, 60), (0, 1, 64), (1, 2, 62), (1, 3, 72), (2, 3, 60)), most=4)
    assert spoken(found) == [[(0, 1, (60, 64)), (1, 3, (72,))], [(1, 2, (62,)), (2, 3, (60,))]]


def test_with_no_voice_left_a_note_ends_early_and_a_chord_is_joined() -> None:
    assert spoken(voices(written((0, 4, 60), (1, 2, 64)), most=1)) == [[(0, 1, (60,)), (1, 2, (64,))]]
    assert spoken(voices(written((0, 4, 72), (0, 1, 60)), most=1)) == [[(0, 1, (60, 72))]]


def test_a_note_over_bar_lines_is_divided_by_bar() -> None:
    bars = [WrittenBar(0, number * 4 * UNIT, 4 * UNIT, 4, 4) for number in range(3)]
    found = in_bars(voices(written((3, 9, 60)), most=1)[0], bars)
    said = {
        bar: [(piece.start / UNIT, piece.length / UNIT, piece.tied_back, piece.tied_on) for piece in own]
        for bar, own in found.items()
    }
    assert said == {0: [(3, 1, False, True)], 1: [(0, 4, True, True)], 2: [(0, 1, True, False)]}
