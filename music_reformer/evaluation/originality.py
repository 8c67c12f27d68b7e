"""The longest passage of a piece that stands, in some key, in the training set.

Shapes: N symbols of a piece, T symbols of the training set, Q places of a query.

A piece is a sequence of notes by onset, then pitch, drums left out. Between two notes lies a symbol: the interval and
the time from onset to onset on the grid. So an n-gram of notes is the same in every key, at every tempo, for every
instrument and whatever its dynamics and lengths; a copy must have all of its notes, and no other between them.

A suffix array over the training set (Manber and Myers, 1993) finds for every place of a piece the longest run of
symbols that stands anywhere in it, by binary search for all places at once. The tests hold it against brute force.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from music_reformer.evaluation.notes import Notes

# Longer gaps between onsets, in steps of the grid, count as this.
MAX_GAP = 255
_NUM_INTERVALS = 256
_STEPS_PER_SECOND = 20
# Ends a piece in the training set; no query holds it, so no match runs from a piece into the next.
_END = 0

Symbols = NDArray[np.int64]


@dataclass(frozen=True)
class Copy:
    """The longest n-gram of a piece that stands in the training set.

    Attributes:
        num_notes: its notes; 1 if no two neighbours of the piece stand there, 0 if the piece has no notes.
        begin: its first note in the piece, by onset, then pitch, drums left out.
        piece: number of the training piece, -1 where there is none.
        begin_there: its first note in that piece.
    """

    num_notes: int
    begin: int
    piece: int
    begin_there: int


def symbols(notes: Notes, *, steps_per_beat: int | None) -> Symbols:
    """A piece as intervals and gaps, [its notes - 1]; notes that coincide in onset and pitch are one.

    Args:
        notes: drums among them are left out.
        steps_per_beat: of the grid to which onsets are rounded; None: steps of 50 ms, for music without a beat.
    """
    place, _ = _places(notes, steps_per_beat)
    gap = np.minimum(np.diff(place // 128), MAX_GAP)
    return 1 + gap * _NUM_INTERVALS + np.diff(place % 128) + _NUM_INTERVALS // 2


def onsets_s(notes: Notes, *, steps_per_beat: int | None) -> NDArray[np.float64]:
    """Seconds at which the notes that `symbols` lies between begin: where a `Copy` is in the music."""
    _, onset_s = _places(notes, steps_per_beat)
    return onset_s


def _places(notes: Notes, steps_per_beat: int | None) -> tuple[Symbols, NDArray[np.float64]]:
    """128 x step + pitch of the notes, rising, and the seconds at which they begin."""
    melodic = notes.where(~notes.drum)
    time = melodic.onset_s * _STEPS_PER_SECOND if steps_per_beat is None else melodic.onset_beats * steps_per_beat
    place, first = np.unique(np.rint(time).astype(np.int64) * 128 + melodic.pitch, return_index=True)
    return place, melodic.onset_s[first]


class TrainingIndex:
    """A suffix array over pieces; one of POP909's training set (1.3 million notes) takes some seconds and 60 MB.

    Args:
        pieces: `symbols` of every training piece.
    """

    def __init__(self, pieces: Sequence[Symbols]) -> None:
        parts = [part for piece in pieces for part in (piece, [_END])]
        self._text_T = np.concatenate([*parts, [_END]]).astype(np.int32)
        self._begins = np.cumsum([0] + [len(piece) + 1 for piece in pieces])
        self._suffixes_T = suffix_array(self._text_T)

    def copied(self, query_N: Symbols) -> tuple[Symbols, Symbols]:
        """For every place of a piece, the longest run of symbols from there on that stands in the training set.

        Returns:
            Its length in symbols, [N]; and where in the training set it begins, [N].
        """
        num_places = len(query_N)
        query = np.append(query_N, -1).astype(np.int32)  # -1 ends it: no such symbol
        low, high = np.zeros(num_places, dtype=np.int64), np.full(num_places, len(self._suffixes_T))
        best, where = np.zeros(num_places, dtype=np.int64), np.zeros(num_places, dtype=np.int64)
        # Every suffix that binary search meets is compared, and the neighbours of the insertion point, of which one has
        # the longest common prefix, are among them.
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
        """The longest of `copied`; the first of several.

        Args:
            query_N: `symbols` of a piece.
            num_notes: of the piece; None: one more than its symbols.
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
        """Length of the common prefix of the query from each place and the training set from each suffix, [Q]."""
        length_Q = np.zeros(len(place_Q), dtype=np.int64)
        going = np.arange(len(place_Q))
        while going.size:
            same = query[place_Q[going] + length_Q[going]] == self._text_T[suffix_Q[going] + length_Q[going]]
            going = going[same]
            length_Q[going] += 1
        return length_Q


def suffix_array(text_T: NDArray[np.int32]) -> Symbols:
    """Beginnings of all suffixes in lexicographic order, [T], by doubling the length at which they are told apart."""
    size = len(text_T)
    rank = np.unique(text_T, return_inverse=True)[1].astype(np.int64)
    length = 1
    while True:
        # A suffix that ends within `length` comes before all that go on.
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
