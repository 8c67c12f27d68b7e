"""The page as a process: what it keeps after its end, and that it leaves nothing else behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers.page_calls import CLIENT, call, order, upload
from music_reformer.midi.examples import EXAMPLES

REPOSITORY = Path(__file__).parent.parent.parent
SONG = EXAMPLES["waltz"].score().dumps_midi()
# app.py with the stand-in generator. With "deaf" for its seconds, compositions cannot be stopped.
PROGRAM = """
import sys
from helpers.stand_in_generator import StandInGenerator
from music_reformer.generation.generator import Generator
from music_reformer.ui.operations import Operations
seconds = 1000 if sys.argv[1] == "deaf" else float(sys.argv[1])
Generator.load = classmethod(lambda cls, *_, **__: StandInGenerator(seconds=seconds))
if sys.argv[1] == "deaf":
    Operations.stop_all = lambda self: None
import app
from music_reformer.exit import leave
leave(app.main(["--no-browser", *sys.argv[2:]]))
"""


class Page:
    """`python app.py` in a process of its own."""

    def __init__(self, *arguments: str, seconds: float | str, temporary: Path) -> None:
        paths = [str(REPOSITORY / "tests"), str(REPOSITORY)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(seconds), *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TMPDIR": str(temporary)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=temporary,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.lines: list[str] = []
        for line in self.process.stdout:
            self.lines.append(line)
            if found := re.search(r"at (http://\S+/) ", line):
                self.address = found[1].replace("localhost", "127.0.0.1")
                break
        else:
            raise AssertionError(f"the page did not start: {self.lines}")
        self._rest = threading.Thread(target=lambda: self.lines.extend(self.process.stdout or ()), daemon=True)
        self._rest.start()

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        code = self.process.wait(timeout=120)
        self._rest.join(timeout=60)
        return code

    def has_children(self) -> bool:
        """Whether processes that the page started outlive it."""
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


@pytest.fixture
def start(tmp_path: Path, temporary: Path) -> Iterator[Callable[..., Page]]:
    pages: list[Page] = []

    def started(*arguments: str, seconds: float | str = 0.2) -> Page:
        kept = () if "--folder" in arguments else ("--folder", str(tmp_path / "kept"))
        pages.append(Page(*kept, *arguments, seconds=seconds, temporary=temporary))
        return pages[-1]

    yield started
    for page in pages:
        page.process.kill()
        page.process.wait()


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if "music-reformer" in path.name)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_only_visitors_pieces_survive_a_restart(start: Callable[..., Page], temporary: Path, number: int) -> None:
    page = start()
    piece = call(page.address, "open", {"path": upload(page.address, SONG, name="My waltz.mid")})
    done = call(page.address, "compose", {"piece": piece["key"], "length": "2bars", "seed": 1})
    upload(page.address, SONG)
    variation = done["variations"][0]
    assert page.end(number) == 0
    assert list(temporary.iterdir()) == []
    again = start()
    assert CLIENT.get(f"{again.address}file/{piece['key']}").content == SONG
    assert call(again.address, "piece", variation["key"])["name"] == variation["name"]
    assert call(again.address, "compose", {"piece": variation["key"], "length": "2bars"})["event"] == "done"


@pytest.mark.parametrize("seconds", [1000, "deaf"], ids=["that stops", "that does not stop"])
def test_a_signal_ends_what_is_being_composed(
    start: Callable[..., Page], temporary: Path, seconds: float | str
) -> None:
    page = start(seconds=seconds)
    event = order(page.address, "compose", [{"length": "128bars"}]).json()["event_id"]
    with CLIENT.stream("GET", f"{page.address}gradio_api/call/compose/{event}") as stream:
        assert next(line for line in stream.iter_lines() if "ticket" in line)
        assert page.end(signal.SIGTERM) == 0
    assert left_behind(temporary) == []
    # A process that reads a visitor's file looks once a second whether the page is still there.
    deadline = time.monotonic() + 60
    while page.has_children():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert not [line for line in page.lines if "Traceback" in line], page.lines


@pytest.mark.slow
def test_only_the_folders_of_killed_pages_are_removed_at_the_next_start(
    start: Callable[..., Page], tmp_path: Path, temporary: Path
) -> None:
    other = start()
    before = left_behind(temporary)
    killed = start()
    (stale,) = set(left_behind(temporary)) - set(before)
    upload(killed.address, SONG)
    killed.end(signal.SIGKILL)
    assert stale in left_behind(temporary)
    # Not made by a page, or not certainly so.
    for name in ("music-reformer-abc", "music-reformer-page-mine"):
        (temporary / name).mkdir()
        (temporary / name / "song.mid").write_bytes(SONG)
    (temporary / "music-reformer-page-odd").mkdir()
    (temporary / "music-reformer-page-odd" / ".made-by-music-reformer").write_bytes(b"by somebody else")
    (temporary / "music-reformer-page-link").symlink_to(temporary / "music-reformer-abc")
    start()
    left = left_behind(temporary)
    assert stale not in left
    assert set(before) <= set(left), "of the page that still runs"
    assert (temporary / "music-reformer-page-mine" / "song.mid").exists()
    assert (temporary / "music-reformer-abc" / "song.mid").exists()
    assert {"music-reformer-page-odd", "music-reformer-page-link"} <= set(left)
    assert CLIENT.get(f"{other.address}waiting").status_code == 200


def test_the_start_reports_where_pieces_are_kept_and_who_reaches_the_page(
    start: Callable[..., Page], tmp_path: Path
) -> None:
    page = start("--host", "0.0.0.0", "--allow-host", "music.example")
    assert CLIENT.get(f"{page.address}waiting", headers={"Host": "music.example"}).status_code == 200
    assert page.end(signal.SIGTERM) == 0
    said = "".join(page.lines)
    assert "Anyone who can reach this machine can use this page" in said
    assert "music.example" in said
    assert f"{tmp_path / 'kept'}" in said
    assert "2 GB at most, 30 days" in said
