"""By pointer, keyboard and screen reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from helpers.visitor import BAR_SECONDS, drawn, kept, order, phase, until, until_level, upload


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


def test_the_keyboard(visit: Callable[..., Any]) -> None:
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


def test_everything_that_can_be_used_has_a_name(visit: Callable[..., Any]) -> None:
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
