"""The tests' own visitors: each is new to the page, although a window is used again."""

from __future__ import annotations

from typing import Any

from helpers.visited_site import Site
from helpers.windows import Windows

LEAVE_TRACES = """async () => {
  localStorage.setItem('mine', '1');
  sessionStorage.setItem('mine', '1');
  document.cookie = 'mine=1';
  const opening = indexedDB.open('mine');
  await new Promise((resolve) => { opening.onsuccess = resolve; });
}"""
TRACES = """async () => [
  ...Object.keys(localStorage), ...Object.keys(sessionStorage), document.cookie,
  ...(await indexedDB.databases()).map(({ name }) => name),
].filter((name) => name.includes('mine'))"""


def test_the_next_visitor_finds_nothing_of_the_one_before(chromium: Any, site: Site) -> None:
    windows = Windows(chromium)
    first = windows.tab(script="", touch=False)
    window = first.context
    first.goto(site.address)
    first.evaluate(LEAVE_TRACES)
    assert len(first.evaluate(TRACES)) == 4
    window.grant_permissions(["clipboard-read"], origin=site.address.rstrip("/"))
    windows.leave()
    second = windows.tab(script="", touch=False)
    assert second.context is window
    second.goto(site.address)
    assert second.evaluate(TRACES) == []
    assert (
        second.evaluate("navigator.permissions.query({ name: 'clipboard-read' }).then(({ state }) => state)")
        != "granted"
    )
    third = windows.tab(script="", touch=False)
    assert third.context is not window, "two visitors at once have a window each"
    windows.leave()
    window.close()
