"""Sequences of integers to a token store: `corpus=tokens` as they are, `corpus=chorales` as pitches.

A file (JSON, JSON lines, text or npz) holds splits ("train", "valid" or "validation", "test"), each a list of
sequences, or one list without splits. A sequence is a list of integers, or of frames: lists of equally many integers,
which are read in raster order, frame after frame. Each sequence becomes a piece of the store, which has the same format
as a store of MIDI, so that training and evaluation need no other code.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from music_reformer.config import CorpusConfig, PrepareConfig, require
from music_reformer.data.integer_tokenizer import MAX_VALUES, IntegerTokenizer
from music_reformer.data.store import VERSION, Piece, TokenStore
from music_reformer.errors import UserError
from music_reformer.files import replacing_folder, write_json

# A rest or padding: NaN in the file, or the value that `corpus.padding` names.
NOTHING = -1
UNSPLIT = "all"
# Voices of a chorale: soprano, alto, tenor, bass.
VOICES = 4
_SPLITS = {"train": "train", "valid": "validation", "validation": "validation", "val": "validation", "test": "test"}

# [frames, voices]; a plain sequence has one voice.
Frames = NDArray[np.int64]


def prepare_sequences(config: PrepareConfig, output: Path, *, progress: bool) -> TokenStore:
    """Write the sequences of `config.corpus.path` to a store.

    Args:
        config: what to prepare.
        output: the folder to write; must not exist or be empty.
        progress: whether to print a summary.

    Raises:
        UserError: the file cannot be used, or the output folder holds something.
    """
    path = config.corpus.path
    if path is None:
        raise UserError(f"corpus={config.corpus.name} needs corpus.path=FILE: there is nothing to download")
    splits = read_sequences(path, padding=config.corpus.padding)
    tokenizer, tokens = _chorales(splits) if config.corpus.kind == "chorales" else _integers(splits)
    require(
        not output.exists() or (output.is_dir() and not any(output.iterdir())),
        f"output ({output}) exists already; choose another output or remove it",
    )
    _write_store(output, config.corpus, tokenizer, tokens)
    store = TokenStore.open(output)
    counts = ", ".join(f"{number:,} {split}" for split, number in store.info["num_pieces"].items())
    Console(quiet=not progress, highlight=False, soft_wrap=True).print(
        f"{output}: {len(store.pieces):,} sequences ({counts}), {store.info['num_tokens']:,} tokens, "
        f"vocabulary of {store.tokenizer.vocab_size:,}"
    )
    return store


def _integers(splits: dict[str, list[Frames]]) -> tuple[IntegerTokenizer, dict[str, list[NDArray[np.int64]]]]:
    """The values unchanged: value i is token i + 3."""
    largest = max(int(frames.max()) for sequences in splits.values() for frames in sequences if frames.size)
    require(largest < MAX_VALUES, f"the corpus holds the value {largest}; values must be 0 to {MAX_VALUES - 1}")
    for name, sequences in splits.items():
        for number, frames in enumerate(sequences):
            require(
                not (frames == NOTHING).any(),
                f"{name}, sequence {number} has padding before its end; set corpus.padding to a value that no note has",
            )
    tokenizer = IntegerTokenizer([f"Value_{value}" for value in range(largest + 1)])
    return tokenizer, {name: [frames.ravel() for frames in sequences] for name, sequences in splits.items()}


def _chorales(splits: dict[str, list[Frames]]) -> tuple[IntegerTokenizer, dict[str, list[NDArray[np.int64]]]]:
    """Frames of four voices on the 16th grid, in raster order: soprano, alto, tenor, bass, then the next frame.

    This is the benchmark of Music Transformer (arXiv 1809.04281, section 4.1) and Coconet (ISMIR 2017). The rest of a
    voice has a token of its own.
    """
    for name, sequences in splits.items():
        for number, frames in enumerate(sequences):
            require(
                not frames.size or (frames.shape[1] == VOICES and frames.max() < 128),
                f"{name}, sequence {number} is not a chorale: it must be frames of {VOICES} MIDI pitches (0 to 127)",
            )
    tokenizer = IntegerTokenizer(["Rest_0", *(f"Pitch_{pitch}" for pitch in range(128))])
    # A rest (`NOTHING`) is value 0, a pitch its number plus 1.
    return tokenizer, {name: [frames.ravel() + 1 for frames in sequences] for name, sequences in splits.items()}


def _write_store(
    output: Path, corpus: CorpusConfig, tokenizer: IntegerTokenizer, splits: dict[str, list[NDArray[np.int64]]]
) -> None:
    """Write a store to a temporary folder, then rename it."""
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
    with replacing_folder(output) as folder:
        (folder / "tokens.bin").write_bytes(np.concatenate(parts).tobytes())
        (folder / "index.jsonl").write_text("".join(json.dumps(asdict(piece)) + "\n" for piece in pieces))
        (folder / "skipped.jsonl").write_text("")
        tokenizer.save(folder / "tokenizer.json")
        write_json(folder / "store.json", info)


def _split(digest: str, corpus: CorpusConfig) -> str:
    """Split of a sequence by its hash, so that equal sequences share a split and added ones move none."""
    fraction = int(digest[:16], 16) / 2**64
    if fraction < corpus.test_fraction:
        return "test"
    return "validation" if fraction < corpus.test_fraction + corpus.validation_fraction else "train"


def read_sequences(path: str | Path, *, padding: int | None = None) -> dict[str, list[Frames]]:
    """The sequences of a file by split; `UNSPLIT` is the only key if the file has no splits.

    Args:
        path: .json, .jsonl, .txt (a sequence a line) or .npz.
        padding: the value that pads sequences to a common length; None if only NaN does. Trailing frames of padding
            are cut off; padding elsewhere becomes `NOTHING`.

    Raises:
        UserError: the file cannot be read, or it holds something other than sequences of integers.
    """
    path = Path(path)
    try:
        content = _READERS[path.suffix.lower()](path)
    except KeyError as error:
        raise UserError(f"{path} must end in {', '.join(_READERS)}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error})") from error
    except (ValueError, pickle.UnpicklingError, zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"{path} is damaged or not what its name says ({str(error).splitlines()[0]})") from error
    splits = content if isinstance(content, dict) else {UNSPLIT: content}
    unknown = sorted(set(splits) - {*_SPLITS, UNSPLIT})
    if unknown:
        raise UserError(f"{path} has the unknown key {unknown[0]!r}; its splits must be among {', '.join(_SPLITS)}")
    found: dict[str, list[Frames]] = {}
    for name, sequences in splits.items():
        found[_SPLITS.get(name, name)] = [
            _frames(sequence, padding, f"{path}, {name}, sequence {number}")
            for number, sequence in enumerate(sequences)
        ]
    if not any(len(sequence) for sequences in found.values() for sequence in sequences):
        raise UserError(f"{path} holds no sequences")
    return found


def _frames(sequence: Any, padding: int | None, where: str) -> Frames:
    """One sequence as frames, without trailing padding."""
    try:
        # None stands for NaN in some JSON.
        values = np.array(sequence, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise UserError(f"{where} is not a list of integers, or of frames of equally many integers") from error
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2:
        raise UserError(f"{where} has {values.ndim} dimensions, not 1 (integers) or 2 (frames)")
    empty = np.isnan(values) | (values == padding if padding is not None else False)
    if not np.array_equal(values[~empty], np.rint(values[~empty])):
        raise UserError(f"{where} holds numbers that are not whole")
    if (values[~empty] < 0).any():
        raise UserError(f"{where} holds {int(values[~empty].min())}; only corpus.padding may be negative")
    filled = np.flatnonzero(~empty.all(axis=1))
    length = int(filled[-1]) + 1 if filled.size else 0
    return np.where(empty, NOTHING, values)[:length].astype(np.int64)


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def _read_lines(path: Path) -> Any:
    lines = [line.strip() for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines if line]


def _read_text(path: Path) -> Any:
    lines = [line.replace(",", " ").split() for line in path.read_text().splitlines()]
    return [[int(word) for word in words] for words in lines if words]


def _read_npz(path: Path) -> Any:
    """Arrays of an npz by name. Arrays of objects (sequences of different lengths) are read without running code."""
    with zipfile.ZipFile(path) as archive:
        return {name.removesuffix(".npy"): _read_npy(archive.read(name)) for name in archive.namelist()}


def _read_npy(data: bytes) -> Any:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    _, _, dtype = read_header(stream)
    if not dtype.hasobject:
        return np.load(io.BytesIO(data), allow_pickle=False)
    return _ArrayUnpickler(stream, encoding="latin1").load()


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles numpy arrays and nothing else: a pickle can name any Python function to be called."""

    def find_class(self, module: str, name: str) -> Any:
        """Resolve a name that the pickle mentions."""
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.zeros(0).__reduce__()[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is not an array")


_READERS = {".json": _read_json, ".jsonl": _read_lines, ".txt": _read_text, ".npz": _read_npz}
