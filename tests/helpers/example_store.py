"""A token store of the page's examples: real music of our own, with passages that can be copied."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import symusic

from music_reformer.config import TokenizerConfig
from music_reformer.data.store import VERSION, Piece, TokenStore
from music_reformer.midi.examples import EXAMPLES
from music_reformer.midi.tokenizer import MusicTokenizer

KEYS = (-2, 0, 3)  # semitones by which each example is moved


def example(name: str, semitones: int) -> symusic.Score:
    score = EXAMPLES[name].score()
    for track in score.tracks:
        if not track.is_drum:
            track.shift_pitch(semitones, inplace=True)
    return score


def write_example_store(folder: Path, *, config: TokenizerConfig | None = None) -> TokenStore:
    """Every example in three keys; the last example is held out."""
    folder.mkdir()
    tokenizer = MusicTokenizer(config or TokenizerConfig())
    pieces: list[Piece] = []
    parts, offset = [], 0
    for name in EXAMPLES:
        for semitones in KEYS:
            score = example(name, semitones)
            tokens = np.array([tokenizer.bos_id, *tokenizer.encode(score), tokenizer.eos_id], dtype=np.uint16)
            split = "validation" if name == list(EXAMPLES)[-1] else "train"
            source = f"{name}{semitones}.mid"
            about: dict[str, Any] = {"num_notes": score.note_num(), "seconds": 30.0, "num_bars": 8}
            pieces.append(Piece(len(pieces), offset, len(tokens), split, source, "", "made up", name, **about))
            parts.append(tokens)
            offset += len(tokens)
    (folder / "tokens.bin").write_bytes(np.concatenate(parts).tobytes())
    (folder / "index.jsonl").write_text("".join(json.dumps(asdict(piece)) + "\n" for piece in pieces))
    tokenizer.save(folder / "tokenizer.json")
    (folder / "store.json").write_text(json.dumps({"version": VERSION, "num_tokens": offset}))
    return TokenStore.open(folder)
