"""The page is usable by pointer, touch, keyboard and screen reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from helpers.visitor import (
    BAD_FILES,
    BAR_SECONDS,
    WALTZ,
    drawn,
    kept,
    midi,
    order,
    phase,
    until,
    until_level,
    upload,
)


def test_clicking_the_roll_moves_there_and_variations_are_chosen_by_their_cards(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab)
    box = tab.locator("#roll").bounding_box()
    tab.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + 200)
    total = float(tab.get_attribute("#roll", "aria-valuemax"))
    assert float(tab.get_attribute("#roll", "aria-valuenow")) == pytest.approx(total / 2, rel=0.06)
    order(tab, variations=2)
    phase(tab, "done")
    first = tab.evaluate("document.querySelector('#roll-notes').toDataURL()")
    tab.click(".card >> nth=1")
    drawn(tab)
    assert tab.get_attribute(".card >> nth=1 >> button", "aria-pressed") == "true"
    assert tab.evaluate("document.querySelector('#roll-notes').toDataURL()") != first


def test_keys_seek_play_choose_and_keep(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab)
    tab.keyboard.press("ArrowRight")
    assert float(tab.get_attribute("#roll", "aria-valuenow")) == pytest.approx(BAR_SECONDS, abs=0.06)
    tab.keyboard.press(" ")
    until_level(tab, "> 0.005")
    tab.keyboard.press(" ")
    until_level(tab, "< 1e-3")
    tab.keyboard.press("Home")
    assert float(tab.get_attribute("#roll", "aria-valuenow")) == 0
    order(tab, bars=1, variations=2)
    phase(tab, "done")
    tab.focus("#roll")
    tab.keyboard.press("2")
    assert tab.get_attribute(".card >> nth=1", "data-selected") is not None
    tab.keyboard.press("k")
    until(tab, "document.querySelectorAll('#versions button').length === 2")


NAMELESS = """() => [
  ...document.querySelectorAll('button, input, select, summary, [role=slider], [role=meter]'),
].filter((element) => {
  const labels = [...(element.labels ?? [])].map((label) => label.textContent).join('');
  const name = element.getAttribute('aria-label') || labels || element.textContent;
  return !name.trim();
}).map((element) => element.outerHTML.slice(0, 80))"""


def test_every_control_has_an_accessible_name(visit: Callable[..., Any]) -> None:
    tab = visit()
    assert tab.evaluate(NAMELESS) == []
    upload(tab)
    order(tab, bars=1, variations=2)
    phase(tab, "done")
    kept(tab, 1)
    assert tab.inner_text("#announcement") == "Kept"
    tab.keyboard.press("h")
    tab.click("#section-lane button >> nth=0")
    assert tab.evaluate(NAMELESS) == []


def test_the_focus_moves_to_where_work_continues(visit: Callable[..., Any]) -> None:
    tab = visit()

    def focused(selector: str) -> None:
        until(tab, f"document.activeElement.matches('{selector}')")

    def press(selector: str, then: str) -> None:
        tab.focus(selector)
        tab.keyboard.press("Enter")
        phase(tab, then)

    press("#examples button >> nth=1", "ready")
    focused("#roll")
    press("#compose", "done")
    focused("#roll")
    for _ in range(2):  # the second time there is a tree
        press("[aria-label='Keep variation 1']", "ready")
        focused("#roll")
        press("#compose", "done")
    tab.focus("#versions button >> nth=0")
    tab.keyboard.press("Enter")
    focused("#versions button[aria-current]")
    tab.set_input_files("#file", midi("bad.mid", BAD_FILES["not MIDI"]))
    tab.wait_for_selector("#message:not([hidden])")
    tab.focus("#message button")
    tab.keyboard.press("Enter")
    focused("#roll")
    tab.focus("#export summary")
    tab.keyboard.press("Enter")
    tab.focus("[data-export=whole]")
    tab.keyboard.press("Escape")
    focused("#export summary")
    tab.focus("#start-over")
    tab.keyboard.press("Enter")
    focused("#file")


def test_roll_and_overview_have_text_for_screen_readers(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab)
    tab.keyboard.press("ArrowRight")
    bar = [
        f"{track.name} {sum(3 * 480 <= note.time < 6 * 480 for note in notes)} note"
        for track in WALTZ.resample(480).tracks
        for notes in [track.notes]
    ]
    told = tab.get_attribute("#roll", "aria-valuetext")
    assert told.startswith("bar 2, 0:01 of ")
    assert all(part in told for part in bar)
    names = [f"{track.name} {track.note_num()} notes" for track in WALTZ.tracks]
    begins = f"The whole piece: 16 bars; {'; '.join(names)}; "
    until(tab, f"document.querySelector('#overview').ariaLabel === '{begins}bars 1 to 16 in view'")
    order(tab, bars=2)
    phase(tab, "done")
    until(tab, "document.querySelector('#overview').ariaLabel.includes('; new music in bars 17 to 18; ')")
    tab.click("#zoom-fit")
    until(tab, "document.querySelector('#overview').ariaLabel.endsWith('; bars 1 to 18 in view')")


def test_dragging_selects_no_text(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab)
    for selector, x, y in (("#cut span", 10, 8), ("#roll", 200, 10), ("#overview", 60, 20), ("#tracks li", 4, 10)):
        box = tab.locator(selector).first.bounding_box()
        tab.mouse.move(box["x"] + x, box["y"] + y)
        tab.mouse.down()
        for place in ((300, 400), (1100, 300), (1100, 700)):
            tab.mouse.move(*place, steps=3)
        assert tab.evaluate("getSelection().toString()") == "", selector
        tab.mouse.up()
    tab.keyboard.press("Escape")


# What a finger has to hit: of a switch its label; sections are as wide as their bars, and the view zooms.
SMALL_TARGETS = """() => [
  ...document.querySelectorAll('button, a[href], input, select, summary, [role=slider]'),
].flatMap((element) => {
  if (!element.checkVisibility() || element.matches('.off-screen')) return [];
  const isSwitch = element.matches('[type=radio], [type=checkbox]');
  const box = ((isSwitch && element.labels[0]) || element).getBoundingClientRect();
  const wide = element.closest('#section-lane') ? 44 : box.width;
  return wide > 43.9 && box.height > 43.9 ? [] : [`${element.outerHTML.slice(0, 90)} ${box.width} x ${box.height}`];
})"""


def test_each_control_is_large_enough_for_a_finger(visit: Callable[..., Any]) -> None:
    tab = visit(width=390, height=844, touch=True)
    assert tab.evaluate("matchMedia('(pointer: coarse)').matches")
    assert tab.evaluate(SMALL_TARGETS) == []
    tab.set_input_files("#file", [midi("first.mid"), midi("second.mid")])
    until(tab, "document.querySelectorAll('#pieces option').length === 2")
    tab.click("#tracks .track-name >> nth=0")
    tab.evaluate("for (const menu of document.querySelectorAll('details')) menu.open = true")
    assert tab.evaluate(SMALL_TARGETS) == []
    tab.keyboard.press("Escape")
    tab.keyboard.press("h")
    tab.click("#section-lane button >> nth=0")
    tab.keyboard.press("Escape")
    tab.focus("#roll")
    tab.keyboard.press("b")
    assert tab.is_visible("#anew-out")
    assert tab.evaluate(SMALL_TARGETS) == []
    tab.keyboard.press("Escape")
    order(tab, bars=2, variations=4)
    phase(tab, "done")
    kept(tab, 1)
    order(tab, bars=2, variations=8)
    phase(tab, "done")
    assert tab.evaluate(SMALL_TARGETS) == []
    tab.focus("#roll")
    tab.keyboard.press("e")
    tab.wait_for_selector("#edit-tools:not([hidden])")
    assert tab.evaluate(SMALL_TARGETS) == []
