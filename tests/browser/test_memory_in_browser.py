"""What a reload, a later visit or a restart of the server finds again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import symusic

from helpers.visited_site import Site
from helpers.visitor import current, export, kept, midi, notes_of, order, phase, upload


def tree(tab: Any) -> list[str]:
    return list(tab.locator("#versions button").all_inner_texts())


def exported(tab: Any) -> list[tuple[int, int, int]]:
    return notes_of(symusic.Score.from_midi(export(tab, "whole")[1]))


def come_back(tab: Any, address: str) -> Any:
    """Another tab of the same browser."""
    other = tab.context.new_page()
    other.goto(address)
    other.wait_for_selector("#examples button", state="attached")
    return other


def test_a_reload_finds_versions_and_what_was_composed_from_them(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)
    order(tab, bars=2, variations=2)
    phase(tab, "done")
    kept(tab, 1)
    phase(tab, "ready")
    order(tab, bars=3, variations=2)
    phase(tab, "done")
    tab.keyboard.press("2")
    before = tree(tab), current(tab), exported(tab)
    tab.wait_for_timeout(500)
    tab.reload()
    phase(tab, "done")
    assert (tree(tab), current(tab), exported(tab)) == before
    assert tab.locator(".card").count() == 2
    tab.click("#undo")
    assert current(tab) == "Opened"
    assert tab.locator(".card").count() == 2, "what was composed from it is still there"
    # Another tab may go on with it, and has a tree of its own from then on.
    other = come_back(tab, site.address)
    other.click("#examples button >> nth=0")
    phase(other, "done")
    assert tree(other) == before[0]
    other.click("#start-over")
    phase(other, "empty")
    upload(other, midi("another.mid"))
    other.wait_for_timeout(500)
    tab.reload()
    phase(tab, "done")
    assert tab.inner_text("#piece-name") == "my song"


def test_after_starting_over_a_reload_is_empty_and_the_last_piece_is_offered(
    visit: Callable[..., Any], site: Site
) -> None:
    tab = visit()
    assert "Continue where" not in tab.inner_text("#examples")
    upload(tab)
    tab.wait_for_timeout(500)
    tab.click("#start-over")
    tab.reload()
    tab.wait_for_selector("text=Continue where you left off")
    phase(tab, "empty")
    tab.click("text=Continue where you left off")
    phase(tab, "ready")
    assert tab.inner_text("#piece-name") == "my song"
    # What the server has removed cannot be gone on with: one sentence, and an empty page.
    tab.wait_for_timeout(500)
    for place in site.operations.shelf.folder.iterdir():
        shutil.rmtree(place)
    tab.reload()
    tab.wait_for_selector("#message:not([hidden])")
    assert "no longer kept on the server" in tab.inner_text("#message")
    phase(tab, "empty")
