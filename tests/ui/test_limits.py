"""Limits on what one visitor can take from others: memory, disk, and turns in the queue."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gradio as gr
import httpx
import pytest

from helpers.page_calls import CLIENT, call, order, outcome, upload
from music_reformer.midi.examples import EXAMPLES
from music_reformer.midi.score import UPLOAD_BYTES
from music_reformer.ui import turns
from music_reformer.ui.operations import Operations
from music_reformer.ui.uploads import Uploads

SONG = EXAMPLES["waltz"].score().dumps_midi()
ORDER = {"length": "128bars", "seed": 1}


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def num_waiting(server: gr.Server) -> int:
    return len(server.get_blocks()._queue)


def wait_until(holds: Callable[[], bool], *, seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def slow(server: gr.Server, address: str, served: Operations) -> Iterator[None]:
    """Compositions do not end by themselves; after the test, all end and the queue is empty."""
    served.generator.seconds = 1000.0
    yield
    served.generator.seconds = 0.2
    for running in list(served._running.values()):
        running.session.stop()
    wait_until(lambda: served.num_running == 0 and num_waiting(server) == 0)


def test_uploads_that_nobody_opens_make_room_for_new_ones(
    server: gr.Server, address: str, uploads_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.state.uploads, "max_bytes", 1_000_000)
    sent = [upload(address, SONG + bytes(300_000)) for _ in range(8)]
    assert size_of(uploads_folder) <= 1_000_000
    assert call(address, "open", {"path": sent[-1]})["name"] == "song"
    kind, error = outcome(address, "open", [{"path": sent[0]}])
    assert (kind, "send the file again" in error["error"]) == ("error", True)


def test_all_uploads_together_are_bounded_by_default(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path / "uploads")
    for _ in range(60):
        uploads.keep(bytes(UPLOAD_BYTES), name="large.mid")
    assert size_of(uploads.folder) <= 200_000_000


def test_old_uploads_go(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path / "uploads", max_age=0.2)
    uploads.keep(SONG, name="old.mid")
    time.sleep(0.3)
    uploads.keep(SONG, name="new.mid")
    assert [path.name for path in uploads.folder.rglob("*.mid")] == ["new.mid"]


def test_one_request_brings_one_file(address: str, uploads_folder: Path) -> None:
    before = set((uploads_folder).iterdir())
    answer = CLIENT.post(f"{address}gradio_api/upload", files=[("files", (f"{n}.mid", SONG)) for n in range(2)])
    assert answer.status_code == 400
    assert "Too many files" in answer.json()["error"]
    assert set((uploads_folder).iterdir()) == before


@pytest.mark.parametrize("body", [b"", b"no form", b"--x\r\nContent-Disposition: form-data\r\n\r\n--x--"])
def test_an_invalid_form_is_refused_in_a_sentence(address: str, body: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    for told in (headers, {"Content-Type": "multipart/form-data"}, {}):
        answer = CLIENT.post(f"{address}gradio_api/upload", content=body, headers=told)
        assert answer.status_code == 400
        assert answer.json()["error"]


@pytest.mark.parametrize("path", ["gradio_api/upload", "gradio_api/call/compose", "gradio_api/queue/join"])
def test_a_body_that_does_not_end_is_cut_off(address: str, path: str) -> None:
    """Without a stated length."""
    num_sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal num_sent
        head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.mid"\r\n\r\n'
        yield head if path.endswith("upload") else b'{"data": ["'
        for _ in range(1000):
            num_sent += 100_000
            yield b"a" * 100_000

    headers = {"Content-Type": "multipart/form-data; boundary=x" if "upload" in path else "application/json"}
    status = 413
    with contextlib.suppress(httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        status = CLIENT.post(f"{address}{path}", content=endless(), headers=headers).status_code
    assert status == 413
    assert num_sent < 60_000_000, "what the sockets hold comes on top of what is read"


@pytest.mark.parametrize("path", ["gradio_api/call/compose", "gradio_api/queue/join", "gradio_api/run/stop"])
def test_a_large_order_is_refused_before_it_is_read(address: str, path: str) -> None:
    body = json.dumps({"data": ["x" * 1_000_000]})
    answer = CLIENT.post(address + path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert "larger than" in answer.json()["error"]


def test_orders_that_nobody_listens_to_block_nobody(
    server: gr.Server, address: str, served: Operations, slow: None
) -> None:
    answers = [order(address, "compose", [ORDER]).status_code for _ in range(75)]
    assert set(answers) == {200}
    assert num_waiting(server) <= turns.MAX_UNHEARD
    assert call(address, "open", {"path": upload(address, SONG)})["name"] == "song", "opening has a queue of its own"
    began = time.monotonic()
    event = order(address, "compose", [ORDER]).json()["event_id"]
    with CLIENT.stream("GET", f"{address}gradio_api/call/compose/{event}") as stream:
        assert next(line for line in stream.iter_lines() if line.startswith("data: ") and "ticket" in line)
    assert time.monotonic() - began < 100, "the visitor who listens is next"


def test_orders_without_a_listener_are_forgotten(
    server: gr.Server, address: str, served: Operations, slow: None
) -> None:
    for _ in range(6):
        assert order(address, "compose", [ORDER]).status_code == 200
    wait_until(lambda: served.num_running == 2)
    wait_until(lambda: served.num_running == 0 and num_waiting(server) == 0)
    assert not server.get_blocks()._queue.pending_messages_per_session


def test_results_that_nobody_fetches_are_forgotten(server: gr.Server, address: str) -> None:
    for _ in range(3):
        assert order(address, "example", ["waltz"]).status_code == 200
    assert server.get_blocks()._queue.pending_messages_per_session
    wait_until(lambda: not server.get_blocks()._queue.pending_messages_per_session)


def test_places_are_counted_by_the_address_that_a_proxy_reports(
    server: gr.Server, address: str, served: Operations, slow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sent(visitor: str) -> int:
        headers = {"X-Forwarded-For": visitor}
        return CLIENT.post(f"{address}gradio_api/call/compose", json={"data": [ORDER]}, headers=headers).status_code

    monkeypatch.setattr(turns, "MAX_OF_ONE_ADDRESS", 1)
    monkeypatch.setattr(turns, "MAX_UNHEARD", 100)
    for visitor in ("10.0.0.1", "10.0.0.2"):
        assert sent(visitor) == 200
    wait_until(lambda: served.num_running == 2)
    assert [sent("10.0.0.3"), sent("10.0.0.3"), sent("10.0.0.4")] == [200, 503, 200]


class Listener:
    """A visitor who listens to an order until told to leave."""

    def __init__(self, address: str, name: str) -> None:
        self.session = f"listener-{name}"
        self.answer = order(address, "compose", [ORDER], session_hash=self.session)
        self._address, self._leave = address, threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        where = f"{self._address}gradio_api/queue/data?session_hash={self.session}"
        with CLIENT.stream("GET", where):
            self._leave.wait(120)

    def leave(self) -> None:
        self._leave.set()
        self._thread.join()


def test_orders_of_visitors_who_left_leave_the_queue(
    server: gr.Server, address: str, served: Operations, slow: None
) -> None:
    visitors = [Listener(address, f"gone-{number}") for number in range(5)]
    wait_until(lambda: served.num_running == 2)
    time.sleep(2 * server.state.patience)
    assert (served.num_running, num_waiting(server)) == (2, 3), "who listens keeps their place"
    for visitor in visitors:
        visitor.leave()
    wait_until(lambda: served.num_running == 0 and num_waiting(server) == 0)


def test_visitors_are_turned_away_if_too_many_wait(
    server: gr.Server, address: str, served: Operations, slow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "MAX_WAITING", 3)
    visitors = [Listener(address, f"full-{number}") for number in range(5)]
    wait_until(lambda: num_waiting(server) == 3)
    time.sleep(1)
    answer = order(address, "compose", [ORDER])
    assert (answer.status_code, "try again" in answer.json()["error"]) == (503, True)
    assert call(address, "open", {"path": upload(address, SONG)})["name"] == "song"
    assert call(address, "piece", call(address, "example", "waltz")["key"])["name"]
    for visitor in visitors:
        visitor.leave()
