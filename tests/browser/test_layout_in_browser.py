"""Wide and narrow windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from helpers.visitor import BAD_FILES, midi, order, phase, upload


def test_on_a_phone_a_message_is_in_sight_however_far_the_page_is_scrolled(visit: Callable[..., Any]) -> None:
    tab = visit(width=390, height=844)
    upload(tab)
    tab.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    assert tab.evaluate("scrollY") > 200
    tab.set_input_files("#file", midi("bad.mid", BAD_FILES["not MIDI"]))
    tab.wait_for_selector("#message:not([hidden])")
    in_sight = """() => {
      const box = document.querySelector('#message').getBoundingClientRect();
      return document.querySelector('#message').contains(document.elementFromPoint(195, box.top + 12)) && box.top >= 0;
    }"""
    assert tab.evaluate(in_sight)
    tab.click("#message button")
    assert tab.is_hidden("#message")


BOX = "(name => document.querySelector(name).getBoundingClientRect())"
IN_REACH = """() => {
  const box = document.querySelector('#compose').getBoundingClientRect();
  const there = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
  return there?.id === 'compose' && box.bottom <= innerHeight;
}"""


@pytest.mark.parametrize("height", [667, 844])
def test_on_a_phone_the_button_that_composes_is_in_reach_and_covers_no_setting(
    visit: Callable[..., Any], height: int
) -> None:
    tab = visit(width=390, height=height)
    upload(tab)
    assert tab.evaluate(IN_REACH)
    order(tab, bars=2, variations=2)
    phase(tab, "done")
    for place in (0, "document.documentElement.scrollHeight"):
        tab.evaluate(f"scrollTo(0, {place})")
        assert tab.evaluate(IN_REACH)
    assert tab.evaluate(f"{BOX}('#rewrite-row').bottom <= {BOX}('.go-now').top")


@pytest.mark.parametrize(
    ("width", "height"),
    [
        (1400, 900),
        (390, 844),
        pytest.param(1024, 700, marks=pytest.mark.slow),
        pytest.param(320, 640, marks=pytest.mark.slow),
    ],
)
def test_nothing_sticks_out_at_any_width(visit: Callable[..., Any], width: int, height: int) -> None:
    tab = visit(width=width, height=height)

    def overflow() -> list[str]:
        return tab.evaluate(
            """() => [...document.querySelectorAll('body *:not(.off-screen)')].filter((element) => {
                 const box = element.getBoundingClientRect();
                 return box.width && box.right > innerWidth + 1 && !element.closest('.variations, .tracks');
               }).map((element) => element.id || element.className || element.tagName)"""
        )

    assert overflow() == []
    upload(tab)
    order(tab, bars=2, variations=4)
    phase(tab, "done")
    assert overflow() == []
    if width > 860:  # one screen: the page itself does not scroll
        assert tab.evaluate("document.documentElement.scrollHeight <= innerHeight")
