"""Continuing a piece: from the file to the downloads, with notes that appear on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from helpers.visited_site import Site
from helpers.visitor import (
    COUNT_COLOUR,
    PAPER,
    WALTZ,
    download,
    drawn,
    notes_of,
    order,
    phase,
    until,
    until_progress,
    upload,
)


def test_from_a_file_to_downloads_with_notes_appearing_on_the_way(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)
    assert tab.inner_text("#piece-name") == "my song"
    assert "16 bars" in tab.inner_text("#piece-facts")
    site.generator.seconds = 100
    order(tab, bars=4, variations=3, seed=5)
    # Midway: there are notes already, a speed, and not yet all.
    until(tab, "document.querySelector('.card small')?.textContent.includes('notes')")
    assert int(tab.inner_text(".card small").split()[0]) < 4 * 8
    assert "tokens/s" in tab.inner_text("#progress-text")
    assert tab.is_visible("#stop")
    site.generator.seconds = 1  # from here on
    phase(tab, "done")
    assert tab.inner_text(".card small").startswith("32 notes")
    assert "seed 5" in tab.inner_text("#result-text")
    files = [download(tab, number) for number in (1, 2, 3)]
    assert [name for name, _ in files] == [f"my song - bars 17-20 - seed 5 - {number}.mid" for number in (1, 2, 3)]
    prompt, results = notes_of(WALTZ), [notes_of(score) for _, score in files]
    for result in results:
        assert len(result) == len(prompt) + 32
        assert set(prompt) < set(result)
    assert results[0] != results[1] != results[2]


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_prompt_and_continuation_are_plainly_different(visit: Callable[..., Any], scheme: str) -> None:
    tab = visit(scheme=scheme)
    upload(tab)
    drawn(tab)
    assert tab.evaluate(COUNT_COLOUR, ["--track-0", 0.1, 1]) > 200
    assert tab.evaluate(PAPER, 0.3) == tab.evaluate(PAPER, 0.9)
    order(tab, bars=16)
    phase(tab, "done")
    tab.click("#zoom-fit")
    drawn(tab)
    # The cut is in the middle: 16 bars and 16 bars; after it the paper is tinted.
    assert tab.evaluate(PAPER, 0.2) == tab.evaluate(PAPER, 0.45)
    assert tab.evaluate(PAPER, 0.6) == tab.evaluate(PAPER, 0.9)
    assert tab.evaluate(PAPER, 0.45) != tab.evaluate(PAPER, 0.6)
    assert tab.inner_text("#cut") == "New from bar 17"


def test_stop_keeps_the_composed_notes(visit: Callable[..., Any], site: Site) -> None:
    site.generator.seconds = 60
    tab = visit()
    site.generator.seconds = 60
    upload(tab)
    order(tab, bars=16)
    until(tab, "parseInt(document.querySelector('.card small')?.textContent) >= 3")
    tab.click("text=Stop and keep this")
    phase(tab, "done")
    _, score = download(tab, 1)
    new = len(notes_of(score)) - len(notes_of(WALTZ))
    assert 3 <= new < 16 * 8


def test_stopping_while_the_piece_is_read_leaves_no_empty_variation(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)
    site.generator.seconds = 1_000  # some before the first note
    order(tab, bars=16)
    until_progress(tab, "Reading")
    assert tab.inner_text("#stop") == "Cancel"
    tab.click("#stop")
    phase(tab, "ready")
    assert tab.locator(".card").count() == 0
    assert "Right hand" in tab.inner_text("#tracks")
    assert tab.get_attribute("#cut", "aria-valuenow") == "16"


def test_eight_variations_side_by_side(visit: Callable[..., Any]) -> None:
    tab = visit(width=1440, height=900)
    upload(tab)
    order(tab, bars=2, variations=8)
    phase(tab, "done")
    boxes = [card.bounding_box() for card in tab.locator(".card").all()]
    assert len(boxes) == 8
    assert len({box["y"] for box in boxes}) == 1
    tab.keyboard.press("7")
    assert tab.get_attribute(".card >> nth=6", "data-selected") is not None
    assert len({str(notes_of(download(tab, number)[1])) for number in range(1, 9)}) == 8


STUDY = "document.querySelector('#study').checked = true"


def test_a_piece_is_studied_while_the_visitor_looks_at_it(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    tab.evaluate(STUDY)
    upload(tab)
    until(tab, "document.querySelector('#study-note').textContent === 'Your piece has been studied.'")
    taught = site.generator.num_taught
    order(tab)
    phase(tab, "done")
    assert site.generator.num_taught == taught + 1
    # Without it, too.
    tab.evaluate("document.querySelector('#advanced').open = true")
    tab.uncheck("#study")
    assert tab.inner_text("#study-note") == ""
    order(tab)
    phase(tab, "done")
    assert site.generator.num_taught == taught + 1


@pytest.mark.parametrize("waits", [True, False])
def test_composing_waits_for_it_unless_the_visitor_does_not(
    visit: Callable[..., Any], site: Site, *, waits: bool
) -> None:
    site.generator.study_seconds = 3.0 if waits else 30.0
    tab = visit()
    tab.evaluate(STUDY)
    upload(tab)
    taught = site.generator.num_taught
    order(tab)
    until_progress(tab, "Studying your piece")
    if not waits:
        tab.click("#compose-now")
    phase(tab, "done")
    assert site.generator.num_taught == taught + waits
    assert tab.is_hidden("#compose-now")
    site.generator.study_seconds = 0.1


def test_a_visitor_who_cancels_while_the_piece_is_studied_composes_nothing(
    visit: Callable[..., Any], site: Site
) -> None:
    site.generator.study_seconds = 30.0
    tab = visit()
    tab.evaluate(STUDY)
    upload(tab)
    num_orders = len(site.generator.requests)
    order(tab)
    until_progress(tab, "Studying your piece")
    assert tab.inner_text("#stop") == "Cancel"
    tab.click("#stop")
    phase(tab, "ready")
    assert tab.is_hidden("#compose-now")
    assert len(site.generator.requests) == num_orders
    site.generator.study_seconds = 0.1


def test_best_of_keeps_the_closest_variations(visit: Callable[..., Any], site: Site) -> None:
    tab = visit(chooses=True)
    upload(tab)
    site.generator.seconds = 100
    order(tab, bars=4, variations=2, seed=5)
    until(tab, "document.querySelectorAll('.card').length === 4")
    tab.keyboard.press("4")
    site.generator.seconds = 1
    phase(tab, "done")
    assert tab.locator(".card").count() == 2
    assert tab.locator(".card[data-selected]").count() == 1
    assert "The 2 variations closest to the piece, of 4." in tab.inner_text("#result-text")
    assert len({name for name, _ in (download(tab, number) for number in (1, 2))}) == 2
