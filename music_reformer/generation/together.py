"""Several sessions in one batch of the model (continuous batching): 16 rows take little longer than one.

A session joins when there is room, and leaves when it is done; those beside it go on. What a session composes depends
on its own seed alone, but for one thing on a GPU: sums over more rows round otherwise in their last bits there, which
changes a choice only where the dice fall that close to a border (`sampling.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from music_reformer.generation.session import Session
from music_reformer.model.attention.cache import DecodeState


def compose_together(sessions: Iterable[Session], *, most_rows: int) -> Iterator[Session]:
    """Compose sessions of one generator side by side; each comes back when it is done.

    Args:
        sessions: all with the same hash rounds; the next is taken when there is room for it.
        most_rows: variations in one step. A session of more than that is composed by itself.
    """
    waiting = iter(sessions)
    following = next(waiting, None)
    active: list[Session] = []
    state: DecodeState | None = None
    logits_BV = np.empty(0)
    while active or following is not None:
        rows = sum(session.num_rows for session in active)
        while following is not None and (not active or rows + following.num_rows <= most_rows):
            first_logits_BV, first_state = following.begin()
            if state is None:
                state = first_state
            else:
                state.admit(first_state)
            logits_BV = np.concatenate([logits_BV, first_logits_BV]) if active else first_logits_BV
            active.append(following)
            rows += following.num_rows
            following = next(waiting, None)
        assert state is not None
        tokens: list[int] = []
        going: list[int] = []
        begin = 0
        for session in active:
            end = begin + session.num_rows
            its_tokens, its_going = session.take_turn(logits_BV[begin:end], state.lengths[begin:end])
            tokens += its_tokens
            going += [begin + place for place in its_going]
            begin = end
        for session in [session for session in active if not session.num_rows]:
            session.end()
            active.remove(session)
            yield session
        if not going:
            state = None
        elif len(going) < begin:
            state.keep(going)
        if state is not None:
            logits_BV = active[0].step(tokens, state)
