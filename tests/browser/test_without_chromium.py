"""A machine without Chromium: these tests skip there, but not in CI, where nothing would be tested then."""

from __future__ import annotations

import pytest

from helpers import chromium


def test_without_chromium_the_tests_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="install Chromium"):
        chromium.cannot_run("there is no Chromium", chromium.HOW)


def test_without_chromium_ci_fails_and_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", "")
    with (
        pytest.raises(pytest.fail.Exception, match=r"no Chromium.*apt-get install chromium"),
        chromium.chromium_browser(),
    ):
        pass
