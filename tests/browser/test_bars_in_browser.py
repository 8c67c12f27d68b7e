"""Choosing the bars to compose: handles, marks and tracks, and the music around the new bars stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import symusic

from helpers.visited_site import Site
from helpers.visitor import (
    WALTZ,
    begin,
    current,
    download,
    export,
    kept,
    mark_bars,
    midi,
    notes_of,
    order,
    phase,
    until,
    upload,
)
from music_reformer.midi.examples import EXAMPLES

BAR = 3 * 480  # of the waltz


def test_the_cut_is_dragged_and_snaps_to_bars_and_what_lies_behind_it_is_replaced(
    visit: Callable[..., Any], site: Site
) -> None:
    tab = visit()
    upload(tab)
    assert tab.inner_text("#cut") == "Continue here"
    assert tab.get_attribute("#cut", "aria-valuetext") == "after bar 16"
    roll = tab.locator("#roll").bounding_box()
    # The view shows the whole piece: 16 bars and a little air, right of the keys.
    bar = (roll["width"] - 46) / (16 * 1.03)
    x, y = roll["x"] + 46 + 16 * bar, roll["y"] + 200
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x - 7.3 * bar, y, steps=8)
    tab.mouse.up()
    assert tab.inner_text("#cut") == "Continue from bar 10"
    assert tab.inner_text("#compose") == "Continue from bar 10"
    order(tab, bars=2)
    phase(tab, "done")
    assert site.generator.requests[-1].cut_bar == 9
    assert tab.inner_text("#cut") == "New from bar 10"
    written = notes_of(download(tab, 1)[1])
    before = [note for note in notes_of(WALTZ) if note[0] < 9 * BAR]
    assert [note for note in written if note[0] < 9 * BAR] == before
    assert len(written) == len(before) + 16
    # The version itself is what it was.
    tab.click(".card-face")
    assert tab.inner_text("#cut") == "Continue from bar 10"


def test_the_cut_moves_by_the_keyboard_and_stays_within_the_piece(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab)
    tab.focus("#cut")
    steps = {"ArrowLeft": 15, "ArrowDown": 14, "PageDown": 10, "Home": 0, "PageUp": 4, "End": 16, "ArrowRight": 16}
    for key, bar in steps.items():
        tab.keyboard.press(key)
        assert tab.get_attribute("#cut", "aria-valuenow") == str(bar), key


@pytest.mark.slow
def test_continuing_inside_a_variation_keeps_it_first(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)
    order(tab, bars=4)
    phase(tab, "done")
    tab.focus("#cut")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowRight")
    assert tab.inner_text("#compose") == "Continue from bar 19"
    begin(tab)
    phase(tab, "done")
    assert site.generator.requests[-1].cut_bar == 18
    assert current(tab) == "+ 4 bars"
    assert len(notes_of(download(tab, 1)[1])) == len(notes_of(WALTZ)) + 2 * 8 + 4 * 8


def test_marked_bars_are_recomposed_and_all_around_them_stays(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)
    assert tab.is_hidden("#until")
    mark_bars(tab, first=4, end=8)
    assert tab.inner_text("#until") == "Keep from bar 9"
    assert tab.inner_text("#compose") == "Recompose bars 5 to 8"
    assert tab.is_disabled("#amount")
    order(tab, bars=None, variations=2)
    phase(tab, "done")
    asked = site.generator.requests[-1]
    assert (asked.cut_bar, asked.until_bar) == (4, 8)
    written = notes_of(download(tab, 2)[1])

    def outside(notes: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        return [note for note in notes if not 4 * BAR <= note[0] < 8 * BAR]

    assert outside(written) == outside(notes_of(WALTZ))
    assert len(written) == len(outside(written)) + 4 * 8
    assert notes_of(symusic.Score.from_midi(export(tab, "new")[1])) != []
    assert len(notes_of(symusic.Score.from_midi(export(tab, "new")[1]))) == 4 * 8
    assert tab.inner_text("#compose") == "Try again"
    kept(tab, 1)
    assert current(tab) == "Bars 5-8"
    assert not tab.is_disabled("#amount")
    tab.click("#undo")
    tab.click(".card-face >> nth=0")
    assert tab.inner_text("#compose") == "Recompose bars 5 to 8"


def test_one_instrument_of_marked_bars_is_recomposed_and_the_others_stay(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    ground = EXAMPLES["ground"].score()
    upload(tab, midi("ground.mid", ground.dumps_midi()))
    mark_bars(tab, first=2, end=4)
    for kept_one in (48, 42):
        tab.click(f"#instruments label:has(input[value='{kept_one}'])")
    order(tab, bars=None)
    phase(tab, "done")
    assert site.generator.requests[-1].programs == [6]
    written = download(tab, 1)[1]

    def notes(score: symusic.Score, program: int) -> list[tuple[int, int, int]]:
        tracks = [track for track in score.tracks if track.program == program]
        return sorted((note.time, note.duration, note.pitch) for track in tracks for note in track.notes)

    assert notes(written, 48) == notes(ground, 48)
    assert notes(written, 42) == notes(ground, 42)
    assert notes(written, 6) != notes(ground, 6)


@pytest.mark.slow
def test_marking_bars_of_a_variation_keeps_it_first(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)
    order(tab, bars=4)
    phase(tab, "done")
    mark_bars(tab, first=15, end=17)
    begin(tab)
    phase(tab, "done")
    asked = site.generator.requests[-1]
    assert (asked.cut_bar, asked.until_bar) == (15, 17)
    assert tab.locator("#versions button").count() == 2


def test_the_last_bars_are_rewritten(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)
    tab.fill("#rewrite-bars", "3")
    begin(tab, "#rewrite")
    phase(tab, "done")
    asked = site.generator.requests[-1]
    assert (asked.cut_bar, asked.parsed_length().bars) == (13, 3)
    # Rewriting a variation's end keeps the variation first.
    tab.fill("#rewrite-bars", "1")
    begin(tab, "#rewrite")
    phase(tab, "done")
    assert site.generator.requests[-1].cut_bar == 15
    assert current(tab) == "Bars 14-16"
    expected = [note for note in notes_of(WALTZ) if note[0] < 13 * BAR]
    written = notes_of(download(tab, 1)[1])
    assert [note for note in written if note[0] < 13 * BAR] == expected
    assert len(written) == len(expected) + 3 * 8


def said(tab: Any) -> str:
    return str(tab.inner_text("#announcement"))


def drag_along_the_ruler(tab: Any, *, first: int, last: int, num_bars: int = 16) -> None:
    """From the middle of bar `first` (counted from 1) to the middle of bar `last`, with the whole piece in view."""
    roll = tab.locator("#roll").bounding_box()
    bar = (roll["width"] - 46) / (num_bars * 1.03)
    x, y = (roll["x"] + 46 + (number - 0.5) * bar for number in (first, last)), roll["y"] + 12
    tab.mouse.move(next(x), y)
    tab.mouse.down()
    tab.mouse.move(next(x), y, steps=6)
    tab.mouse.up()


CLICKS = "window.clicks = 0; addEventListener('pointerdown', () => { window.clicks++; }, true);"


def test_two_clicks_compose_bars_in_the_middle_anew(visit: Callable[..., Any], site: Site) -> None:
    tab = visit(script=CLICKS)
    upload(tab)
    assert tab.is_hidden("#anew")
    tab.evaluate("clicks = 0")
    drag_along_the_ruler(tab, first=5, last=8)
    assert said(tab).startswith("Marked bars 5 to 8. Enter composes them anew")
    assert tab.inner_text("#cut") == "Recompose"
    begin(tab, "#anew-go")
    assert tab.evaluate("clicks") == 2
    phase(tab, "done")
    asked = site.generator.requests[-1]
    assert (asked.cut_bar, asked.until_bar, asked.tracks, asked.variations) == (4, 8, [], 2)
    assert tab.locator(".card").count() == 2
    assert tab.is_hidden("#anew")
    written = notes_of(download(tab, 2)[1])
    kept_notes = [note for note in notes_of(WALTZ) if not 4 * BAR <= note[0] < 8 * BAR]
    assert [note for note in written if not 4 * BAR <= note[0] < 8 * BAR] == kept_notes


@pytest.mark.slow
def test_keys_mark_bars_give_them_back_and_compose_them(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)
    for _ in range(4):
        tab.keyboard.press("ArrowRight")
    for key in ("b", "b", "b", "Shift+B"):
        tab.keyboard.press(key)
    assert said(tab).startswith("Marked bars 5 to 6.")
    assert tab.inner_text("#compose") == "Recompose bars 5 to 6"
    tab.keyboard.press("Escape")
    assert said(tab) == "The bars stay as they are"
    assert (tab.inner_text("#cut"), tab.is_hidden("#anew"), tab.inner_text("#compose")) == (
        "Continue here",
        True,
        "Continue",
    )
    # From here on, two keys.
    seen = tab.evaluate("phases.length")
    tab.keyboard.press("b")
    tab.keyboard.press("Enter")
    until(tab, f"phases.slice({seen}).includes('composing')")
    phase(tab, "done")
    asked = site.generator.requests[-1]
    assert (asked.cut_bar, asked.until_bar) == (4, 5)


def test_bars_of_one_track_are_composed_anew_beside_its_twin(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)  # two hands of one piano
    only = tab.locator(".track-only")
    assert only.count() == 2
    assert only.nth(1).is_hidden()
    drag_along_the_ruler(tab, first=3, last=4)
    only.nth(1).click()
    assert only.nth(1).get_attribute("aria-pressed") == "true"
    assert said(tab).startswith(f"Marked bars 3 to 4 of {WALTZ.tracks[1].name}.")
    assert WALTZ.tracks[1].name in tab.inner_text("#anew-go")
    begin(tab, "#anew-go")
    phase(tab, "done")
    asked = site.generator.requests[-1]
    assert (asked.cut_bar, asked.until_bar, asked.tracks, asked.programs) == (2, 4, [1], [])
    written = download(tab, 1)[1]

    def notes(score: symusic.Score, track: int) -> list[tuple[int, int, int]]:
        return sorted((note.time, note.duration, note.pitch) for note in score.tracks[track].notes)

    assert notes(written, 0) == notes(WALTZ, 0)
    assert notes(written, 1) != notes(WALTZ, 1)
    new = symusic.Score.from_midi(export(tab, "new")[1])
    assert sum(len(track.notes) for track in new.tracks) == 2 * 8
    # On show, as in the file: the other hand keeps its notes.
    shown = tab.evaluate("document.querySelector('.card small').textContent")
    assert shown.startswith("16 notes")
    kept(tab, 1)
    assert current(tab) == "Bars 3-4"
    # Pressed again, all tracks are meant.
    tab.keyboard.press("b")
    for times in (1, 2):
        tab.focus(".track-only >> nth=0")
        tab.keyboard.press(" ")
        assert (" of " in said(tab)) == (times == 1)


@pytest.mark.slow
def test_marks_up_to_the_end_rewrite_it_and_clicks_on_the_ruler_still_move_the_playhead(
    visit: Callable[..., Any], site: Site
) -> None:
    tab = visit()
    upload(tab)
    drag_along_the_ruler(tab, first=2, last=2)
    assert tab.is_hidden("#anew")
    assert float(tab.get_attribute("#roll", "aria-valuenow")) > 0
    roll = tab.locator("#roll").bounding_box()
    bar = (roll["width"] - 46) / (16 * 1.03)
    tab.mouse.dblclick(roll["x"] + 46 + 14.5 * bar, roll["y"] + 200)
    assert tab.inner_text("#anew-go").startswith("Compose this bar anew")
    drag_along_the_ruler(tab, first=16, last=15)
    begin(tab, "#anew-go")
    phase(tab, "done")
    asked = site.generator.requests[-1]
    assert (asked.cut_bar, asked.until_bar, asked.length) == (14, None, "2bars")
