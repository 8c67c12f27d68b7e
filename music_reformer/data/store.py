"""The token store: a prepared corpus, memory-mapped.

A store is a folder with `tokens.bin` (uint16, all pieces one after another, with BOS and EOS), `index.jsonl` (one line
per piece), `tokenizer.json`, `skipped.jsonl` (one line per skipped file, with the reason) and `store.json`, which is
written last: a folder without it is unfinished.

The index is read line by line on demand. Of a million pieces the whole index would take half a gigabyte in each process
of a training; `PieceIndex` keeps the offset of each line, its split, corpus and length, 19 bytes per piece.
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
from music_reformer.files import read_json
from music_reformer.midi.tokenizer import MusicTokenizer

VERSION = 1
CHUNK = 2**24  # tokens looked at in one go
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

    @classmethod
    def from_line(cls, line: bytes) -> Piece:
        """The piece that a line of the index describes.

        Raises:
            ValueError, TypeError: it is damaged.
        """
        content = json.loads(line)
        piece = cls(**content)
        for name, kinds in TYPES.items():
            value = content[name]
            in_bounds = type(value) in kinds and (
                len(value) <= LONGEST_TEXT if isinstance(value, str) else 0 <= value < LARGEST
            )
            if not in_bounds:
                raise ValueError(f"a piece has an invalid {name}: {str(value)[:40]}")
        return piece


LARGEST = 2**53
LONGEST_TEXT = 10_000
MOST_CORPORA = 10_000
LONGEST_LINE = 100_000  # bytes
TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("piece_id", "offset", "length", "num_notes", "num_bars"), (int,)),
    **dict.fromkeys(("split", "source", "sha256", "corpus", "composition"), (str,)),
    "seconds": (int, float),
}


class PieceIndex(Sequence[Piece]):
    """The pieces of a store, or of one of its splits, in the order of the index. Open one with `PieceIndex.read`.

    Args:
        path: `index.jsonl`.
        begins: offset of each piece's line in the file, int64 [pieces].
        splits: index of each piece's split in `SPLITS`, int8 [pieces].
        corpora: names of the corpora.
        corpus_of: index of each piece's corpus in `corpora`, int16 [pieces].
        lengths: tokens of each piece, int64 [pieces].
    """

    def __init__(
        self,
        path: Path,
        begins: NDArray[np.int64],
        splits: NDArray[np.int8],
        *,
        corpora: Sequence[str],
        corpus_of: NDArray[np.int16],
        lengths: NDArray[np.int64],
    ) -> None:
        self._path, self._begins, self._splits = path, begins, splits
        self.corpora, self.corpus_of, self.lengths = corpora, corpus_of, lengths
        self._map: mmap.mmap | None = None

    @classmethod
    def read(cls, path: Path, *, num_tokens: int) -> PieceIndex:
        """Open an index; every line is parsed once.

        Args:
            path: `index.jsonl`.
            num_tokens: of the store; the pieces must lie within them, one after the other.

        Raises:
            OSError, ValueError, TypeError, KeyError: it is missing or damaged.
        """
        begins: list[int] = []
        splits: list[int] = []
        corpora: dict[str, int] = {}
        corpus_of: list[int] = []
        lengths: list[int] = []
        place = end = 0
        with open(path, "rb") as lines:
            while line := lines.readline(LONGEST_LINE):
                piece = Piece.from_line(line)
                if piece.piece_id != len(begins) or piece.offset < end or piece.offset + piece.length > num_tokens:
                    raise ValueError(f"piece {len(begins)} is not where the index says")
                end = piece.offset + piece.length
                begins.append(place)
                splits.append(SPLITS.index(piece.split))
                corpus_of.append(corpora.setdefault(piece.corpus, len(corpora)))
                lengths.append(piece.length)
                place += len(line)
        if len(corpora) > MOST_CORPORA:
            raise ValueError(f"more than {MOST_CORPORA:,} corpora")
        return cls(
            path,
            np.array(begins, dtype=np.int64),
            np.array(splits, dtype=np.int8),
            corpora=tuple(corpora),
            corpus_of=np.array(corpus_of, dtype=np.int16),
            lengths=np.array(lengths, dtype=np.int64),
        )

    def of_split(self, name: str) -> PieceIndex:
        """The pieces of one of `SPLITS`."""
        chosen = self._splits == SPLITS.index(name)
        return PieceIndex(
            self._path,
            self._begins[chosen],
            self._splits[chosen],
            corpora=self.corpora,
            corpus_of=self.corpus_of[chosen],
            lengths=self.lengths[chosen],
        )

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
        return Piece.from_line(self._map[begin : end if end >= 0 else None])

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
            info = read_json(path / "store.json")
            version, num_tokens = info["version"], info["num_tokens"]
            if type(num_tokens) is not int or num_tokens < 0:
                raise ValueError("num_tokens is not a count")
            if type(version) is not int or version != VERSION:
                shown = str(version)[:20]
                raise UserError(f"{path} was prepared by version {shown} of the format, not {VERSION}; {REMEDY}")
            size, expected = (path / "tokens.bin").stat().st_size, 2 * num_tokens
            if size != expected:
                raise UserError(f"{path}/tokens.bin has {size} bytes instead of {expected}; {REMEDY}")
            pieces = PieceIndex.read(path / "index.jsonl", num_tokens=num_tokens)
        except UserError:
            raise
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise UserError(f"the prepared data in {path} is damaged ({str(error)[:200]}); {REMEDY}") from error
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
        if not self.info["num_tokens"]:
            return np.zeros(0, dtype=np.uint16)  # an empty file cannot be mapped
        tokens = np.memmap(self.path / "tokens.bin", dtype=np.uint16, mode="r")
        largest = max(int(tokens[begin : begin + CHUNK].max()) for begin in range(0, len(tokens), CHUNK))
        if largest >= self.tokenizer.vocab_size:
            raise UserError(
                f"{self.path}/tokens.bin holds token {largest}, and its tokenizer has {self.tokenizer.vocab_size}; "
                f"{REMEDY}"
            )
        return tokens

    def split(self, name: str) -> PieceIndex:
        """The pieces of one split, in the order of the index."""
        if name not in SPLITS:
            raise UserError(f"split ({name!r}) must be one of {', '.join(SPLITS)}")
        return self.pieces.of_split(name)

    def tokens(self, piece: Piece) -> NDArray[np.uint16]:
        """BOS, the piece, EOS: a read-only view of the file, uint16 [length]."""
        return self._tokens[piece.offset : piece.offset + piece.length]
