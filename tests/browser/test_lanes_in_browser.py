"""The lanes above the roll: recognised chords and sections of a piece, and those requested for new bars."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from helpers.visited_site import Site
from helpers.visitor import drawn, mark_bars, order, phase, until, until_remembered, upload
from music_reformer.midi.form import FoundSection
from music_reformer.midi.form_plan import FormPlan
from music_reformer.midi.lead_sheet import LeadSheet

LANE = "#chord-lane"


def spoken(tab: Any) -> str:
    """The screen reader's text for the current bar of the chord lane."""
    drawn(tab)
    return str(tab.get_attribute(LANE, "aria-valuetext"))


def boxes(tab: Any) -> list[str]:
    drawn(tab)
    return [str(box.get_attribute("aria-label")) for box in tab.locator("#section-lane button").all()]


def bar_at(tab: Any, bar: int, *, bars: int) -> tuple[float, float]:
    """The middle of a bar in the chord lane, with `bars` equal bars in view."""
    box, keys = tab.locator(LANE).bounding_box(), 46
    return box["x"] + keys + (box["width"] - keys) * (bar - 0.5) / (bars * 1.01), box["y"] + box["height"] * 0.75


def test_chords_and_sections_are_requested_by_mouse(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)
    assert tab.is_hidden("#lanes")  # the first view is calm
    tab.fill("#amount", "8")
    tab.click("#lanes-switch")
    tab.mouse.click(*bar_at(tab, 18, bars=24))
    tab.fill(".lane-box input", "Am7 | D7 G7")
    tab.click(".lane-box >> text=Set")
    assert tab.input_value("#chords") == "? | Am7 | D7 G7"
    tab.mouse.move(*bar_at(tab, 3, bars=24))
    tab.mouse.down()
    tab.mouse.move(*bar_at(tab, 5, bars=24), steps=4)
    tab.mouse.up()
    assert tab.inner_text(".lane-box b") == "Bars 3 to 5"
    tab.check(".lane-box >> text=varied")
    tab.click(".lane-box >> text=Again here")
    tab.click("#section-lane button[data-kind=add]")
    tab.fill("[aria-label='Bars of something new']", "7")
    tab.click(".lane-box >> text=Something new")
    assert tab.input_value("#form") == "3-5' | new 7"
    assert tab.input_value("#amount") == "10"  # the length grows with the form
    assert boxes(tab)[-2:] == [
        "Asked: bars 3 to 5 varied, new bars 17 to 19",
        "Asked: something new, new bars 20 to 26",
    ]
    order(tab, bars=10)
    phase(tab, "done")
    asked = site.generator.requests[-1]
    assert (asked.chords, asked.form) == ("? | Am7 | D7 G7", "3-5' | new 7")
    tab.focus(LANE)
    tab.keyboard.press("Home")
    for _ in range(17):
        tab.keyboard.press("ArrowRight")
    assert spoken(tab).startswith("new bar 18: asked A minor 7, played ")
    until_remembered(tab)
    tab.reload()
    phase(tab, "done")
    assert tab.is_visible("#lanes")
    assert (tab.input_value("#chords"), tab.input_value("#form")) == ("? | Am7 | D7 G7", "3-5' | new 7")
    upload(tab)  # what was asked for was asked of another piece
    assert tab.input_value("#chords") == ""


def test_chords_are_requested_by_keyboard_and_in_the_steer_field(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab)
    tab.keyboard.press("h")
    assert tab.get_attribute("#lanes-switch", "aria-pressed") == "true"
    tab.focus(LANE)
    assert spoken(tab) == "bar 1: A minor"
    tab.keyboard.press("End")
    assert spoken(tab) == "new bar 32: open"
    for _ in range(15):
        tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.closest('[role=dialog]').ariaLabel") == "Chords from bar 17"
    tab.keyboard.type("Bb/D | Dm7b5 | %")
    tab.keyboard.press("Enter")
    assert tab.input_value("#chords") == "Bb/D | Dm7b5 | %"
    assert spoken(tab) == "new bar 20: open"  # and on to the next bar
    tab.keyboard.press("ArrowLeft")
    assert spoken(tab) == "new bar 19: asked D minor 7 flat 5"
    tab.keyboard.press("Delete")
    assert tab.input_value("#chords") == "Bb/D | Dm7b5"
    tab.keyboard.press("e")  # the name of a chord begins to be typed; the shortcut waits
    tab.keyboard.press("Escape")
    assert tab.evaluate("document.activeElement.id") == "chord-lane"
    assert tab.input_value("#chords") == "Bb/D | Dm7b5"
    tab.click("#steering summary")
    tab.fill("#chords", "|: C | F G :|")
    tab.focus(LANE)
    assert spoken(tab) == "new bar 19: asked C"
    tab.keyboard.press("Enter")
    tab.keyboard.type("Am")
    tab.keyboard.press("Enter")
    assert tab.input_value("#chords").startswith("C | F G | Am | F G | C | F G")  # written out, as long as the new bars
    tab.keyboard.press("Home")
    tab.keyboard.press("Shift+ArrowRight")
    assert spoken(tab) == "bars 1 to 2 selected"
    tab.keyboard.press("Enter")
    tab.keyboard.press("Enter")
    assert tab.input_value("#form") == "1-2"
    assert boxes(tab)[-2:] == ["Asked: bars 1 to 2 again, new bars 17 to 18", "Ask for a section"]
    tab.focus("#section-lane button[tabindex='0']")
    tab.keyboard.press("Home")
    tab.keyboard.press("Enter")
    first = boxes(tab)[0]
    assert first.startswith("Section A, bars 1 to ")
    assert tab.inner_text(".lane-box b") == first
    tab.keyboard.press("Escape")
    tab.keyboard.press("End")
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("Delete")
    assert tab.input_value("#form") == ""


@pytest.mark.slow
def test_the_chords_of_the_piece_are_kept_and_then_changed(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)
    tab.click("#lanes-switch")
    tab.fill("#amount", "4")
    tab.focus("#roll")
    for _ in range(15):
        tab.keyboard.press("ArrowRight")
    drawn(tab)
    assert tab.get_attribute(LANE, "aria-valuemax") == "20"
    tab.keyboard.press("b")  # the last bar, to be composed anew
    drawn(tab)
    assert tab.get_attribute(LANE, "aria-valuemax") == "16"
    tab.keyboard.press("Escape")
    mark_bars(tab, first=4, end=8)
    tab.focus(LANE)
    tab.keyboard.press("Home")
    for _ in range(4):
        tab.keyboard.press("ArrowRight")
    heard = [spoken(tab).partition("until now ")[2]]
    tab.keyboard.press("Enter")
    tab.click("text=Keep these chords")
    own = LeadSheet.parse(tab.input_value("#chords"))
    assert len(own.bars) <= 4
    assert spoken(tab).startswith(f"new bar 5: asked {heard[0]}")
    tab.keyboard.press("Enter")
    tab.keyboard.type("N")
    tab.keyboard.press("Enter")
    changed = LeadSheet.parse(tab.input_value("#chords"))
    assert str(changed.bars[0][0]) == "N"
    assert changed.bars[1:] == own.bars[1:]
    order(tab, bars=None)
    phase(tab, "done")
    assert site.generator.requests[-1].chords == tab.input_value("#chords")


READ = "([text, count]) => import('/page/lead-sheet.js').then(({ barsOf }) => barsOf(text, count))"
TYPED = "(words) => import('/page/lead-sheet.js').then(({ withTyped }) => withTyped(...words).sheet)"
PARTS = "([text, found]) => import('/page/form-text.js').then(({ partsOf }) => partsOf(text, found))"


def random_sheet(source: random.Random) -> str:
    """A lead sheet of one line."""

    def bars(most: int) -> str:
        signs = ["C", "Am7 D7", "?", "", "G/B", " F  G "]
        return "|".join(
            [source.choice(["C", "Am"]), *(source.choice([*signs, "%"]) for _ in range(source.randint(0, most)))]
        )

    text = source.choice(["", "| "]) + bars(4) + source.choice(["", " |"])
    return source.choice([text, f"{text} |: {bars(2)} :|", "[Am]Morning has [D7]broken"])


def test_the_page_reads_sheets_and_forms_as_the_server_does(visit: Callable[..., Any]) -> None:
    tab = visit()
    source = random.Random(1)
    for _ in range(60):
        text = random_sheet(source)
        sheet = LeadSheet.parse(text)
        assert tab.evaluate(READ, [text, 12]) == [" ".join(map(str, sheet.of_bar(bar))) for bar in range(12)], text
        at, typed = source.randint(0, 10), source.choice(["D", "E | F", "", "% | A", "|: A | B :|"])
        made = LeadSheet.parse(tab.evaluate(TYPED, [text, at, typed, 12]) or "?|?")
        before = [sheet.of_bar(bar) for bar in range(max(12, len(sheet.bars)))]
        lead = " ".join(map(str, before[at - 1])) if at else ""
        new = LeadSheet.parse(f"{lead or '?'} | {typed or '?'}")
        num_new = 12 - at if new.repeat_from is not None else max(len(new.bars) - 1, 1)
        expected = [*before[:at], *(new.of_bar(bar + 1) for bar in range(num_new)), *before[at + num_new :]]
        assert [made.of_bar(bar) for bar in range(len(expected))] == expected, (text, at, typed)
    found = [FoundSection(0, 8, "A"), FoundSection(8, 4, "B"), FoundSection(12, 8, "A")]
    sections = [{"first": each.first_bar, "count": each.num_bars, "letter": each.letter} for each in found]
    for text in ("A | new 8 | 5-12'", "| 3 | B' |", "new  2|7-7", "A"):
        bars = [None if bar is None else [bar.bar, bar.varied] for bar in FormPlan.parse(text).bars(found, 20)]
        told: list[Any] = []
        for part in tab.evaluate(PARTS, [text, sections]):
            if "fresh" in part:
                told += [None] * part["fresh"]
            else:
                told += [[bar - 1, part["varied"]] for bar in range(part["from"], part["to"] + 1)]
        assert told == bars, text
    for text in ("C", "5-3", "0-2", "new 0", "x"):
        assert tab.evaluate(PARTS, [f"1-2 | {text} | 3-4", sections])[1:] == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, pytest.param(390, marks=pytest.mark.slow)])
def test_lanes_move_with_the_roll_and_leave_room_for_what_comes(visit: Callable[..., Any], width: int) -> None:
    tab = visit(width=width, height=844, touch=True)
    upload(tab)
    tab.click("#lanes-switch")
    add = tab.locator("#section-lane button[data-kind=add]")
    where = "(box) => box.getBoundingClientRect().left"
    cut = "(cut) => { const box = cut.getBoundingClientRect(); return box.left + box.width / 2; }"
    drawn(tab)
    assert add.evaluate(where) == pytest.approx(tab.locator("#cut").evaluate(cut), abs=2)
    assert tab.locator("#roll").evaluate("(roll) => roll.getBoundingClientRect().right") > add.evaluate(where) + 100
    tab.click("#zoom-in")
    drawn(tab)
    assert add.evaluate(where) == pytest.approx(tab.locator("#cut").evaluate(cut), abs=2)
    tab.click("#zoom-fit")
    box = tab.locator(LANE).bounding_box()
    tab.touchscreen.tap(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.7)
    assert tab.is_visible(".lane-box")  # it stays open when the finger's click has moved the focus
    tab.keyboard.press("Escape")
    tab.click("#lanes-switch")
    until(tab, "document.querySelector('#lanes').hidden")
    drawn(tab)
    right = "(element) => element.getBoundingClientRect().right"
    assert tab.locator("#cut").evaluate(cut) > tab.locator("#roll").evaluate(right) - 60
