"""The generate loop, the only one: page, batch, tests and benchmarks compose with it.

Continuous batching: several sessions share each step of the model, because a step of 16 rows takes little longer than
one of a single row. A session joins when there is room and leaves when it is over, while the others continue.

A session's result depends only on its request, not on the sessions beside it, with one exception: on a GPU, sums over
more rows round differently in their last bits, which changes a token if the random number falls equally close to the
border between two tokens (`sampling.py`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from music_reformer.generation.session import Session, SessionProgress
from music_reformer.model.attention.cache import DecodeState

SECONDS_BETWEEN_REPORTS = 0.2


def compose(sessions: Iterable[Session], *, max_rows: int = 1) -> Iterator[tuple[Session, SessionProgress]]:
    """Compose sessions side by side and yield reports on them.

    Each session is reported on when it joins, several times a second while it runs, and when it is over: then its
    `num_rows` is 0, and the report has its last notes.

    Args:
        sessions: the next one is taken when there is room; sessions with different weights or numbers of hash rounds
            never run together.
        max_rows: largest number of variations in a step; a session of more variations is composed by itself.
    """
    batch = _Batch()
    waiting = iter(sessions)
    following = next(waiting, None)
    while batch.sessions or following is not None:
        while following is not None and batch.has_room(following, max_rows):
            yield following, following.progress()
            batch.admit(following)
            following = next(waiting, None)
        for session in batch.step():
            yield session, session.end()
        for session in batch.due():
            yield session, session.progress()


class _Batch:
    """Sessions that share a state of the model; each owns `num_rows` consecutive rows, in order."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self._state: DecodeState | None = None
        self._logits_BV = np.empty((0, 0), np.float32)
        self._reported: dict[Session, float] = {}  # when, by the monotonic clock

    def has_room(self, session: Session, max_rows: int) -> bool:
        """Whether a session may join now."""
        if not self.sessions:
            return True
        first = self.sessions[0]
        alike = session.decoder is first.decoder and session.request.rounds == first.request.rounds
        return alike and sum(one.num_rows for one in self.sessions) + session.num_rows <= max_rows

    @torch.inference_mode()
    def admit(self, session: Session) -> None:
        """Read the prompt of a session, once for all its variations."""
        ids_BL = torch.tensor([session.prompt.ids])
        logits_BV, state = session.decoder.prefill(ids_BL, num_rounds=session.request.rounds)
        first_BV = logits_BV.expand(session.num_rows, -1).cpu().numpy()
        state.keep([0] * session.num_rows)
        if self._state is None:
            self._state, self._logits_BV = state, first_BV
        else:
            self._state.admit(state)
            self._logits_BV = np.concatenate([self._logits_BV, first_BV])
        self.sessions.append(session)
        session.start_clock()
        self._reported[session] = time.monotonic()

    def step(self) -> list[Session]:
        """Append one token to every row; returns the sessions that are over."""
        state = self._state
        assert state is not None
        decoder = self.sessions[0].decoder
        tokens: list[int] = []
        going: list[int] = []
        first = 0
        for session in self.sessions:
            rows = slice(first, first + session.num_rows)
            its_tokens, its_going = session.take_turn(self._logits_BV[rows], state.lengths[rows])
            tokens += its_tokens
            going += [first + number for number in its_going]
            first = rows.stop
        over = [session for session in self.sessions if not session.num_rows]
        for session in over:
            self.sessions.remove(session)
            del self._reported[session]
        if not going:
            self._state = None
            return over
        if len(going) < first:
            state.keep(going)
        self._logits_BV = decoder.step(torch.tensor(tokens), state).cpu().numpy()
        return over

    def due(self) -> list[Session]:
        """Sessions that are due for a report; they count as reported now."""
        now = time.monotonic()
        due = [one for one in self.sessions if now - self._reported[one] >= SECONDS_BETWEEN_REPORTS]
        for session in due:
            self._reported[session] = now
        return due
