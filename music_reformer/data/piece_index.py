"""The index of a token store: a line of JSON per piece, read when it is asked for.

Of a million pieces the whole index would be half a gigabyte in each process of a training; what is kept in memory is
where each line begins and which split it is of, 9 bytes a piece.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from music_reformer.data.corpora.splits import SPLITS


@dataclass(frozen=True)
class Piece:
    """One piece of a store.

    Attributes:
        piece_id: place in the index.
        offset, length: where its tokens are in `tokens.bin`, BOS and EOS included.
        split: "train", "validation" or "test".
        source: its file, relative to the corpus.
        sha256: of the file.
        corpus: name of the corpus.
        composition: what must not be split: all pieces of one composition are in one split.
        num_notes, seconds, num_bars: of the whole piece.
    """

    piece_id: int
    offset: int
    length: int
    split: str
    source: str
    sha256: str
    corpus: str
    composition: str
    num_notes: int
    seconds: float
    num_bars: int


class PieceIndex(Sequence[Piece]):
    """Pieces in the order of the index, all of them or those of a split; use `PieceIndex.read`.

    Args:
        path: `index.jsonl`.
        begins: where the lines of these pieces begin in it, int64 [pieces].
        splits: of these pieces, places in `SPLITS`, int8 [pieces].
    """

    def __init__(self, path: Path, begins: NDArray[np.int64], splits: NDArray[np.int8]) -> None:
        self._path, self._begins, self._splits = path, begins, splits
        self._map: mmap.mmap | None = None

    @classmethod
    def read(cls, path: Path) -> PieceIndex:
        """Open an index, looking at every line once.

        Raises:
            OSError, ValueError, TypeError, KeyError: it is missing or damaged.
        """
        begins, splits, place = [], [], 0
        with open(path, "rb") as lines:
            for line in lines:
                begins.append(place)
                splits.append(SPLITS.index(Piece(**json.loads(line)).split))
                place += len(line)
        return cls(path, np.array(begins, dtype=np.int64), np.array(splits, dtype=np.int8))

    def of_split(self, name: str) -> PieceIndex:
        """Those of one split, one of `SPLITS`."""
        chosen = self._splits == SPLITS.index(name)
        return PieceIndex(self._path, self._begins[chosen], self._splits[chosen])

    def __len__(self) -> int:
        return len(self._begins)

    @overload
    def __getitem__(self, place: int) -> Piece: ...
    @overload
    def __getitem__(self, place: slice) -> list[Piece]: ...
    def __getitem__(self, place: int | slice) -> Piece | list[Piece]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        begin = int(self._begins[place])
        if self._map is None:
            with open(self._path, "rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        end = self._map.find(b"\n", begin)
        return Piece(**json.loads(self._map[begin : end if end >= 0 else None]))

    def __getstate__(self) -> dict[str, Any]:
        """Without the mapping, which each process makes for itself."""
        return {**self.__dict__, "_map": None}
