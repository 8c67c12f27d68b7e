"""A token store of a few made-up pieces, written as `music_reformer.data.prepare.midi` writes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from music_reformer.config import TokenizerConfig
from music_reformer.data.store import VERSION, Piece, TokenStore
from music_reformer.midi.tokenizer import MusicTokenizer


def write_store(
    folder: Path,
    *,
    num_pieces: int = 20,
    lengths: tuple[int, int] = (20, 300),
    config: TokenizerConfig | None = None,
    num_validation: int = 4,
    corpora: Sequence[str] = ("made up",),
) -> TokenStore:
    """Write pieces of random tokens, alternating between corpora; the first `num_validation` are for validation."""
    tokenizer = MusicTokenizer(config or TokenizerConfig())
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    pieces, parts, offset = [], [], 0
    for piece_id in range(num_pieces):
        # Low ids are frequent, so that there is something to learn; all ids occur.
        inner = 3 + (random.random(random.integers(*lengths)) ** 4 * (tokenizer.vocab_size - 3)).astype(int)
        tokens = np.array([tokenizer.bos_id, *inner, tokenizer.eos_id], dtype=np.uint16)
        pieces.append(
            Piece(
                piece_id=piece_id,
                offset=offset,
                length=len(tokens),
                split="validation" if piece_id < num_validation else "train",
                source=f"{piece_id}.mid",
                sha256="",
                corpus=corpora[piece_id % len(corpora)],
                composition=str(piece_id),
                num_notes=len(tokens) // 4 + 1,
                seconds=len(tokens) / 10,
                num_bars=1,
            )
        )
        parts.append(tokens)
        offset += len(tokens)
    (folder / "tokens.bin").write_bytes(np.concatenate(parts).tobytes())
    (folder / "index.jsonl").write_text("".join(json.dumps(asdict(piece)) + "\n" for piece in pieces))
    tokenizer.save(folder / "tokenizer.json")
    (folder / "skipped.jsonl").write_text("")
    (folder / "store.json").write_text(json.dumps({"version": VERSION, "num_tokens": offset}))
    return TokenStore.open(folder)
