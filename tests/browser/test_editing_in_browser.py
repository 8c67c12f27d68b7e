"""Notes are edited by hand, with mouse, touch and keyboard; what is exported is checked byte by byte."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import symusic

from helpers.visitor import BAR_SECONDS, WALTZ, current, export, kept, order, phase, tree, until, upload
from music_reformer.midi.smf import FileLimits, read_file

BAR = 3 * 480  # of the waltz
KEYS, RULER = 46, 26  # pixels left of the notes and above them
AIR = 1.03  # how much more than the piece the roll shows
NUM_BARS = 16
MELODY = 0  # the track in which notes are edited here
Row = tuple[int, int, int, int, int]  # track, tick, length, pitch, velocity


def rows(data: bytes) -> list[Row]:
    score = symusic.Score.from_midi(data)
    return sorted(
        (index, note.time, note.duration, note.pitch, note.velocity)
        for index, track in enumerate(score.tracks)
        for note in track.notes
    )


BEFORE = rows(WALTZ.dumps_midi())
FIRST = min((row for row in BEFORE if row[0] == MELODY), key=lambda row: row[1])


def saved(tab: Any) -> None:
    """Wait until the server has all edits."""
    until(tab, "!document.querySelector('#export').inert")


def exported(tab: Any) -> bytes:
    saved(tab)
    return export(tab, "whole")[1]


def changed(tab: Any) -> tuple[list[Row], list[Row]]:
    """The notes of the file that are gone, and those that are new."""
    now = rows(exported(tab))
    return [row for row in BEFORE if row not in now], [row for row in now if row not in BEFORE]


def undone(tab: Any, label: str) -> None:
    """Undo, and see this version on show."""
    tab.keyboard.press("Control+z")
    until(tab, f"document.querySelector('#versions [aria-current]')?.textContent === '{label}'")


def said(tab: Any) -> str:
    return str(tab.inner_text("#announcement"))


def place(tab: Any, row: Row, *, share: float = 0.5, keys: int = KEYS) -> tuple[float, float]:
    """Where a note is on the screen, with the whole piece in view; `share` of its length from its beginning."""
    box = tab.locator("#roll").bounding_box()
    pitches = [pitch for _, _, _, pitch, _ in BEFORE]
    low, high = min(pitches) - 2, max(pitches) + 2
    zoom = (box["width"] - keys) / (NUM_BARS * BAR_SECONDS * AIR)
    tall = (box["height"] - RULER) / (high - low + 1)
    seconds = (row[1] + share * row[2]) / BAR * BAR_SECONDS
    return box["x"] + keys + seconds * zoom, box["y"] + RULER + (high - row[3] + 0.5) * tall


def edit(visit: Callable[..., Any], **how: Any) -> Any:
    tab = visit(**how)
    upload(tab)
    assert tab.is_hidden("#edit-tools")
    tab.click("#edit")
    return tab


def drag(tab: Any, start: tuple[float, float], to: tuple[float, float]) -> None:
    tab.mouse.move(*start)
    tab.mouse.down()
    tab.mouse.move(*to, steps=6)
    tab.mouse.up()


def test_a_note_is_moved_with_the_mouse_and_the_move_undone_and_redone(visit: Callable[..., Any]) -> None:
    tab = edit(visit)
    track, tick, length, pitch, velocity = FIRST
    drag(tab, place(tab, FIRST), place(tab, (track, tick + 480, length, pitch + 2, velocity)))
    moved = (track, tick + 480, length, pitch + 2, velocity)
    assert changed(tab) == ([FIRST], [moved])
    assert "bar 1 beat 2" in said(tab)
    assert tree(tab) == ["Opened", "Edited"]
    other = [read_file(data, "it", FileLimits(10**6)) for data in (WALTZ.dumps_midi(), exported(tab))]
    chunks = [[file.data[begin:end] for begin, end in file.bodies] for file in other]
    assert [before == after for before, after in zip(*chunks, strict=True)].count(False) == 1
    undone(tab, "Opened")
    assert export(tab, "whole")[1] == WALTZ.dumps_midi(), "byte for byte"
    tab.keyboard.press("Control+Shift+z")
    until(tab, "document.querySelector('#versions [aria-current]')?.textContent === 'Edited'")
    assert changed(tab) == ([FIRST], [moved])


@pytest.mark.slow
def test_notes_are_stretched_framed_deleted_and_drawn_with_the_mouse(visit: Callable[..., Any]) -> None:
    tab = edit(visit, width=1600)
    track, tick, length, pitch, velocity = FIRST
    drag(tab, place(tab, FIRST, share=0.97), place(tab, (track, tick + 240, length, pitch, velocity), share=0.97))
    longer = (track, tick, length + 240, pitch, velocity)
    assert changed(tab) == ([FIRST], [longer])
    # A frame from above the first bar down to the bottom of the roll takes all that begins in it.
    x, _ = place(tab, (0, BAR - 20, 0, 60, 0))
    left, _ = place(tab, (0, 0, 0, 60, 0))
    box = tab.locator("#roll").bounding_box()
    drag(tab, (x, box["y"] + RULER + 2), (left, box["y"] + box["height"] - 2))
    in_bar = [row for row in BEFORE if row[1] < BAR]
    assert f"{len(in_bar)} notes selected" in said(tab)
    tab.keyboard.press("Delete")
    assert said(tab) == f"Deleted {len(in_bar)} notes"
    assert changed(tab) == (in_bar, [])
    assert current(tab) == "2 edits"
    # In its place, a note is drawn.
    tab.click("#edit-draw")
    drag(tab, place(tab, (0, 130, 0, 70, 0)), place(tab, (0, 480, 0, 70, 0)))
    assert changed(tab) == (in_bar, [(MELODY, 120, 360, 70, 80)])
    tab.click("#edit")
    assert tab.is_hidden("#edit-tools")


def test_notes_are_added_changed_and_deleted_by_the_keyboard_and_spoken(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab)
    tab.focus("#edit")
    tab.keyboard.press("Enter")
    assert "Editing notes" in said(tab)
    # A note is added at the cursor: C 4, four lines of the grid and a semitone on.
    for _ in range(4):
        tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowUp")
    assert said(tab) == "C sharp 4, bar 1 beat 2"
    tab.keyboard.press("Enter")
    tab.keyboard.press("Shift+ArrowUp")  # what was added is selected
    assert said(tab) == "C sharp 5, bar 1 beat 2"
    assert changed(tab) == ([], [(MELODY, 480, 120, 73, 80)])
    tab.keyboard.press("Delete")
    assert said(tab) == "Deleted 1 note"
    assert changed(tab) == ([], [])
    assert current(tab) == "3 edits", "a run of edits is one pill"
    undone(tab, "2 edits")
    assert changed(tab) == ([], [(MELODY, 480, 120, 73, 80)])
    tab.keyboard.press("Escape")
    assert tab.is_hidden("#edit-tools")
    assert said(tab) == "Editing ended"


@pytest.mark.slow
def test_each_key_does_what_it_says(visit: Callable[..., Any]) -> None:
    tab = edit(visit)
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "Enter"):
        tab.keyboard.press(key)
    for key in ("ArrowRight", "Shift+ArrowUp", "ArrowDown", "Shift+ArrowRight", "]"):
        tab.keyboard.press(key)
    assert said(tab) == "C 5, bar 1 beat 1.75"
    assert changed(tab) == ([], [(MELODY, 360, 240, 72, 88)])
    assert current(tab) == "6 edits"
    for label in ("5 edits", "4 edits"):  # every gesture is undone on its own
        undone(tab, label)
    assert changed(tab) == ([], [(MELODY, 360, 120, 72, 80)])
    # From the cursor, notes are selected one after the other.
    tab.keyboard.press("e")
    tab.keyboard.press("Home")
    tab.keyboard.press("e")
    tab.keyboard.press(".")
    first = said(tab)
    assert first.endswith("bar 1 beat 1")
    tab.keyboard.press(">")
    assert said(tab) == "2 notes selected"
    tab.keyboard.press(".")
    tab.keyboard.press(",")
    tab.keyboard.press(",")
    assert said(tab) == first


@pytest.mark.slow
def test_bars_are_copied_cut_and_pasted(visit: Callable[..., Any]) -> None:
    tab = edit(visit)
    tab.keyboard.press("b")
    tab.keyboard.press("b")
    two_bars = [row for row in BEFORE if row[1] < 2 * BAR]
    assert said(tab) == f"{len(two_bars)} notes selected"
    tab.keyboard.press("Control+c")
    assert "bar 3 beat 1" in said(tab)
    tab.keyboard.press("Control+v")
    saved(tab)
    pasted = [(track, tick + 2 * BAR, length, pitch, velocity) for track, tick, length, pitch, velocity in two_bars]
    expected = sorted((track, tick, pitch, velocity) for track, tick, _, pitch, velocity in BEFORE + pasted)
    assert sorted((track, tick, pitch, velocity) for track, tick, _, pitch, velocity in rows(exported(tab))) == expected
    undone(tab, "Opened")
    tab.keyboard.press("Escape")
    tab.keyboard.press("Home")
    tab.click("#roll", position={"x": KEYS + 3, "y": 10})
    tab.keyboard.press("b")
    tab.keyboard.press("Control+x")
    assert changed(tab) == ([row for row in BEFORE if row[1] < BAR], [])


@pytest.mark.slow
def test_notes_are_quantised_to_the_grid(visit: Callable[..., Any]) -> None:
    tab = edit(visit)
    tab.select_option("#edit-grid", "0.25")
    tab.focus("#roll")
    tab.keyboard.press("Control+a")
    assert said(tab) == f"{len(BEFORE)} notes selected"
    tab.keyboard.press("q")
    assert all(row[1] % 480 == 0 for row in rows(exported(tab)))
    assert len(rows(exported(tab))) == len(BEFORE)


@pytest.mark.slow
def test_a_variation_is_kept_before_it_is_edited_and_a_reload_finds_the_edits(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab)
    order(tab, bars=2)
    phase(tab, "done")
    tab.click("#edit")
    until(tab, "document.body.hasAttribute('data-editing')")
    assert tree(tab) == ["Opened", "+ 2 bars"]
    tab.keyboard.press(".")
    tab.keyboard.press("Delete")
    saved(tab)
    assert tree(tab) == ["Opened", "+ 2 bars", "Edited"]
    notes = rows(exported(tab))
    tab.wait_for_timeout(400)
    tab.reload()
    phase(tab, "ready")
    assert tree(tab) == ["Opened", "+ 2 bars", "Edited"]
    assert rows(exported(tab)) == notes
    # What was edited is composed on like anything else.
    order(tab, bars=1)
    phase(tab, "done")
    kept(tab, 1)
    assert tree(tab)[-1] == "+ 1 bar"


@pytest.mark.slow
def test_a_note_is_moved_by_touch(visit: Callable[..., Any]) -> None:
    tab = edit(visit, width=390, height=844)
    tab.evaluate("document.querySelector('#roll').scrollIntoView()")
    track, tick, length, pitch, velocity = FIRST
    x, y = place(tab, FIRST, keys=34)
    _, above = place(tab, (track, tick, length, pitch + 3, velocity), keys=34)
    session = tab.context.new_cdp_session(tab)
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for share in (0.3, 0.6, 1.0):
        point = {"x": x, "y": y + (above - y) * share}
        session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    gone, new = changed(tab)
    assert len(gone) == len(new) == 1
    assert new[0][3] == gone[0][3] + 3
    assert new[0][1] == gone[0][1]


@pytest.mark.slow
def test_an_edit_that_the_server_refuses_is_taken_back(visit: Callable[..., Any]) -> None:
    tab = edit(visit)
    tab.keyboard.press("Control+a")
    tab.keyboard.press("Delete")
    until(tab, "!document.querySelector('#message').hidden")
    assert "all the notes of the piece" in tab.inner_text("#message p")
    assert rows(exported(tab)) == BEFORE
    assert tab.is_hidden("#versions")
