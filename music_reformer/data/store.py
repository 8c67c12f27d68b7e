"""The token store: a prepared corpus, memory-mapped.

A store is a folder with `tokens.bin` (uint16, all pieces one after another, with BOS and EOS), `index.jsonl` (one line
per piece), `tokenizer.json`, `skipped.jsonl` (one line per skipped file, with the reason) and `store.json`, which is
written last: a folder without it is unfinished.

The index is read line by line on demand. Of a million pieces the whole index would take half a gigabyte in each process
of a training; `PieceIndex` keeps the offset of each line and its split, 9 bytes per piece.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from music_reformer.config import SPLITS
from music_reformer.data.integer_tokenizer import Tokenizer, load_tokenizer
from music_reformer.errors import UserError
from music_reformer.midi.tokenizer import MusicTokenizer

VERSION = 1
REMEDY = "remove that folder and prepare it again"


@dataclass(frozen=True)
class Piece:
    """One piece of a store.

    Attributes:
        piece_id: its number in the index.
        offset, length: position of its tokens in `tokens.bin`, with BOS and EOS.
        split: "train", "validation" or "test".
        source: path of its file, relative to the corpus.
        sha256: of the file.
        corpus: name of the corpus.
        composition: name of the composition. All pieces of a composition are in the same split.
        num_notes, seconds, num_bars: size of the whole piece.
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
    """The pieces of a store, or of one of its splits, in the order of the index. Open one with `PieceIndex.read`.

    Args:
        path: `index.jsonl`.
        begins: offset of each piece's line in the file, int64 [pieces].
        splits: index of each piece's split in `SPLITS`, int8 [pieces].
    """

    def __init__(self, path: Path, begins: NDArray[np.int64], splits: NDArray[np.int8]) -> None:
        self._path, self._begins, self._splits = path, begins, splits
        self._map: mmap.mmap | None = None

    @classmethod
    def read(cls, path: Path) -> PieceIndex:
        """Open an index; every line is parsed once.

        Raises:
            OSError, ValueError, TypeError, KeyError: the file is missing or damaged.
        """
        begins, splits, place = [], [], 0
        with open(path, "rb") as lines:
            for line in lines:
                begins.append(place)
                splits.append(SPLITS.index(Piece(**json.loads(line)).split))
                place += len(line)
        return cls(path, np.array(begins, dtype=np.int64), np.array(splits, dtype=np.int8))

    def of_split(self, name: str) -> PieceIndex:
        """The pieces of one of `SPLITS`."""
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
        """The state without the memory map, which each process opens for itself."""
        return {**self.__dict__, "_map": None}


class TokenStore:
    """A finished store. Open one with `TokenStore.open`.

    Args:
        path: the folder.
        info: content of `store.json`.
        pieces: the index.
    """

    def __init__(self, *, path: Path, info: dict[str, Any], pieces: PieceIndex) -> None:
        self.path, self.info, self.pieces = path, info, pieces

    @classmethod
    def open(cls, path: str | Path) -> TokenStore:
        """Open a store.

        Raises:
            UserError: the folder holds no store, or one that is unfinished, damaged, or of another version.
        """
        path = Path(path)
        if not (path / "store.json").is_file():
            what = (
                "is not finished; run the same `music-reformer prepare` again"
                if (path / "partial").is_dir()
                else ("holds no prepared data; make it with `music-reformer prepare`")
            )
            raise UserError(f"{path} {what}")
        try:
            info = json.loads((path / "store.json").read_text())
            pieces = PieceIndex.read(path / "index.jsonl")
            size = (path / "tokens.bin").stat().st_size
            version, expected = info["version"], 2 * info["num_tokens"]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"the prepared data in {path} is damaged ({error}); {REMEDY}") from error
        if version != VERSION:
            raise UserError(f"{path} was prepared by version {version} of the format, not {VERSION}; {REMEDY}")
        if size != expected:
            raise UserError(f"{path}/tokens.bin has {size} bytes instead of {expected}; {REMEDY}")
        return cls(path=path, info=info, pieces=pieces)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that made the tokens, of music or of integers."""
        return load_tokenizer(self.path / "tokenizer.json")

    @property
    def music_tokenizer(self) -> MusicTokenizer:
        """The tokenizer of a store of music.

        Raises:
            UserError: the store holds plain integers.
        """
        if isinstance(self.tokenizer, MusicTokenizer):
            return self.tokenizer
        raise UserError(f"{self.path} holds integers, not music; name a store that was prepared from MIDI files")

    @cached_property
    def _tokens(self) -> NDArray[np.uint16]:
        return np.memmap(self.path / "tokens.bin", dtype=np.uint16, mode="r")

    def split(self, name: str) -> PieceIndex:
        """The pieces of one split, in the order of the index."""
        if name not in SPLITS:
            raise UserError(f"split ({name!r}) must be one of {', '.join(SPLITS)}")
        return self.pieces.of_split(name)

    def tokens(self, piece: Piece) -> NDArray[np.uint16]:
        """BOS, the piece, EOS: a read-only view of the file, uint16 [length]."""
        return self._tokens[piece.offset : piece.offset + piece.length]
