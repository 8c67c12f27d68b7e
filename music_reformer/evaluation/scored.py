"""Pieces that were scored before an evaluation was stopped, so that it goes on where it was."""

from __future__ import annotations

import hashlib
import io
import shutil
from pathlib import Path

import numpy as np

from music_reformer.data.piece_index import Piece
from music_reformer.data.store import TokenStore
from music_reformer.evaluation.likelihood import PieceLoss
from music_reformer.midi.score import write_atomically

FOLDER = "partial"


class ScoredPieces:
    """Losses on disk, a file a piece; those of other weights, rounds or data are not seen.

    Args:
        output: folder of the report; None: nothing is kept.
        weights: fingerprint of the weights.
        store: has the pieces.
        rounds: hash rounds in use.
    """

    def __init__(self, output: Path | None, weights: str, store: TokenStore, *, rounds: int) -> None:
        self.store = store
        self._key = f"{weights}/{rounds}/{store.tokenizer.fingerprint}"
        self._folder = output / FOLDER if output is not None else None
        if self._folder is not None:
            self._folder.mkdir(exist_ok=True)

    def has(self, piece: Piece) -> bool:
        """Whether `get` would give it."""
        return self._folder is not None and self._path(piece).is_file()

    def get(self, piece: Piece) -> PieceLoss | None:
        """What was kept of a piece, or None."""
        if not self.has(piece):
            return None
        return PieceLoss(piece, np.load(self._path(piece)), self.store.tokens(piece)[1:].astype(np.int64))

    def add(self, loss: PieceLoss) -> None:
        """Keep a piece."""
        if self._folder is not None:
            buffer = io.BytesIO()
            np.save(buffer, loss.nats)
            write_atomically(self._path(loss.piece), buffer.getvalue())

    @staticmethod
    def forget(output: Path) -> None:
        """Remove all that was kept, once the report is written."""
        shutil.rmtree(output / FOLDER, ignore_errors=True)

    def _path(self, piece: Piece) -> Path:
        assert self._folder is not None
        tokens = self.store.tokens(piece).tobytes()
        return self._folder / f"{hashlib.sha256(self._key.encode() + tokens).hexdigest()[:24]}.npy"
