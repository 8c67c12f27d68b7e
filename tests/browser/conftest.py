"""A real Chromium on a real server with the stand-in generator; every test also watches that no request leaves.

Chromium is the system's (or CHROMIUM=/path/to/it); nothing is downloaded. Without it, or without playwright, these
tests skip.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "ui"))

from helpers.stand_in_generator import StandInGenerator
from helpers.visited_site import Site
from helpers.visitor import chromium_path
from music_reformer.ui.page import build_page, launch_page

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A name that is not localhost, so that the page is not a secure context there.
    "--host-resolver-rules=MAP lan.test 127.0.0.1",
]
LOCAL = ("http://127.0.0.1:", "http://lan.test:", "data:", "blob:")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    path = chromium_path()
    if path is None:
        pytest.skip("no Chromium: apt install chromium, or set CHROMIUM to its path")
    with sync_api.sync_playwright() as playwright:
        # Playwright gives every launch a fresh profile of its own.
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    generator = StandInGenerator(seconds=1.0)
    server = build_page(generator=generator, folder=tmp_path_factory.mktemp("site"), at_once=1)
    address = launch_page(
        server, host="127.0.0.1", port=None, open_browser=False, block=False, allowed_hosts=["lan.test"]
    )
    yield Site(address, server.state.operations, generator)
    server.get_blocks().close(verbose=False)


@pytest.fixture
def visit(chromium: Any, site: Site) -> Iterator[Callable[..., Any]]:
    """Open the page as a new visitor: `visit(width=..., height=..., scheme=..., address=...)` returns their tab."""
    site.generator.seconds = 1.0
    contexts, outside, errors = [], [], []

    def open_tab(*, width: int = 1280, height: int = 800, scheme: str = "light", address: str | None = None) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        context.set_default_timeout(120_000)  # a busy machine is no failure
        contexts.append(context)
        tab = context.new_page()
        tab.on("request", lambda request: outside.append(request.url) if not request.url.startswith(LOCAL) else None)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.goto(address or site.address)
        tab.wait_for_selector("#examples button", state="attached")
        return tab

    yield open_tab
    for context in contexts:
        context.close()
    assert outside == [], "the page called out"
    assert errors == [], "the page reported errors of its own"
