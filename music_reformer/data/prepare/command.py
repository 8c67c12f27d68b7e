"""A corpus of integers to a token store: `corpus=tokens` as they are, `corpus=chorales` as pitches.

A sequence is a piece; the store is what `prepare` makes of MIDI, so that training and evaluation take it as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from music_reformer.config import CorpusConfig, PrepareConfig, require
from music_reformer.data.integer_tokenizer import MAX_VALUES, IntegerTokenizer
from music_reformer.data.piece_index import Piece
from music_reformer.data.prepare import midi as midi
from music_reformer.data.prepare.sequences import NOTHING, UNSPLIT, Frames, read_sequences
from music_reformer.data.store import VERSION, TokenStore
from music_reformer.errors import UserError

# Voices of a chorale: soprano, alto, tenor, bass.
VOICES = 4


def prepare(config: PrepareConfig, *, progress: bool = True) -> TokenStore:
    """Prepare a corpus of either kind: MIDI files, or a file of integers.

    Args:
        config: what to prepare, how, and where to.
        progress: say at the end what there is; of MIDI, show a bar.

    Raises:
        UserError: the corpus cannot be used, or the output holds something else.
    """
    if config.corpus.kind == "midi":
        return midi.prepare(config, progress=progress)
    path = config.corpus.path
    if path is None:
        raise UserError(f"corpus={config.corpus.name} needs corpus.path=FILE: there is nothing to download")
    splits = read_sequences(path, padding=config.corpus.padding)
    tokenizer, tokens = _chorales(splits) if config.corpus.kind == "chorales" else _integers(splits)
    output = midi.output_folder(config)
    require(
        not output.exists() or (output.is_dir() and not any(output.iterdir())),
        f"output ({output}) is there already; choose another output or remove it",
    )
    _write_store(output, config.corpus, tokenizer, tokens)
    store = TokenStore.open(output)
    counts = ", ".join(f"{number:,} {split}" for split, number in store.info["num_pieces"].items())
    Console(quiet=not progress, highlight=False, soft_wrap=True).print(
        f"{output}: {len(store.pieces):,} sequences ({counts}), {store.info['num_tokens']:,} tokens, "
        f"{store.tokenizer.vocab_size:,} different ones"
    )
    return store


def _integers(splits: dict[str, list[Frames]]) -> tuple[IntegerTokenizer, dict[str, list[NDArray[np.int64]]]]:
    """Values as they are: value i is token i + 3."""
    largest = max(int(frames.max()) for sequences in splits.values() for frames in sequences if frames.size)
    require(largest < MAX_VALUES, f"the corpus holds the value {largest}; values must be 0 to {MAX_VALUES - 1}")
    for name, sequences in splits.items():
        for number, frames in enumerate(sequences):
            require(
                not (frames == NOTHING).any(),
                f"{name}, sequence {number} has padding before its end; corpus.padding must be a value of its own",
            )
    tokenizer = IntegerTokenizer([f"Value_{value}" for value in range(largest + 1)])
    return tokenizer, {name: [frames.ravel() for frames in sequences] for name, sequences in splits.items()}


def _chorales(splits: dict[str, list[Frames]]) -> tuple[IntegerTokenizer, dict[str, list[NDArray[np.int64]]]]:
    """Frames of four voices on the 16th grid, in raster order: soprano, alto, tenor, bass, then the next frame.

    The benchmark of Music Transformer (arXiv 1809.04281, section 4.1) and Coconet (ISMIR 2017). A voice that rests is
    a token of its own.
    """
    for name, sequences in splits.items():
        for number, frames in enumerate(sequences):
            require(
                not frames.size or (frames.shape[1] == VOICES and frames.max() < 128),
                f"{name}, sequence {number} is no chorale: it must be frames of {VOICES} MIDI pitches (0 to 127)",
            )
    tokenizer = IntegerTokenizer(["Rest_0", *(f"Pitch_{pitch}" for pitch in range(128))])
    # NOTHING, a rest, is value 0; a pitch is one more than its number.
    return tokenizer, {name: [frames.ravel() + 1 for frames in sequences] for name, sequences in splits.items()}


def _write_store(
    output: Path, corpus: CorpusConfig, tokenizer: IntegerTokenizer, splits: dict[str, list[NDArray[np.int64]]]
) -> None:
    """Write a store under another name, then rename it."""
    pieces: list[Piece] = []
    parts: list[NDArray[np.uint16]] = []
    for name, sequences in splits.items():
        for number, values in enumerate(sequences):
            if not len(values):
                continue
            tokens = np.array([tokenizer.bos_id, *(values + 3), tokenizer.eos_id], dtype=np.uint16)
            digest = hashlib.sha256(tokens.tobytes()).hexdigest()
            pieces.append(
                Piece(
                    piece_id=len(pieces),
                    offset=sum(map(len, parts[-1:])) + (pieces[-1].offset if pieces else 0),
                    length=len(tokens),
                    split=_split(digest, corpus) if name == UNSPLIT else name,
                    source=f"{name}/{number}",
                    sha256=digest,
                    corpus=corpus.name,
                    composition=digest,
                    num_notes=0,
                    seconds=0.0,
                    num_bars=0,
                )
            )
            parts.append(tokens)
    info = {
        "version": VERSION,
        "corpus": corpus.name,
        "tokenizer": tokenizer.fingerprint,
        "num_tokens": sum(map(len, parts)),
        "num_pieces": dict(sorted(Counter(piece.split for piece in pieces).items())),
        "num_skipped": 0,
        "settings": {"corpus": asdict(corpus)},
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}."))
    try:
        np.concatenate(parts).tofile(folder / "tokens.bin")
        (folder / "index.jsonl").write_text("".join(json.dumps(asdict(piece)) + "\n" for piece in pieces))
        (folder / "skipped.jsonl").write_text("")
        tokenizer.save(folder / "tokenizer.json")
        (folder / "store.json").write_text(json.dumps(info, indent=1) + "\n")
        os.chmod(folder, 0o755)
        os.replace(folder, output)  # takes the place of an empty folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _split(digest: str, corpus: CorpusConfig) -> str:
    """By the hash of the sequence: the same sequence is in the same split, and adding some moves none."""
    fraction = int(digest[:16], 16) / 2**64
    if fraction < corpus.test_fraction:
        return "test"
    return "validation" if fraction < corpus.test_fraction + corpus.validation_fraction else "train"
