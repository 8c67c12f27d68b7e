"""Slow and obvious: the longest common n-gram by comparing everything with everything."""

from __future__ import annotations

from collections.abc import Sequence


def longest_run(query: Sequence[int], pieces: Sequence[Sequence[int]], begin: int) -> int:
    """Length of the longest run of `query` from `begin` on that stands in one of the pieces."""
    best = 0
    for piece in pieces:
        for there in range(len(piece)):
            length = 0
            while (
                begin + length < len(query)
                and there + length < len(piece)
                and query[begin + length] == piece[there + length]
            ):
                length += 1
            best = max(best, length)
    return best
