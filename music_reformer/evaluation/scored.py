"""Losses of the pieces scored so far, on disk, so that an interrupted evaluation can resume."""

from __future__ import annotations

import hashlib
import io
import shutil
from pathlib import Path

import numpy as np

from music_reformer.data.store import Piece, TokenStore
from music_reformer.evaluation.likelihood import PieceLoss
from music_reformer.files import write_atomically

PARTIAL_FOLDER = "partial"


class ScoredPieces:
    """Losses on disk, one file per piece. Losses of other weights, rounds or data are ignored.

    Args:
        output: folder of the report; None: nothing is stored.
        weights: fingerprint of the weights.
        store: the store of the pieces.
        rounds: number of hash rounds.
    """

    def __init__(self, output: Path | None, weights: str, store: TokenStore, *, rounds: int) -> None:
        self.store = store
        self._key = f"{weights}/{rounds}/{store.tokenizer.fingerprint}"
        self._folder = output / PARTIAL_FOLDER if output is not None else None
        if self._folder is not None:
            self._folder.mkdir(exist_ok=True)

    def has(self, piece: Piece) -> bool:
        """Whether the loss of a piece is stored."""
        return self._folder is not None and self._path(piece).is_file()

    def get(self, piece: Piece) -> PieceLoss | None:
        """The stored loss of a piece; None if there is none."""
        if not self.has(piece):
            return None
        return PieceLoss(piece, np.load(self._path(piece)), self.store.tokens(piece)[1:].astype(np.int64))

    def add(self, loss: PieceLoss) -> None:
        """Store the loss of a piece."""
        if self._folder is not None:
            buffer = io.BytesIO()
            np.save(buffer, loss.nats)
            write_atomically(self._path(loss.piece), buffer.getvalue())

    @staticmethod
    def forget(output: Path) -> None:
        """Remove all stored losses, once the report is written."""
        shutil.rmtree(output / PARTIAL_FOLDER, ignore_errors=True)

    def _path(self, piece: Piece) -> Path:
        assert self._folder is not None
        tokens = self.store.tokens(piece).tobytes()
        return self._folder / f"{hashlib.sha256(self._key.encode() + tokens).hexdigest()[:24]}.npy"
