"""Browser windows that are reused for one visitor after the other, without traces of the one before.

A new browser context costs seconds, because it fetches and compiles all scripts of the page again. So the storage of a
window is cleared when its visitor has left, and the next visitor gets it; only its cache of fetched files stays.
"""

from __future__ import annotations

from typing import Any

WAIT = 120_000  # milliseconds: a busy machine is no failure


class Windows:
    """Hands out tabs, each in a window of its own; `leave` empties all windows for the next visitors."""

    def __init__(self, chromium: Any) -> None:
        self.chromium = chromium
        self._free: dict[tuple[str, bool], Any] = {}
        self._used: list[tuple[tuple[str, bool], Any]] = []

    def tab(self, *, script: str, touch: bool) -> Any:
        """A tab of a new visitor; `script` runs before the page's own scripts."""
        kind = (script, touch)
        window = self._free.pop(kind, None)
        if window is None:
            window = self.chromium.new_context(has_touch=touch)
            window.add_init_script(script)
            window.set_default_timeout(WAIT)
        self._used.append((kind, window))
        return window.new_page()

    def leave(self) -> None:
        """Let all visitors leave; one window of each kind is kept for the next visitor."""
        for kind, window in self._used:
            if kind in self._free or not window.pages:
                window.close()
            else:
                _empty(window)
                self._free[kind] = window
        self._used.clear()


def _empty(window: Any) -> None:
    origins = {"/".join(tab.url.split("/")[:3]) for tab in window.pages}
    blank = window.new_page()
    for tab in window.pages:
        if tab is not blank:
            tab.close()
    session = window.new_cdp_session(blank)
    for origin in sorted(origins):
        session.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
    blank.close()
    window.clear_permissions()
    window.clear_cookies()
