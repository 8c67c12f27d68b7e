"""The tree of versions: keep, branch, undo, redo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import symusic

from helpers.visitor import current, download, export, kept, notes_of, order, phase, upload


def test_keep_branch_undo_and_redo(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab)
    assert tab.is_hidden("#versions")
    assert tab.is_disabled("#undo")
    order(tab, bars=2, variations=2)
    phase(tab, "done")
    kept(tab, 2)
    phase(tab, "ready")
    assert "18 bars" in tab.inner_text("#piece-facts")
    assert tab.locator(".card").count() == 0
    second = notes_of(symusic.Score.from_midi(export(tab, "whole")[1]))
    tab.click("#undo")
    assert "16 bars" in tab.inner_text("#piece-facts")
    assert tab.locator(".card").count() == 2, "what was composed from it is still there"
    kept(tab, 1)
    assert tab.locator("#versions button").all_inner_texts() == ["Opened", "+ 2 bars", "+ 2 bars"]
    first = notes_of(symusic.Score.from_midi(export(tab, "whole")[1]))
    assert first != second
    tab.keyboard.press("Control+z")
    assert current(tab) == "Opened"
    tab.keyboard.press("Control+Shift+z")
    assert notes_of(symusic.Score.from_midi(export(tab, "whole")[1])) == first
    tab.click("#versions button >> nth=1")
    assert notes_of(symusic.Score.from_midi(export(tab, "whole")[1])) == second
    # A kept piece is continued like any other.
    order(tab, bars=3)
    phase(tab, "done")
    assert len(notes_of(download(tab, 1)[1])) == len(second) + 24
