"""Folders of the page: temporary ones are removed, also those of killed pages, and no others are touched."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from pathlib import Path

import pytest

from music_reformer.ui.folders import MARK, MARK_TEXT, PREFIX, TemporaryFolder, lasting_folder


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def _killed_page(folder: str) -> None:
    tempfile.tempdir = folder
    page = TemporaryFolder()
    (page.path / "upload").mkdir()
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_folder_ends_with_its_page(temporary: Path) -> None:
    folder = TemporaryFolder()
    (folder.path / "upload").mkdir()
    assert list(temporary.iterdir()) == [folder.path]
    folder.remove()
    assert list(temporary.iterdir()) == []


def test_the_folder_of_a_page_that_was_killed_goes_and_that_of_one_that_runs_stays(temporary: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_killed_page, args=(str(temporary),))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    (killed,) = temporary.iterdir()
    first = TemporaryFolder()
    assert not killed.exists()
    second = TemporaryFolder()
    assert {first.path, second.path} == set(temporary.iterdir())
    first.remove()
    second.remove()


@pytest.mark.parametrize("mark", [None, b"", b"somebody else's", MARK_TEXT + b"x"])
def test_a_folder_without_our_mark_is_left_alone(temporary: Path, mark: bytes | None) -> None:
    other = temporary / f"{PREFIX}other"
    other.mkdir()
    if mark is not None:
        (other / MARK).write_bytes(mark)
    TemporaryFolder().remove()
    assert other.is_dir()


def test_links_are_not_followed(temporary: Path) -> None:
    treasure = temporary / "treasure"
    treasure.mkdir()
    (treasure / MARK).write_bytes(MARK_TEXT)
    (temporary / f"{PREFIX}link").symlink_to(treasure)
    trap = temporary / f"{PREFIX}trap"
    trap.mkdir()
    (trap / MARK).symlink_to(treasure / MARK)
    TemporaryFolder().remove()
    assert (treasure / MARK).is_file()
    assert trap.is_dir()


def test_the_lasting_folder_is_in_the_users_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert lasting_folder().parts[-2:] == ("music-reformer", "page")
    assert not lasting_folder().exists()
