"""Wide and narrow windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from helpers.visitor import BAD_FILES, drawn, midi, order, phase, upload


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


def test_on_a_phone_the_button_that_composes_is_in_reach_and_covers_no_setting(visit: Callable[..., Any]) -> None:
    phones = [{"width": 390, "height": 667}, {"width": 390, "height": 844}]
    tab = visit(**phones[0])
    upload(tab)
    for phone in phones:
        tab.set_viewport_size(phone)
        drawn(tab)
        assert tab.evaluate(IN_REACH), phone
    order(tab, bars=2, variations=2)
    phase(tab, "done")
    for phone in phones:
        tab.set_viewport_size(phone)
        for place in (0, "document.documentElement.scrollHeight"):
            tab.evaluate(f"scrollTo(0, {place})")
            drawn(tab)
            assert tab.evaluate(IN_REACH), phone
        assert tab.evaluate(f"{BOX}('#rewrite-row').bottom <= {BOX}('.go-now').top"), phone


def test_no_element_overflows_at_any_width(visit: Callable[..., Any]) -> None:
    windows = [(320, 640), (390, 844), (1024, 700), (1400, 900)]
    tab = visit(width=320, height=640)

    def overflow(width: int, height: int) -> list[str]:
        tab.set_viewport_size({"width": width, "height": height})
        drawn(tab)
        return tab.evaluate(
            """() => [...document.querySelectorAll('body *:not(.off-screen)')].filter((element) => {
                 const box = element.getBoundingClientRect();
                 return box.width && element.checkVisibility() && box.right > innerWidth + 1
                   && !element.closest('.variations, .tracks');
               }).map((element) => element.id || element.className || element.tagName)"""
        )

    for window in windows:
        assert overflow(*window) == [], window
    tab.set_viewport_size({"width": 320, "height": 640})
    upload(tab)
    order(tab, bars=2, variations=4)
    phase(tab, "done")
    for window in windows:
        assert overflow(*window) == [], window
        if window[0] > 860:  # one screen: the page itself does not scroll
            assert tab.evaluate("document.documentElement.scrollHeight <= innerHeight"), window
