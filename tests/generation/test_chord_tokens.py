"""The chord tokens of each bar are found, whatever else precedes its notes, and moved to other keys."""

from __future__ import annotations

from itertools import islice

from helpers.composing import stand_in
from music_reformer.generation.chord_tokens import chords_of_bars, modulated_chords
from music_reformer.midi.key import Key
from music_reformer.midi.modulation import Modulation

VOCABULARY = stand_in("Parts").tokenizer.vocabulary
IDS = VOCABULARY.ids
BAR, NOTE = [IDS["Bar", (4, 4)]], [IDS["Program", 0], IDS["Position", 24], IDS["Pitch", 60]]
C, G_OVER_B = (
    [IDS["ChordRoot", 0], IDS["ChordQuality", 0]],
    [IDS["ChordRoot", 7], IDS["ChordQuality", 7], IDS["ChordBass", 11]],
)


def test_each_bar_has_its_chords_with_their_positions() -> None:
    inside = [IDS["Position", 48], *G_OVER_B]
    stream = [1, *BAR, *C, *inside, *NOTE, *BAR, *NOTE, *BAR, IDS["NoChord", None], *NOTE, *BAR]
    assert list(chords_of_bars(VOCABULARY, stream)) == [(*C, *inside), (), (IDS["NoChord", None],), ()]


def test_directions_and_the_place_of_a_cut_are_not_chords() -> None:
    """Directions name programs, after which chords still come; a cut stands at a position."""
    directions = [IDS["Directions", None], IDS["Program", 0], IDS["Music", None]]
    assert list(chords_of_bars(VOCABULARY, [*BAR, *directions, *C, *NOTE])) == [tuple(C)]
    cut = [IDS["Cut", None], IDS["Position", 48]]
    assert list(chords_of_bars(VOCABULARY, [*BAR, *cut, *C, *NOTE])) == [tuple(C)]


def test_no_more_of_the_stream_is_read_than_is_asked_for() -> None:
    stream = iter([*BAR, *C, *NOTE, *BAR, *NOTE, *BAR, *NOTE])
    assert list(islice(chords_of_bars(VOCABULARY, stream), 1)) == [tuple(C)]  # type: ignore[arg-type]
    assert list(stream) == [*NOTE, *BAR, *NOTE]


def test_an_empty_stream_has_no_bars() -> None:
    assert list(chords_of_bars(VOCABULARY, [])) == []


def test_chords_are_moved_to_another_key_and_positions_stay() -> None:
    there = [*C, IDS["Position", 48], *G_OVER_B, IDS["NoChord", None]]
    up = Modulation(Key.parse("C major"), Key.parse("G major"))
    roots = (IDS["ChordRoot", 2], IDS["ChordQuality", 7], IDS["ChordBass", 6])
    assert modulated_chords(VOCABULARY, there, up) == (IDS["ChordRoot", 7], C[1], there[2], *roots, there[-1])
    to_minor = Modulation(Key.parse("C major"), Key.parse("C minor"))
    assert modulated_chords(VOCABULARY, there, to_minor) == (C[0], IDS["ChordQuality", 1], *there[2:])
