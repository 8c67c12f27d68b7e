"""What survives a reload, until a later visit, and a restart of the server."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from helpers.ports import free_port
from helpers.served_site import served
from helpers.visited_site import Site
from helpers.visitor import (
    copied_link,
    current,
    exported_notes,
    kept,
    midi,
    order,
    phase,
    tree,
    until,
    until_remembered,
    upload,
)
from music_reformer.midi.examples import EXAMPLES


def come_back(tab: Any, address: str) -> Any:
    """Another tab of the same browser."""
    other = tab.context.new_page()
    other.goto(address)
    other.wait_for_selector("#examples button", state="attached")
    return other


def compose_twice(tab: Any) -> None:
    """Open a piece, keep one of two variations, and compose two from that."""
    upload(tab)
    order(tab, bars=2, variations=2)
    phase(tab, "done")
    kept(tab, 2)
    order(tab, bars=2, variations=2)
    phase(tab, "done")


def test_a_reload_restores_versions_and_variations(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)
    order(tab, bars=2, variations=2)
    phase(tab, "done")
    kept(tab, 1)
    phase(tab, "ready")
    order(tab, bars=3, variations=2)
    phase(tab, "done")
    tab.keyboard.press("2")
    before = tree(tab), current(tab), exported_notes(tab)
    until_remembered(tab)
    tab.reload()
    phase(tab, "done")
    assert (tree(tab), current(tab), exported_notes(tab)) == before
    assert tab.locator(".card").count() == 2
    tab.click("#undo")
    assert current(tab) == "Opened"
    assert tab.locator(".card").count() == 2, "what was composed from it is still there"
    # Another tab may go on with it, and has a tree of its own from then on.
    other = come_back(tab, site.address)
    other.click("#examples .former button >> nth=0")
    phase(other, "done")
    assert tree(other) == before[0]
    other.click("#start-over")
    phase(other, "empty")
    upload(other, midi("another.mid"))
    until_remembered(other)
    tab.reload()
    phase(tab, "done")
    assert tab.inner_text("#piece-name") == "my song"


def test_after_starting_over_a_reload_is_empty_and_the_last_piece_is_offered(
    visit: Callable[..., Any], site: Site
) -> None:
    tab = visit()
    assert "Continue where" not in tab.inner_text("#examples")
    upload(tab)
    tab.click("#start-over")
    tab.wait_for_selector("text=Continue where you left off")  # at once, too
    tab.reload()
    tab.wait_for_selector("text=Continue where you left off")
    phase(tab, "empty")
    tab.click("text=Continue where you left off")
    phase(tab, "ready")
    assert tab.inner_text("#piece-name") == "my song"
    # What the server has removed cannot be gone on with: one sentence, and an empty page.
    until_remembered(tab)
    for place in site.operations.shelf.folder.iterdir():
        shutil.rmtree(place)
    tab.reload()
    tab.wait_for_selector("#message:not([hidden])")
    assert "no longer kept on the server" in tab.inner_text("#message")
    phase(tab, "empty")


@pytest.mark.parametrize("has_clipboard", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_link_does_not_cost_the_versions_at_a_reload(visit: Callable[..., Any], *, has_clipboard: bool) -> None:
    """A link that cannot be copied is put into the address; a reload must not follow it."""
    tab = visit(script="" if has_clipboard else "delete Navigator.prototype.clipboard;")
    compose_twice(tab)
    if has_clipboard:
        link = copied_link(tab)
    else:
        tab.click("#export summary")
        tab.click("[data-export=link]")
        until(tab, "location.hash.length > 10")
        link = tab.evaluate("location.href")
    before = tree(tab), current(tab), tab.locator(".card").count()
    until_remembered(tab)
    tab.reload()
    phase(tab, "done")
    assert (tree(tab), current(tab), tab.locator(".card").count()) == before
    tab.click("#undo")
    assert current(tab) == "Opened"
    # Whoever follows the link gets the piece, and a tree of their own from then on, over a reload, too.
    other = visit(address=link)
    phase(other, "ready")
    assert tree(other) == []
    order(other, bars=1)
    phase(other, "done")
    until_remembered(other)
    other.reload()
    phase(other, "done")
    # Another piece takes the link out of the address.
    upload(other, midi("another.mid"))
    assert other.evaluate("location.hash") == ""
    until_remembered(other)
    other.reload()
    phase(other, "ready")
    assert other.inner_text("#piece-name") == "another"


def test_copying_a_link_does_not_change_the_address(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab)
    assert "piece=kept" in copied_link(tab)
    assert tab.evaluate("location.hash") == ""


def test_opening_another_piece_leaves_the_former_one_to_be_continued(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)
    order(tab, bars=2)
    phase(tab, "done")
    kept(tab, 1)
    phase(tab, "ready")
    # By a file, then by a link pasted into the address of the open page.
    upload(tab, midi("second.mid"))
    until_remembered(tab)
    tab.evaluate("location.hash = '#piece=example:evening'")
    until(tab, f"document.querySelector('#piece-name').textContent === '{EXAMPLES['evening'].title}'")
    phase(tab, "ready")
    tab.click("#start-over")
    tab.wait_for_selector(".former >> nth=2")
    assert tab.locator(".former b").all_inner_texts() == [EXAMPLES["evening"].title, "second", "my song"]
    tab.click(".former >> nth=2")
    phase(tab, "ready")
    assert tree(tab) == ["Opened", "+ 2 bars"]


@pytest.mark.slow
def test_after_a_restart_of_the_server_the_versions_are_there(visit: Callable[..., Any], tmp_path: Path) -> None:
    port = free_port()
    with served(tmp_path, port) as address:
        tab = visit(address=address)
        compose_twice(tab)
        before = tree(tab), current(tab), exported_notes(tab)
        until_remembered(tab)
    with served(tmp_path, port):
        tab.reload()
        phase(tab, "done")
        assert (tree(tab), current(tab), exported_notes(tab)) == before
        kept(tab, 1)  # and the page goes on working, with the files of before
        tab.click("#versions button >> nth=0")
        phase(tab, "done")
        order(tab, bars=1)
        phase(tab, "done")
        assert tab.locator(".card").count() == 1
        tab.context.close()


FORBIDDEN = """for (const name of ['indexedDB', 'sessionStorage', 'localStorage']) {
  Object.defineProperty(window, name, { get() { throw new DOMException('forbidden', 'SecurityError'); } });
}"""
SILENT = "indexedDB.open = () => ({});"  # a store that never answers
FULL = "IDBObjectStore.prototype.put = () => { throw new DOMException('full', 'QuotaExceededError'); };"


@pytest.mark.parametrize(
    "script", [FORBIDDEN, pytest.param(SILENT, marks=pytest.mark.slow), FULL], ids=["forbidden", "silent", "full"]
)
def test_the_page_works_in_a_browser_that_keeps_nothing(visit: Callable[..., Any], script: str) -> None:
    tab = visit(script=script)
    upload(tab)
    order(tab, bars=2)
    phase(tab, "done")
    kept(tab, 1)
    tab.click("#start-over")
    phase(tab, "empty")
    upload(tab)
    tab.reload()
    tab.wait_for_selector("#examples button", state="attached")
    upload(tab)


# Changes every record of the store by a statement on `record`.
SPOIL = """async () => {
  const opening = indexedDB.open('music-reformer');
  const database = await new Promise((resolve) => { opening.onsuccess = () => resolve(opening.result); });
  const transaction = database.transaction('pieces', 'readwrite');
  const store = transaction.objectStore('pieces');
  store.getAll().onsuccess = ({ target }) => {
    for (const record of target.result) { %s; store.put(record); }
  };
  await new Promise((resolve) => { transaction.oncomplete = resolve; });
  database.close();
}"""


def spoil(tab: Any, statement: str) -> None:
    """Leave the page, change every record by a statement, and come back. (The page itself may still be writing.)"""
    address = tab.url
    elsewhere = urljoin(address, "/elsewhere")
    tab.route(elsewhere, lambda route: route.fulfill(content_type="text/html", body='<link rel="icon" href="data:,">'))
    tab.goto(elsewhere)
    tab.evaluate(SPOIL % statement)
    tab.goto(address)


DAMAGES = [
    "record.list = 7",
    "record.current = 3",
    "delete record.list[0].score",
    "record.list[0].parent = 0",
    "record.list[0].score.notes[3] = null",
]


def test_damaged_browser_storage_is_ignored(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab)
    for number, damage in enumerate(DAMAGES):
        until_remembered(tab)
        spoil(tab, damage)
        tab.wait_for_selector("#examples button", state="attached")
        upload(tab, midi(f"another {number}.mid"))
        assert tab.is_hidden("#message"), damage
        until_remembered(tab)
        tab.click("#start-over")
        tab.wait_for_selector(".former")
        assert tab.locator(".former b").all_inner_texts() == [f"another {number}"], damage
        tab.click(".former")
        phase(tab, "ready")


BOUNDED = """async () => {
  const { Memory } = await import('/page/memory.js');
  const note = { pitch: 60, start: 0, end: 1, velocity: 80, isNew: false, drum: false, track: 0 };
  const nothing = { tracks: [], moves: [], bars: [0], beats: [], tempos: [], metres: [[0, 4, 4]], seconds: 1 };
  const score = (size) => ({ ...nothing, notes: Array(size).fill(note) });
  const version = (size, parent, runs) => ({
    key: `key ${size}`, name: 'n', label: 'l', source: '', score: score(size), parent, latest: -1, selected: 0,
    run: { variations: runs.map((each) => ({ score: score(each) })) },
  });
  const keptOf = async (list, current) => {
    const memory = new Memory({ keptDays: 1 });
    memory.save({ list, current });
    await memory.close();
    const { former } = await memory.find();
    const found = former.find((session) => session.list[session.current].key === list[current].key);
    return found ? found.list.map(({ score, run }) => [score.notes.length, run ? run.variations.length : 0]) : null;
  };
  return [
    await keptOf([version(1000, -1, [5, 5]), version(1001, 0, [5])], 1),
    await keptOf([version(100000, -1, [150000, 150000]), version(100001, 0, [50000])], 1),
    await keptOf([version(300000, -1, [5]), version(300001, 0, [5])], 1),
    await keptOf([version(500000, -1, [5])], 0),
  ];
}"""


def test_the_kept_data_of_a_very_large_piece_are_bounded(visit: Callable[..., Any]) -> None:
    whole, without_other_runs, alone, nothing = visit().evaluate(BOUNDED)
    assert whole == [[1000, 2], [1001, 1]]
    assert without_other_runs == [[100000, 0], [100001, 1]]
    assert alone == [[300001, 0]]
    assert nothing is None


COUNT_PIECES = """async () => {
  const opening = indexedDB.open('music-reformer');
  const database = await new Promise((resolve) => { opening.onsuccess = () => resolve(opening.result); });
  const request = database.transaction('pieces').objectStore('pieces').count();
  await new Promise((resolve) => { request.onsuccess = resolve; });
  database.close();
  return request.result;
}"""


def test_no_more_than_a_few_pieces_are_remembered(visit: Callable[..., Any]) -> None:
    tab = visit()
    for number in range(9):
        upload(tab, midi(f"{number}.mid"))
        until(tab, f"document.querySelector('#piece-name').textContent === '{number}'")
    until_remembered(tab)
    tab.reload()
    phase(tab, "ready")
    assert tab.evaluate(COUNT_PIECES) == 8
    tab.click("#start-over")
    until(tab, "document.querySelector('.former b')?.textContent === '8'")
    assert tab.locator(".former b").all_inner_texts() == ["8", "7", "6"]


def test_pieces_deleted_on_the_server_are_forgotten(visit: Callable[..., Any], site: Site) -> None:
    days = round(site.operations.shelf.max_age / 86_400)
    tab = visit()
    upload(tab)
    copied_link(tab)
    assert f"keeps your piece for {days} days" in tab.inner_text("#export-status")
    until_remembered(tab)
    spoil(tab, f"record.saved -= {days - 1} * 24 * 3600 * 1000")
    phase(tab, "ready")
    until_remembered(tab)
    spoil(tab, f"record.saved -= {days + 1} * 24 * 3600 * 1000")
    upload(tab, midi("another.mid"))
    until_remembered(tab)
    until(tab, COUNT_PIECES.replace("return request.result;", "return request.result === 1;"))
    tab.click("#start-over")
    tab.wait_for_selector(".former")
    assert tab.locator(".former b").all_inner_texts() == ["another"]
