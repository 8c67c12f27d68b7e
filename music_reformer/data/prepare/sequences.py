"""Reading sequences of integers: JSON, JSON lines, text, npz.

A file holds splits ("train", "valid" or "validation", "test"), each a list of sequences, or one list without splits. A
sequence is a list of integers, or of frames: lists of as many integers each, read in raster order, frame after frame.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from music_reformer.errors import UserError

# A rest, or padding: NaN in the file, or the value that `padding` names.
NOTHING = -1
UNSPLIT = "all"
_SPLITS = {"train": "train", "valid": "validation", "validation": "validation", "val": "validation", "test": "test"}

# [frames, voices]; a plain sequence has one voice.
Frames = NDArray[np.int64]


def read_sequences(path: str | Path, *, padding: int | None = None) -> dict[str, list[Frames]]:
    """The sequences of a file by split; `UNSPLIT` is the only key where the file has none.

    Args:
        path: .json, .jsonl, .txt (a sequence a line) or .npz.
        padding: the value that fills sequences up to one length; None: only NaN does. Frames at the end that hold
            nothing else are cut off; elsewhere it reads as `NOTHING`.

    Raises:
        UserError: the file cannot be read, or something in it is no sequence of integers.
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
        raise UserError(f"{path} has the key {unknown[0]!r}; its splits must be among {', '.join(_SPLITS)}")
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
    """One sequence as frames, padding at its end cut off."""
    try:
        # None stands for NaN in some JSON.
        values = np.array(sequence, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise UserError(f"{where} is not a list of integers, or of frames of as many integers each") from error
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2:
        raise UserError(f"{where} has {values.ndim} dimensions, not 1 (integers) or 2 (frames)")
    empty = np.isnan(values) | (values == padding if padding is not None else False)
    if not np.array_equal(values[~empty], np.rint(values[~empty])):
        raise UserError(f"{where} holds numbers that are not whole")
    if (values[~empty] < 0).any():
        raise UserError(f"{where} holds {int(values[~empty].min())}; negative values must be named by corpus.padding")
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
    """Arrays of an npz, by name; arrays of objects (sequences of different lengths) are read without running code."""
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
    """Makes numpy arrays and nothing else: a pickle could name any function of Python to be called."""

    def find_class(self, module: str, name: str) -> Any:
        """Called for every name that the pickle mentions."""
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.zeros(0).__reduce__()[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is no array")


_READERS = {".json": _read_json, ".jsonl": _read_lines, ".txt": _read_text, ".npz": _read_npz}
