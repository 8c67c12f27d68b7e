"""A real Chromium on a real server with the stand-in generator; every test also watches that no request leaves.

Chromium is the system's (or CHROMIUM=/path/to/it); nothing is downloaded. Without it, or without Playwright, these
tests skip; where the environment variable CI is set, they fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from helpers.chromium import chromium_browser
from helpers.stand_in_generator import StandInGenerator
from helpers.visited_site import Site
from helpers.visitor import WATCH_PHASES
from helpers.windows import Windows
from music_reformer.ui.page import build_page, launch_page

SECONDS = 0.5  # that a piece takes, unless a test says otherwise
KEEP_ALL = """addEventListener('DOMContentLoaded', () => {
  for (const box of document.querySelectorAll('#choose')) box.checked = false;
});"""
LOCAL = ("http://127.0.0.1:", "http://lan.test:", "data:", "blob:")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    with chromium_browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    generator = StandInGenerator(seconds=SECONDS)
    server = build_page(generator=generator, folder=tmp_path_factory.mktemp("site"), at_once=1)
    address = launch_page(
        server, host="127.0.0.1", port=None, open_browser=False, block=False, allowed_hosts=["lan.test"]
    )
    yield Site(address, server.state.operations, generator)
    server.get_blocks().close(verbose=False)


@pytest.fixture(scope="session")
def windows(chromium: Any) -> Windows:
    return Windows(chromium)


@pytest.fixture
def visit(windows: Windows, site: Site) -> Iterator[Callable[..., Any]]:
    """Open the page as a new visitor: `visit(width=..., height=..., scheme=..., address=...)` returns their tab.

    `script` is run before the page's own. Unless the visitor chooses (`chooses`), all that is composed is kept.
    With `touch` they have a touch screen.
    """
    site.generator.seconds = SECONDS
    outside: list[str] = []
    errors: list[str] = []

    def open_tab(
        *,
        width: int = 1280,
        height: int = 800,
        scheme: str = "light",
        address: str | None = None,
        script: str = "",
        chooses: bool = False,
        touch: bool = False,
    ) -> Any:
        tab = windows.tab(script=WATCH_PHASES + ("" if chooses else KEEP_ALL) + script, touch=touch)
        tab.set_viewport_size({"width": width, "height": height})
        tab.emulate_media(color_scheme=scheme)
        tab.on("request", lambda request: outside.append(request.url) if not request.url.startswith(LOCAL) else None)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.goto(address or site.address)
        tab.wait_for_selector("#examples button", state="attached")
        return tab

    yield open_tab
    windows.leave()
    assert outside == [], "the page called out"
    assert errors == [], "the page reported errors of its own"
