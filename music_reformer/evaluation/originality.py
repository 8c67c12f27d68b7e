"""Finds the longest passage of a piece that occurs, in any key, in the training set.

Shapes: N symbols of a piece, T symbols of the training set, Q indices into a query.

A piece is the sequence of its notes without drums, sorted by onset, then pitch. Each pair of successive notes gives a
symbol: the interval, and the time between the onsets on the grid. So an n-gram of notes is the same in every key, at
every tempo, and for any instruments, dynamics and lengths. A copy must have all of its notes and no others between
them.

A suffix array over the training set (Manber and Myers, 1993) gives, for each index of a piece, the longest run of
symbols that occurs anywhere in the training set, by binary search for all indices at once. The tests compare with brute
force.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from music_reformer.evaluation.notes import Notes

# Longer gaps between onsets, in steps of the grid, are clipped to this.
MAX_GAP = 255
_NUM_INTERVALS = 256
_STEPS_PER_SECOND = 20
# Terminates each training piece. Queries do not contain it, so no match runs into the next piece.
_END = 0

Symbols = NDArray[np.int64]


@dataclass(frozen=True)
class Copy:
    """The longest n-gram of a piece that occurs in the training set.

    Attributes:
        num_notes: its length in notes; 1 if no pair of successive notes occurs there, 0 if the piece has no notes.
        begin: index of its first note in the piece.
        piece: number of the training piece; -1 if there is none.
        begin_there: index of its first note in the training piece.
    """

    num_notes: int
    begin: int
    piece: int
    begin_there: int


def symbols(notes: Notes, *, steps_per_beat: int | None) -> Symbols:
    """A piece as intervals and gaps, [notes - 1]. Notes of equal onset and pitch count once.

    Args:
        notes: of the piece; drums are ignored.
        steps_per_beat: grid to which onsets are rounded; None: steps of 50 ms, for music without beats.
    """
    place, _ = _places(notes, steps_per_beat)
    gap = np.minimum(np.diff(place // 128), MAX_GAP)
    return 1 + gap * _NUM_INTERVALS + np.diff(place % 128) + _NUM_INTERVALS // 2


def onsets_s(notes: Notes, *, steps_per_beat: int | None) -> NDArray[np.float64]:
    """Onsets in seconds of the notes that `symbols` counts, to locate a `Copy` in the music."""
    _, onset_s = _places(notes, steps_per_beat)
    return onset_s


def _places(notes: Notes, steps_per_beat: int | None) -> tuple[Symbols, NDArray[np.float64]]:
    """128 x step + pitch of the notes, ascending, and their onsets in seconds."""
    melodic = notes.where(~notes.drum)
    time = melodic.onset_s * _STEPS_PER_SECOND if steps_per_beat is None else melodic.onset_beats * steps_per_beat
    place, first = np.unique(np.rint(time).astype(np.int64) * 128 + melodic.pitch, return_index=True)
    return place, melodic.onset_s[first]


class TrainingIndex:
    """A suffix array over the training pieces. For POP909 (1.3 million notes) it takes some seconds and 60 MB.

    Args:
        pieces: `symbols` of each training piece.
    """

    def __init__(self, pieces: Sequence[Symbols]) -> None:
        parts = [part for piece in pieces for part in (piece, [_END])]
        self._text_T = np.concatenate([*parts, [_END]]).astype(np.int32)
        self._begins = np.cumsum([0] + [len(piece) + 1 for piece in pieces])
        self._suffixes_T = suffix_array(self._text_T)

    def copied(self, query_N: Symbols) -> tuple[Symbols, Symbols]:
        """For each index of a piece, the longest run of symbols from there on that occurs in the training set.

        Returns:
            Its length in symbols, [N], and its index in the training set, [N].
        """
        num_places = len(query_N)
        query = np.append(query_N, -1).astype(np.int32)  # -1 terminates the query: it is not a symbol
        low, high = np.zeros(num_places, dtype=np.int64), np.full(num_places, len(self._suffixes_T))
        best, where = np.zeros(num_places, dtype=np.int64), np.zeros(num_places, dtype=np.int64)
        # Binary search compares the query with the neighbours of its insertion point, and one of them has the longest
        # common prefix.
        while (going := np.flatnonzero(low < high)).size:
            middle = (low[going] + high[going]) // 2
            suffix = self._suffixes_T[middle]
            common = self._common(query, going, suffix)
            longer = common > best[going]
            best[going[longer]], where[going[longer]] = common[longer], suffix[longer]
            less = self._text_T[suffix + common] < query[going + common]
            low[going[less]] = middle[less] + 1
            high[going[~less]] = middle[~less]
        return best, where

    def longest(self, query_N: Symbols, *, num_notes: int | None = None) -> Copy:
        """The longest run of `copied`; the first if there are several.

        Args:
            query_N: `symbols` of a piece.
            num_notes: notes of the piece; None: one more than its symbols.
        """
        if len(query_N) == 0:
            return Copy(num_notes=min(1, num_notes or 0), begin=0, piece=-1, begin_there=0)
        length_N, where_N = self.copied(query_N)
        begin = int(length_N.argmax())
        if length_N[begin] == 0:
            return Copy(num_notes=1, begin=begin, piece=-1, begin_there=0)
        piece = int(np.searchsorted(self._begins, where_N[begin], side="right")) - 1
        there = int(where_N[begin] - self._begins[piece])
        return Copy(num_notes=int(length_N[begin]) + 1, begin=begin, piece=piece, begin_there=there)

    def _common(self, query: NDArray[np.int32], place_Q: Symbols, suffix_Q: Symbols) -> Symbols:
        """Length of the common prefix of the query from each index on and of each suffix, [Q]."""
        length_Q = np.zeros(len(place_Q), dtype=np.int64)
        going = np.arange(len(place_Q))
        while going.size:
            same = query[place_Q[going] + length_Q[going]] == self._text_T[suffix_Q[going] + length_Q[going]]
            going = going[same]
            length_Q[going] += 1
        return length_Q


def suffix_array(text_T: NDArray[np.int32]) -> Symbols:
    """Indices of all suffixes in lexicographic order, [T], by prefix doubling."""
    size = len(text_T)
    rank = np.unique(text_T, return_inverse=True)[1].astype(np.int64)
    length = 1
    while True:
        # A suffix that ends within `length` comes before those that continue.
        following = np.zeros(size, dtype=np.int64)
        following[: max(0, size - length)] = rank[length:] + 1
        key = rank * (size + 1) + following
        order = np.argsort(key, kind="stable")
        ordered = key[order]
        new_rank = np.concatenate([[0], np.cumsum(ordered[1:] != ordered[:-1])])
        rank[order] = new_rank
        if new_rank[-1] == size - 1 or length >= size:
            return order
        length *= 2
