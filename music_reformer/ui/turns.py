"""Bounds on Gradio's queue, and an end for orders that nobody listens to.

A visitor puts an order into the queue with one request, and listens to it with another. Orders without a listener would
cost their sender nothing and hold up everyone else. So they are dropped after a moment, and meanwhile give way to
others.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

# Limits on orders waiting for one operation: all, those sent from one address, and those without a listener.
MAX_WAITING = 60
MAX_OF_ONE_ADDRESS = 40
MAX_UNHEARD = 20
# Seconds for which an order without a listener is kept.
PATIENCE = 10.0


class Turns:
    """Keeps order in Gradio's queue.

    Args:
        queue: Gradio's queue; its private members are used here and nowhere else.
        patience: seconds for which an order without a listener is kept.
    """

    def __init__(self, queue: Any, *, patience: float) -> None:
        self._queue = queue
        self._patience = patience
        self._listeners: Counter[str] = Counter()
        self._unheard: dict[str, float] = {}  # by session: when it was first seen without a listener
        queue.max_size = None  # one limit for all operations would let composing block opening

    def waiting(self, operation: str) -> list[Any]:
        """The orders waiting for an operation, the next one first."""
        line = self._queue.event_queue_per_concurrency_id.get(operation)
        return list(line.queue) if line else []

    async def make_room(self, operation: str, address: str) -> bool:
        """Make room for one more order, if necessary by dropping the oldest one without a listener.

        Returns:
            Whether there is room.
        """
        waiting = self.waiting(operation)
        unheard = [event for event in waiting if not self._listeners[event.session_hash]]
        if len(unheard) >= MAX_UNHEARD or (unheard and len(waiting) >= MAX_WAITING):
            await self._drop(unheard[0].session_hash)
            waiting = self.waiting(operation)
        theirs = sum(_address(event.request) == address for event in waiting)
        return len(waiting) < MAX_WAITING and theirs < MAX_OF_ONE_ADDRESS

    def session_of(self, event_id: str) -> str:
        """The session of an order."""
        sessions = self._queue.pending_event_ids_session
        # An order sent without a session forms its own.
        return next((session for session, events in list(sessions.items()) if event_id in events), event_id)

    def knows(self, session: str) -> bool:
        """Whether a session has, or recently had, anything to listen to."""
        return session in self._queue.pending_messages_per_session

    @contextlib.contextmanager
    def listening(self, session: str) -> Iterator[None]:
        """Within the block, count a session as listened to."""
        self._listeners[session] += 1
        try:
            yield
        finally:
            self._listeners[session] -= 1
            if not self._listeners[session]:
                del self._listeners[session]

    async def watch(self) -> None:
        """Regularly drop orders that nobody listens to any more, until cancelled."""
        while True:
            await asyncio.sleep(self._patience / 10)
            for session in self._forsaken():
                await self._drop(session)
            async with self._queue.delete_lock:
                for line in self._queue.event_queue_per_concurrency_id.values():
                    line.queue.sort(key=lambda event: not self._listeners[event.session_hash])

    def _forsaken(self) -> list[str]:
        """Sessions with orders (waiting, running or done) that nobody has listened to for too long."""
        lines = [line.queue for line in self._queue.event_queue_per_concurrency_id.values()]
        running = [job for job in self._queue.active_jobs if job is not None]
        sessions = {event.session_hash for events in [*lines, *running] for event in events}
        sessions |= set(self._queue.pending_messages_per_session)
        now = time.monotonic()
        self._unheard = {
            session: self._unheard.get(session, now) for session in sessions if not self._listeners[session]
        }
        return [session for session, since in self._unheard.items() if now - since > self._patience]

    async def _drop(self, session: str) -> None:
        """Remove a session's orders from the queue, and end running ones: they stop at their next report."""
        await self._queue.clean_events(session_hash=session)
        self._queue.pending_messages_per_session.pop(session, None)
        self._queue.pending_event_ids_session.pop(session, None)


def _address(request: Any) -> str:
    return str(request.client.host) if request.client else ""
