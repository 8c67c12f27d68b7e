"""Choosing among variations: joining bars, blind tests, facts about each variation, and names of versions."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import symusic

from helpers.visitor import download, kept, notes_of, order, phase, tree, until, until_remembered, upload


def composed(visit: Callable[..., Any], *, bars: int = 4, variations: int = 3, **window: Any) -> Any:
    """A visitor's page with some variations of four bars of the waltz."""
    tab = visit(**window)
    upload(tab)
    order(tab, bars=bars, variations=variations)
    phase(tab, "done")
    return tab


def open_joiner(tab: Any) -> None:
    tab.click("#compare summary")
    tab.click("#join-bars")
    tab.wait_for_selector("#joiner:not([hidden])")


def chosen(tab: Any) -> list[int]:
    return [
        int(value)
        for value in tab.evaluate("[...document.querySelectorAll('.join-bars :checked')].map((i) => i.value)")
    ]


def new_notes(score: symusic.Score, bar: int) -> list[tuple[int, int, int]]:
    """Notes of a new bar of the waltz, at 480 ticks a quarter."""
    begin = (16 + bar) * 3 * 480
    return [note for note in notes_of(score) if begin <= note[0] < begin + 3 * 480]


def test_bars_are_joined_by_keyboard_heard_and_kept(visit: Callable[..., Any]) -> None:
    tab = composed(visit)
    open_joiner(tab)
    assert tab.evaluate("document.activeElement.getAttribute('aria-label')") == "Variation 1"
    for key in "1332":
        tab.keyboard.press(key)
    assert chosen(tab) == [0, 2, 2, 1]
    tab.keyboard.press("ArrowUp")  # by the browser's own keys, too
    assert chosen(tab) == [0, 2, 2, 0]
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("2")
    assert chosen(tab) == [0, 2, 1, 0]
    tab.click(".join-go")
    tab.wait_for_selector(".card[data-selected] >> text=Joined")
    assert tab.locator(".card").count() == 4
    assert all(tab.locator(".card-why").all_inner_texts()), "each card says what it keeps"
    assert sum("Closest" in said for said in tab.locator(".card-why").all_inner_texts()) == 1
    assert tab.inner_text("#why").startswith("Longest passage shared with the piece")
    with tab.expect_download() as info:
        tab.click("[aria-label='Download the joined bars as MIDI']")
    joined = symusic.Score.from_midi(Path(info.value.path()).read_bytes())
    for bar, variation in enumerate([0, 2, 1, 0]):
        assert new_notes(joined, bar) == new_notes(download(tab, variation + 1)[1], bar)
        assert len(new_notes(joined, bar)) == 8
    tab.focus(".join-go")
    tab.keyboard.press("Escape")
    assert tab.is_hidden("#joiner")
    assert tab.evaluate("document.activeElement.textContent") == "Compare"
    tab.keyboard.press("4")
    until_remembered(tab)
    tab.click("[aria-label='Keep the joined bars']")
    phase(tab, "ready")
    assert "20 bars" in tab.inner_text("#piece-facts")
    assert tab.is_hidden("#choosing")


def test_bars_are_joined_by_mouse_again_and_again(visit: Callable[..., Any]) -> None:
    tab = composed(visit, variations=2)
    open_joiner(tab)
    cells = tab.locator(".join-bars label")  # column by column
    begin, end = (cells.nth(place).bounding_box() for place in (3, 7))
    tab.mouse.move(begin["x"] + 5, begin["y"] + 9)
    tab.mouse.down()
    tab.mouse.move(end["x"] + 5, end["y"] + 9, steps=8)
    tab.mouse.up()
    assert chosen(tab) == [0, 1, 1, 1]
    tab.click(".join-go")
    tab.wait_for_selector(".card[data-selected] >> text=Joined")
    cells.nth(0).click()
    cells.nth(1).click()
    assert chosen(tab) == [1, 1, 1, 1]
    tab.click(".join-go")
    until(tab, "document.querySelector('.join-go').ariaBusy === 'false'")
    assert tab.locator(".card").count() == 3, "what is joined again takes its own place"
    # A new run closes the grid of the old one.
    order(tab, bars=2, variations=1)
    phase(tab, "done")
    assert tab.is_hidden("#joiner")
    tab.click("#compare summary")
    assert tab.is_disabled("#join-bars"), "of one variation there is nothing to join"


def test_bars_are_joined_by_touch_on_a_narrow_screen(visit: Callable[..., Any]) -> None:
    tab = composed(visit, variations=2, width=390, height=844, touch=True)
    tab.tap("#compare summary")
    tab.tap("#join-bars")
    tab.locator(".join-bars label").nth(3).tap()
    assert chosen(tab) == [0, 1, 0, 0]
    tab.tap(".join-go")
    tab.wait_for_selector(".card[data-selected] >> text=Joined")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_blind_test_hides_names_and_records_preferences(visit: Callable[..., Any]) -> None:
    tab = composed(visit, variations=2)
    assert "Keeps" in tab.inner_text(".card >> nth=0") or "rest" in tab.inner_text(".card >> nth=0")
    assert tab.inner_text("#why").startswith("Longest passage shared with the piece:")
    tab.click("#compare summary")
    assert tab.is_disabled("#save-choices")
    tab.click("#blind-test")
    assert tab.is_hidden(".card >> nth=0")
    assert tab.inner_text("#why") == ""
    tab.keyboard.press("b")
    shown = tab.evaluate(
        "[...document.querySelectorAll('.card')].findIndex((card) => card.hasAttribute('data-selected'))"
    )
    tab.keyboard.press(str(2 - shown))  # the number of the other one: it must not give it away
    assert tab.get_attribute("[data-hear='1']", "aria-pressed") == "true"
    tab.click("[data-prefer=b]")
    said = tab.inner_text("#blind p")
    assert f"B was variation {shown + 1}." in said
    tab.click("[data-prefer=none]")
    tab.keyboard.press("Escape")
    assert tab.is_visible(".card >> nth=0")
    tab.click("#compare summary")
    with tab.expect_download() as info:
        tab.click("#save-choices")
    assert info.value.suggested_filename == "choices.csv"
    with Path(info.value.path()).open(newline="") as stream:
        first, second = csv.DictReader(stream)
    assert (first["piece"], first["seed"]) == ("my song", "5")
    assert (first["b"], first["preferred"]) == (f"variation {shown + 1}",) * 2
    assert {first["a"], first["b"]} == {"variation 1", "variation 2"}
    assert json.loads(first["settings"])["variations"] == 2
    assert first["date"].startswith("20")
    assert second["preferred"] == ""


def test_versions_get_names_that_last(visit: Callable[..., Any]) -> None:
    tab = composed(visit, variations=1)
    kept(tab, 1)
    tab.click("#versions [aria-current]")
    tab.keyboard.press("Control+a")
    tab.keyboard.type("with a brighter end")
    tab.keyboard.press("Enter")
    assert tree(tab) == ["Opened", "with a brighter end"]
    assert tab.evaluate("document.activeElement.textContent") == "with a brighter end"
    tab.focus("#versions button >> nth=0")
    tab.keyboard.press("F2")
    tab.keyboard.type("nothing of this")
    tab.keyboard.press("Escape")
    assert tree(tab) == ["Opened", "with a brighter end"]
    until_remembered(tab)
    tab.reload()
    phase(tab, "ready")
    assert tree(tab) == ["Opened", "with a brighter end"]
