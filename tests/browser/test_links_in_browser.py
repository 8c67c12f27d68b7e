"""Links that restore a piece and its settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from helpers.visited_site import Site
from helpers.visitor import begin, copied_link, download, notes_of, order, phase, until, upload


def test_the_link_brings_back_the_settings_and_the_same_music(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    tab.click("#examples button >> nth=1")
    phase(tab, "ready")
    tab.click("label[for=style-adventurous]")
    tab.select_option("#add-instrument", label="Violin")
    tab.focus("#cut")
    tab.keyboard.press("PageDown")
    order(tab, bars=2, variations=3, seed=None)
    phase(tab, "done")
    results = [notes_of(download(tab, number)[1]) for number in (1, 2, 3)]
    asked = site.generator.requests[-1]
    other = visit(address=copied_link(tab))
    phase(other, "ready")
    assert other.inner_text("#piece-name") == "Small waltz"
    begin(other)
    phase(other, "done")
    assert site.generator.requests[-1] == asked
    assert [notes_of(download(other, number)[1]) for number in (1, 2, 3)] == results


def test_a_link_to_an_uploaded_piece_opens_it_in_another_browser(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)
    tab.focus("#cut")
    tab.keyboard.press("PageDown")
    order(tab, bars=2)
    phase(tab, "done")
    other = visit(address=copied_link(tab))
    phase(other, "ready")
    assert other.inner_text("#piece-name") == "my song"
    assert other.inner_text("#compose") == "Continue from bar 13"
    begin(other)
    phase(other, "done")
    assert notes_of(download(other, 1)[1]) == notes_of(download(tab, 1)[1])


def test_a_link_brings_the_marked_bars_back(visit: Callable[..., Any], site: Site) -> None:
    tab = visit(address=f"{site.address}#piece=example:waltz&cut_bar=4&until_bar=8")
    phase(tab, "ready")
    assert tab.inner_text("#compose") == "Recompose bars 5 to 8"


# How many locks this browser has written down, and the end of the marked bars.
LOCKS_AND_END = """async () => {
  const opening = indexedDB.open('music-reformer');
  const database = await new Promise((resolve) => { opening.onsuccess = () => resolve(opening.result); });
  const request = database.transaction('pieces').objectStore('pieces').getAll();
  const [record] = await new Promise((resolve) => { request.onsuccess = () => resolve(request.result); });
  database.close();
  return [record?.locks?.length, record?.list[record.current].wanted?.until].join();
}"""


def test_locked_notes_survive_a_reload_and_go_with_a_link(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)
    tab.keyboard.press("e")
    tab.wait_for_selector("#edit-tools:not([hidden])")
    for key in (".", ".", ">", "k", "Escape", "Escape", "Home", "b", "b"):
        tab.keyboard.press(key)
    until(tab, f"({LOCKS_AND_END})().then((found) => found === '2,2')")
    tab.reload()
    phase(tab, "ready")
    order(tab, bars=None, seed=3)
    phase(tab, "done")
    asked = site.generator.requests[-1]
    assert len(asked.locked) == 2
    assert (asked.cut_bar, asked.until_bar) == (0, 2)
    other = visit(address=copied_link(tab))
    phase(other, "ready")
    begin(other)
    phase(other, "done")
    assert site.generator.requests[-1] == asked


@pytest.mark.parametrize(
    "hash_",
    ["#piece=example:none", "#piece=kept:nothing", "#length=x&variations=99&style=loud&seed=-3&instruments=a,999"],
)
def test_after_an_invalid_link_the_page_works(visit: Callable[..., Any], site: Site, hash_: str) -> None:
    tab = visit(address=site.address + hash_)
    if "piece=" in hash_:
        tab.wait_for_selector("#message:not([hidden])")
    upload(tab)
    order(tab, bars=1)
    phase(tab, "done")
