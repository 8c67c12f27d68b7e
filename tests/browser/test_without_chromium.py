"""The choice of Chromium; without one, browser tests skip, except in CI, where they fail so as not to pass untested."""

from __future__ import annotations

from pathlib import Path

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


def test_the_leanest_chromium_is_used_unless_the_environment_names_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert chromium.chromium_path() is None
    for name in ("google-chrome", "chromium", "chromium-headless-shell"):
        (tmp_path / name).touch(mode=0o755)
        assert chromium.chromium_path() == str(tmp_path / name)
    monkeypatch.setenv("CHROMIUM", "/opt/my-chromium")
    assert chromium.chromium_path() == "/opt/my-chromium"
