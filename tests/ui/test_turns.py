"""Bounds on the queue, with a fake of Gradio's queue."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest

from music_reformer.ui import turns
from music_reformer.ui.turns import Turns


class FakeQueue:
    """The parts of Gradio's queue that `Turns` uses."""

    def __init__(self) -> None:
        self.max_size: int | None = 5
        self.delete_lock = asyncio.Lock()
        self.event_queue_per_concurrency_id: dict[str, Any] = defaultdict(lambda: SimpleNamespace(queue=[]))
        self.active_jobs: list[Any] = [None]
        self.pending_messages_per_session: dict[str, Any] = {}
        self.pending_event_ids_session: dict[str, set[str]] = {}

    def put(self, session: str, *, operation: str = "compose", address: str = "10.0.0.1") -> None:
        event = SimpleNamespace(session_hash=session, request=SimpleNamespace(client=SimpleNamespace(host=address)))
        self.event_queue_per_concurrency_id[operation].queue.append(event)
        self.pending_messages_per_session[session] = []
        self.pending_event_ids_session.setdefault(session, set()).add(f"event of {session}")

    async def clean_events(self, *, session_hash: str) -> None:
        for line in self.event_queue_per_concurrency_id.values():
            line.queue[:] = [event for event in line.queue if event.session_hash != session_hash]


def sessions(queue: Turns) -> list[str]:
    return [event.session_hash for event in queue.waiting("compose")]


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()


@pytest.fixture
def kept(queue: FakeQueue) -> Turns:
    return Turns(queue, patience=0.2)


def room(kept: Turns, *, operation: str = "compose", address: str = "10.0.0.9") -> bool:
    return asyncio.run(kept.make_room(operation, address))


def test_each_operation_has_a_line_of_its_own(queue: FakeQueue, kept: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MAX_WAITING", 2)
    assert queue.max_size is None
    with kept.listening("a"), kept.listening("b"):
        queue.put("a")
        assert room(kept)
        queue.put("b")
        assert not room(kept)
        assert room(kept, operation="open")


def test_one_address_cannot_fill_the_queue(queue: FakeQueue, kept: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MAX_OF_ONE_ADDRESS", 2)
    for number in range(2):
        queue.put(f"s{number}", address="10.0.0.1")
    assert not room(kept, address="10.0.0.1")
    assert room(kept, address="10.0.0.2")


def test_the_oldest_order_without_a_listener_makes_room(
    queue: FakeQueue, kept: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "MAX_UNHEARD", 2)
    for name in ("heard", "unheard 1", "unheard 2"):
        queue.put(name)
    with kept.listening("heard"):
        assert room(kept)
        assert sessions(kept) == ["heard", "unheard 2"]
    assert not kept.knows("unheard 1")


def test_orders_with_a_listener_keep_their_place_and_come_first(queue: FakeQueue, kept: Turns) -> None:
    for name in ("silent", "first", "second"):
        queue.put(name)

    async def a_while(seconds: float) -> None:
        watching = asyncio.create_task(kept.watch())
        await asyncio.sleep(seconds)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching

    with kept.listening("first"), kept.listening("second"):
        asyncio.run(a_while(0.05))
        assert sessions(kept) == ["first", "second", "silent"]
        asyncio.run(a_while(0.6))
        assert sessions(kept) == ["first", "second"]
    asyncio.run(a_while(0.6))
    assert sessions(kept) == []
    assert queue.pending_messages_per_session == queue.pending_event_ids_session == {}


def test_two_listeners_of_a_session_count_as_long_as_one_is_left(queue: FakeQueue, kept: Turns) -> None:
    queue.put("a")
    with kept.listening("a"):
        with kept.listening("a"):
            pass
        assert kept._forsaken() == []
        assert kept._listeners["a"] == 1
    assert not kept._listeners


def test_an_order_without_a_known_session_is_its_own_session(queue: FakeQueue, kept: Turns) -> None:
    queue.put("a")
    assert kept.session_of("event of a") == "a"
    assert kept.session_of("another") == "another"
