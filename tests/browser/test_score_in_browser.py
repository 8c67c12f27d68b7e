"""The engraved score: notes of the piece, marks of new notes, the sounding bar, and printing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import symusic

from helpers.visitor import BAR_SECONDS, WALTZ, midi, order, phase, until, until_remembered, upload

NUM_NOTES = """(kind) => [...document.querySelectorAll(`#engraved-page ${kind} [data-note]`)]
  .filter((note) => /[0-9]$/.test(note.dataset.note)).length"""
COLOURS = """() => {
  const colour = (element) => getComputedStyle(element).color;
  return [...document.querySelectorAll('#engraved-page [data-note]')].map((note) => [note.dataset.note, colour(note)]);
}"""
BAR_IN_VIEW = """(() => {
  const view = document.querySelector('#engraved').getBoundingClientRect();
  const bar = document.querySelector('#engraved-page .is-playing').closest('.system').getBoundingClientRect();
  return bar.top >= view.top && bar.bottom <= view.bottom;
})()"""
# What the print dialog would be opened with.
NO_DIALOG = "window.print = () => { window.printed = document.querySelector('.sheet').outerHTML.length; };"


# How far the names of parts reach beyond the left edge of their drawings, in pixels; a font that is wider than Times.
BEYOND = """() => Math.max(...[...document.querySelectorAll('#engraved-page :is(.label, .labelAbbr) text')].map(
  (name) => name.closest('svg').getBoundingClientRect().left - name.getBoundingClientRect().left))"""


def whole_score(tab: Any, bars: int) -> None:
    until(tab, f"document.querySelectorAll('#engraved-page [data-bar]').length === {bars}")


def test_the_score_has_the_notes_and_tints_what_is_new(visit: Callable[..., Any]) -> None:
    tab = visit(script=NO_DIALOG)
    upload(tab, midi("<b>waltz.mid"))
    tab.click("#score")
    whole_score(tab, 16)
    assert tab.evaluate(NUM_NOTES, "") == WALTZ.note_num()
    assert tab.evaluate(BEYOND) < 1
    assert tab.evaluate("document.querySelectorAll('#engraved-page .is-new, .cut-line').length") == 0
    order(tab, bars=2)
    phase(tab, "done")
    whole_score(tab, 18)
    assert tab.evaluate(NUM_NOTES, "") == WALTZ.note_num() + 16
    assert tab.evaluate("document.querySelector('.cut-line').closest('[data-bar]').dataset.bar") == "16"
    new = tab.evaluate("getComputedStyle(document.body).getPropertyValue('--new')")
    red, green, blue = (int(new[place : place + 2], 16) for place in (1, 3, 5))
    for name, colour in tab.evaluate(COLOURS):
        bar = int(name.split(".")[1])
        # What rings on from before the cut is tied over its bar line.
        is_new = bar > 16 or (bar == 16 and not name.endswith("o"))
        assert (colour == f"rgb({red}, {green}, {blue})") == is_new
    # A click on a bar goes there, and the bar that is heard is marked.
    tab.locator("[data-bar='9'] .bar-box").click()
    until(tab, "document.querySelector('#engraved-page .is-playing')?.dataset.bar === '9'")
    assert float(tab.get_attribute("#roll", "aria-valuenow")) == round(9 * BAR_SECONDS, 1)
    _print(tab)
    tab.focus("#engraved")
    tab.keyboard.press("s")
    assert not tab.is_visible("#engraved")
    assert tab.get_attribute("#score", "aria-pressed") == "false"


def _tab_with_score(visit: Callable[..., Any]) -> Any:
    """A visitor who has opened the waltz, and the score with it."""
    tab = visit()
    upload(tab)
    tab.focus("#roll")
    tab.keyboard.press("s")
    whole_score(tab, 16)
    return tab


def _boxes(tab: Any) -> tuple[dict[str, float], dict[str, float]]:
    return tab.locator("#roll").bounding_box(), tab.locator("#engraved").bounding_box()


def test_the_score_stands_below_the_roll_beside_it_or_in_its_place(visit: Callable[..., Any]) -> None:
    tab = _tab_with_score(visit)
    roll, score = _boxes(tab)
    assert roll["height"] > 120
    assert roll["y"] + roll["height"] <= score["y"]
    tab.keyboard.press("Shift+S")
    assert not tab.is_visible("#roll")
    assert tab.evaluate("document.activeElement.id") == "engraved", "the focus goes where work goes on"
    until_remembered(tab)
    tab.reload()
    until(tab, "document.body.dataset.view === 'score'")  # this browser remembers both switches
    whole_score(tab, 16)
    assert tab.get_attribute("#score-roll", "aria-pressed") == "false"
    tab.click("#score-roll")
    tab.set_viewport_size({"width": 1700, "height": 800})
    until(tab, "document.body.hasAttribute('data-side-by-side')")
    roll, score = _boxes(tab)
    assert roll["x"] + roll["width"] <= score["x"]
    tab.set_viewport_size({"width": 390, "height": 844})
    until(tab, "document.body.dataset.view === 'score'")
    assert not tab.is_visible("#roll")
    assert not tab.is_visible("#score-roll")


def test_the_score_follows_with_the_roll_unless_the_visitor_scrolls_away(visit: Callable[..., Any]) -> None:
    tab = _tab_with_score(visit)
    for _ in range(15):
        tab.keyboard.press("ArrowRight")
    until(tab, BAR_IN_VIEW)
    assert tab.evaluate("document.querySelector('#engraved-page .is-playing').dataset.bar") == "15"
    assert tab.evaluate("document.querySelector('#engraved').scrollTop") > 0
    tab.keyboard.press("Home")
    until(tab, BAR_IN_VIEW)
    tab.select_option("#speed", "0.5")  # half a minute until the music comes to the last system by itself
    tab.click("#play")
    _, score = _boxes(tab)
    tab.mouse.move(score["x"] + 50, score["y"] + 50)
    tab.mouse.wheel(0, 5000)
    until(tab, "document.querySelector('#engraved').scrollTop > 200")
    top = tab.evaluate("document.querySelector('#engraved').scrollTop")
    bar = int(tab.evaluate("document.querySelector('#engraved-page .is-playing').dataset.bar"))
    until(tab, f"Number(document.querySelector('#engraved-page .is-playing').dataset.bar) > {bar}")
    assert tab.evaluate("document.querySelector('#engraved').scrollTop") == top
    assert not tab.evaluate(BAR_IN_VIEW)
    tab.keyboard.press("f")
    until(tab, BAR_IN_VIEW)


def _print(tab: Any) -> None:
    """The PDF has pages, with the name of the piece, and nothing of the page around it."""
    tab.click("#print")
    until(tab, "window.printed > 10000")
    assert not tab.is_visible(".sheet")
    tab.emulate_media(media="print")
    assert tab.inner_text(".sheet h1") == "b waltz"
    assert not tab.is_visible("main")
    assert tab.evaluate("document.querySelectorAll('.sheet [data-bar]').length") == 18
    tab.emulate_media(media="null")  # as it is
    pdf = tab.pdf(format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1
    until(tab, "document.querySelector('.sheet') === null")  # it was printed


def _follow(tab: Any) -> None:
    """When shown again, the score is at the bar of the playhead, and the page around it has not moved."""
    tab.click("#score")
    for _ in range(16):
        tab.keyboard.press("ArrowRight")
    top = tab.evaluate("scrollY")
    tab.click("#score")
    until(tab, "document.querySelector('#engraved').scrollTop > 100")
    assert tab.evaluate("document.querySelector('#engraved-page .is-playing').dataset.bar") == "16"
    assert tab.evaluate("scrollY") == top


@pytest.mark.slow
def test_a_long_score_is_loaded_while_scrolling(visit: Callable[..., Any]) -> None:
    tab = visit(width=390, height=844)
    score = WALTZ.copy()
    for track, original in zip(score.tracks, WALTZ.tracks, strict=True):
        later = [
            symusic.Note(n.time + turn * 48 * score.tpq, n.duration, n.pitch, n.velocity)
            for turn in range(1, 8)
            for n in original.notes
        ]
        track.notes.extend(later)
    upload(tab, midi("long.mid", score.dumps_midi()))
    tab.click("#score")
    until(tab, "document.querySelectorAll('#engraved-page .system').length > 3")
    box = tab.locator("#engraved-page .system").first.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert tab.evaluate("document.querySelectorAll('[data-bar]').length") < 128
    _follow(tab)
    assert tab.inner_text("#engraved-status").endswith("of 128")
    while tab.evaluate("document.querySelectorAll('#engraved-page [data-bar]').length") < 128:
        tab.evaluate("document.querySelector('#engraved').scrollTop = 1e6")
        tab.wait_for_timeout(100)
    bars = tab.evaluate(
        "[...document.querySelectorAll('#engraved-page [data-bar]')].map((bar) => Number(bar.dataset.bar))"
    )
    assert bars == list(range(128))
    assert tab.evaluate(NUM_NOTES, "") == score.note_num()
