"""The token store: a prepared corpus, memory-mapped.

A folder with `tokens.bin` (uint16, all pieces one after another, BOS and EOS included), `index.jsonl` (a line per
piece), `tokenizer.json`, `skipped.jsonl` (a line per file left out, with the reason) and `store.json`, which is written
last: a folder without it is not finished.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from music_reformer.data.corpora.splits import SPLITS
from music_reformer.data.integer_tokenizer import Tokenizer, load_tokenizer
from music_reformer.data.piece_index import Piece, PieceIndex
from music_reformer.errors import UserError
from music_reformer.midi.tokenizer import MusicTokenizer

VERSION = 1
REMEDY = "remove that folder and prepare it again"


class TokenStore:
    """A finished store; use `TokenStore.open`.

    Args:
        path: its folder.
        info: content of `store.json`.
        pieces: the index.
    """

    def __init__(self, *, path: Path, info: dict[str, Any], pieces: PieceIndex) -> None:
        self.path, self.info, self.pieces = path, info, pieces

    @classmethod
    def open(cls, path: str | Path) -> TokenStore:
        """Open a store.

        Raises:
            UserError: there is none, it is unfinished, damaged, or of another version.
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
        """The tokenizer that made the tokens; of music, or of integers."""
        return load_tokenizer(self.path / "tokenizer.json")

    @property
    def music_tokenizer(self) -> MusicTokenizer:
        """The same, where the tokens are music.

        Raises:
            UserError: they are plain integers.
        """
        if isinstance(self.tokenizer, MusicTokenizer):
            return self.tokenizer
        raise UserError(f"{self.path} holds integers, no music; name a store of MIDI files")

    @cached_property
    def _tokens(self) -> NDArray[np.uint16]:
        return np.memmap(self.path / "tokens.bin", dtype=np.uint16, mode="r")

    def split(self, name: str) -> PieceIndex:
        """Pieces of one split, in the order of the index."""
        if name not in SPLITS:
            raise UserError(f"split ({name!r}) must be one of {', '.join(SPLITS)}")
        return self.pieces.of_split(name)

    def tokens(self, piece: Piece) -> NDArray[np.uint16]:
        """BOS, the piece, EOS; a read-only view of the file, uint16 [length]."""
        return self._tokens[piece.offset : piece.offset + piece.length]
