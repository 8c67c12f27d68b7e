"""The settings form: instruments, and key, metre and tempo of a piece from nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from helpers.visited_site import Site
from helpers.visitor import download, kept, order, phase, upload


def test_instruments_are_deselected_and_added(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    tab.click("#examples button >> nth=0")
    phase(tab, "ready")
    assert tab.locator("#instruments input:checked").count() == 4
    order(tab, bars=1)
    phase(tab, "done")
    assert site.generator.requests[-1].programs == []
    tab.click("#instruments label:has-text('Flute')")
    tab.click("#instruments label:has-text('Drums')")
    assert tab.inner_text("#instruments-hint") == ""
    tab.select_option("#add-instrument", label="Violin")
    assert tab.inner_text("#instruments-hint").startswith("Violin may be silent in some bars")
    order(tab, bars=1)
    phase(tab, "done")
    assert site.generator.requests[-1].programs == [0, 33, 40]
    assert "Violin" in tab.inner_text("#tracks")
    while tab.locator("#instruments label:has(input:checked)").count():
        tab.click("#instruments label:has(input:checked) >> nth=0")
    assert "at least one" in tab.inner_text("#instruments-hint")
    orders = len(site.generator.requests)
    tab.click("#compose")
    tab.wait_for_timeout(300)
    assert len(site.generator.requests) == orders


def test_from_nothing_with_key_metre_tempo_and_instruments(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    tab.click("text=From nothing")
    phase(tab, "ready")
    tab.select_option("#key", "A minor")
    tab.select_option("#metre", "7/8")
    tab.fill("#tempo", "90")
    tab.select_option("#add-instrument", label="Cello")
    order(tab, bars=4)
    phase(tab, "done")
    asked = site.generator.requests[-1]
    assert (asked.key, asked.programs) == ("A minor", [0, 42])
    name, score = download(tab, 1)
    assert name.startswith("New piece")
    assert score.tempos[0].qpm == pytest.approx(90, abs=0.01)
    assert (score.time_signatures[0].numerator, score.time_signatures[0].denominator) == (7, 8)
    assert (score.key_signatures[0].key, score.key_signatures[0].tonality) == (0, 1)
    kept(tab, 1)
    assert "7/8 · 90 bpm" in tab.inner_text("#piece-facts")
    assert tab.is_hidden("#blank-settings")


def test_an_ending_can_be_requested(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)
    tab.check("#ending")
    order(tab)
    phase(tab, "done")
    assert site.generator.requests[-1].ending
    tab.uncheck("#ending")
    order(tab)
    phase(tab, "done")
    assert not site.generator.requests[-1].ending


def test_chords_key_metre_and_wishes_are_requested(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)
    assert not tab.is_visible("#chords")  # the first view is calm
    tab.click("#steering summary")
    tab.fill("#chords", "Am7 | D7 G7/B | %")
    tab.select_option("#key-ahead", "A minor")
    tab.select_option("#metre-ahead", "7/8")
    tab.focus("#density")
    for _ in range(2):
        tab.keyboard.press("ArrowRight")
    tab.focus("#register")
    tab.keyboard.press("ArrowLeft")
    words = [tab.input_value(f"#{name}") for name in ("density", "register", "dynamics")]
    assert words == ["2", "-1", "0"]
    assert tab.inner_text("output[for=density]") == "denser +2"
    assert tab.inner_text("output[for=register]") == "lower \u22121"
    assert tab.inner_text("output[for=dynamics]") == "as before"
    order(tab, bars=2)
    phase(tab, "done")
    asked = site.generator.requests[-1]
    assert (asked.chords, asked.key, asked.metre) == ("Am7 | D7 G7/B | %", "A minor", "7/8")
    assert (asked.density, asked.polyphony, asked.register, asked.dynamics) == (2, 0, -1, 0)
    tab.click("#chords-again")
    order(tab, bars=2)
    phase(tab, "done")
    assert site.generator.requests[-1].chords == "piece"
    tab.fill("#chords", "H7")
    order(tab, bars=2)
    tab.wait_for_selector("#message:not([hidden])")
    assert "'H7' is not a known chord" in tab.inner_text("#message")


def test_a_link_with_steering_opens_its_settings(visit: Callable[..., Any], site: Site) -> None:
    tab = visit(address=f"{site.address}#piece=example:waltz&chords=Am|%25&form=1-2&density=-2&key=A+minor")
    phase(tab, "ready")
    assert tab.input_value("#chords") == "Am|%"
    assert tab.input_value("#form") == "1-2"
    assert tab.input_value("#density") == "-2"
    assert tab.input_value("#key-ahead") == "A minor"
    assert tab.is_visible("#chords")
