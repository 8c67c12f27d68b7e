"""The system's Chromium, driven by Playwright; nothing is downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest

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
# The first is Chromium without its windows and menus: the same engine, and a third less work for these tests.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW = (
    "install Chromium (Debian and Ubuntu: apt-get install chromium) or set CHROMIUM to the path of a Chrome or Chromium"
)


def chromium_path() -> str | None:
    """CHROMIUM, or the system's Chromium or Chrome; None: there is none."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


def cannot_run(why: str, how: str) -> NoReturn:
    """Skip a test that has no browser; if CI is set, fail, because a skip would hide that nothing is tested."""
    if os.environ.get("CI"):
        pytest.fail(f"{why}, and CI must run the browser tests: {how}", pytrace=False)
    pytest.skip(f"{why}: {how}")


@contextmanager
def chromium_browser() -> Iterator[Any]:
    """A running Chromium, with a fresh profile of its own."""
    try:
        from playwright import sync_api
    except ImportError:
        cannot_run("Playwright is not installed", "pip install playwright")
    path = chromium_path()
    if path is None:
        cannot_run("there is no Chromium", HOW)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield browser
        browser.close()
