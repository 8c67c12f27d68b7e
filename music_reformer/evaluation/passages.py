"""Detects passages of a melody that may occur in the training set, with an index small enough to ship with weights.

`TrainingSet` finds copies exactly, but needs the store. This index is a Bloom filter (Bloom, 1970) over the runs of
`RUN` symbols (see `originality.py`) in the top lines of all training pieces. A run that occurs there is always found;
any other run is found with a probability of some thousandths, so a single run does not count. Successive runs form a
passage. They may come from different pieces, so the length of a passage is an upper bound.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from music_reformer.config import PassagesConfig, require
from music_reformer.data.store import Piece, TokenStore
from music_reformer.errors import UserError
from music_reformer.evaluation.copies import top_line
from music_reformer.evaluation.groups import piece_notes, sample
from music_reformer.evaluation.notes import Notes
from music_reformer.evaluation.originality import Symbols, TrainingIndex, symbols
from music_reformer.files import write_atomically
from music_reformer.model.weights import weights_folder

FILE = "passages.npz"
RUN = 9  # symbols: ten notes
SHORTEST = RUN + 2  # notes of the shortest passage that is found: two runs in a row
BITS_PER_RUN, NUM_HASHES = 12, 8
STEPS_PER_BEAT = 24
# For comparison, people's own continuations: numbers of bars, of pieces of the validation split, and fewest notes.
YARDSTICK_BARS, YARDSTICK_PIECES, YARDSTICK_NOTES = 16, 300, 32

Bits = NDArray[np.uint8]


class KnownPassages:
    """The index, in memory.

    Args:
        bits: bits of the filter, eight per byte.
        about: "data" (name of the store), "notes" of the training set, and "people": median lengths of passages in
            people's own continuations, by "piece" and "training".
    """

    def __init__(self, bits: Bits, about: dict[str, Any]) -> None:
        self._bits = bits
        self.about = about

    @classmethod
    def of(cls, lines: Iterable[Symbols], about: dict[str, Any] | None = None) -> KnownPassages:
        """Index top lines, each the `symbols` of a piece."""
        runs = [_runs(line) for line in lines if len(line) >= RUN]
        found = np.unique(np.concatenate(runs)) if runs else np.zeros(0, dtype=np.uint64)
        bits = np.zeros(max(64, len(found) * BITS_PER_RUN // 8), dtype=np.uint8)
        for number in range(NUM_HASHES):
            byte, mask = _place(found, number, len(bits))
            np.bitwise_or.at(bits, byte, mask)
        return cls(bits, about or {})

    @classmethod
    def load(cls, checkpoint: str | Path) -> KnownPassages | None:
        """Load the index beside some weights; None if there is none. Raises `UserError` if the file is not an index."""
        path = weights_folder(checkpoint) / FILE
        if not path.is_file():
            return None
        try:
            return cls(*_read(path))
        except (OSError, ValueError, KeyError, MemoryError, zipfile.BadZipFile) as error:
            raise UserError(f"{path} is not an index of passages; remove it, or write it again") from error

    def write(self, path: Path) -> None:
        """Write the index as a file."""
        packed = io.BytesIO()
        np.savez(packed, bits=self._bits, about=np.array(json.dumps(self.about)))
        write_atomically(path, packed.getvalue())

    def longest(self, line: Symbols) -> int:
        """Length in notes of a top line's longest passage that may occur in the training set; 0 if below `SHORTEST`."""
        best = row = 0
        for is_known in self._known(line):
            row = row + 1 if is_known else 0
            best = max(best, row)
        return best + RUN if best >= 2 else 0

    def _known(self, line: Symbols) -> list[bool]:
        """Whether each run of a line may occur in the training set."""
        runs = _runs(line)
        known = np.ones(len(runs), dtype=bool)
        for number in range(NUM_HASHES):
            byte, mask = _place(runs, number, len(self._bits))
            known &= (self._bits[byte] & mask) != 0
        return list(known.tolist())


def _read(path: Path) -> tuple[Bits, dict[str, Any]]:
    """Bits and metadata of an index, from weights that may be untrusted. Raises if the file is not an index."""
    with zipfile.ZipFile(path) as archive:  # `write` compresses nothing, so no more memory than the file is large
        if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
            raise ValueError("it is compressed")
    with np.load(path, allow_pickle=False) as content:
        bits, about = content["bits"], json.loads(str(content["about"]))
    people = about.get("people", {}) if isinstance(about, dict) else None
    if bits.dtype != np.uint8 or bits.ndim != 1 or not len(bits) or not isinstance(people, dict):
        raise ValueError("its arrays have the wrong types")
    if not all(isinstance(length, int | float) for length in people.values()):
        raise ValueError("its lengths are not numbers")
    return bits, about


def _runs(line: Symbols) -> NDArray[np.uint64]:
    """A number for each run of `RUN` symbols, the same for the same run (splitmix64 by Steele and others, 2014)."""
    number = np.zeros(max(0, len(line) - RUN + 1), dtype=np.uint64)
    for place in range(RUN if len(number) else 0):
        number = _mixed(number ^ line[place : len(line) - RUN + 1 + place].astype(np.uint64))
    return number


def _mixed(number: NDArray[np.uint64]) -> NDArray[np.uint64]:
    number = number + np.uint64(0x9E3779B97F4A7C15)
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))


def _place(runs: NDArray[np.uint64], number: int, num_bytes: int) -> tuple[NDArray[np.int64], Bits]:
    """Byte and bit of runs by one of the filter's hashes."""
    bit = _mixed(runs + np.uint64(number)) % np.uint64(num_bytes * 8)
    return (bit // np.uint64(8)).astype(np.int64), np.uint8(1) << (bit % np.uint64(8)).astype(np.uint8)


def index_passages(config: PassagesConfig) -> Path:
    """`music-reformer passages`: index the training split of a store; returns the file."""
    store = TokenStore.open(config.data)
    tokenizer = store.music_tokenizer
    require(
        not tokenizer.vocabulary.is_performance,
        f"data ({config.data}) has an encoding without beats, by which passages are compared; choose a store with "
        "another encoding",
    )
    notes = (piece_notes(store, piece) for piece in store.split("train"))
    found = KnownPassages.of(line_of(each) for each in notes)
    found.about.update(data=Path(config.data).name, pieces=len(store.split("train")), people=_people(store, found))
    path = Path(config.output) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    found.write(path)
    return path


def line_of(notes: Notes) -> Symbols:
    """The top line of some music, as symbols for searching."""
    return symbols(top_line(notes), steps_per_beat=STEPS_PER_BEAT)


def _people(store: TokenStore, passages: KnownPassages) -> dict[str, float]:
    """Median length of the longest passage of people's own continuations, in the piece and in the training set."""
    own, training = [], []
    for piece in sample(store.split("validation"), YARDSTICK_PIECES):
        lengths = _lengths(store, piece, passages)
        if lengths is not None:
            own.append(lengths[0])
            training.append(lengths[1])
    return {"piece": float(np.median(own)), "training": float(np.median(training))} if own else {}


def _lengths(store: TokenStore, piece: Piece, passages: KnownPassages) -> tuple[int, int] | None:
    """Both lengths for the second half of a piece, at most `YARDSTICK_BARS`; None if there is too little music."""
    notes = piece_notes(store, piece)
    num_bars = int(notes.bar.max(initial=-1)) + 1
    before, new = notes.where(notes.bar < num_bars // 2), notes.where(notes.bar >= num_bars // 2)
    new = new.where(new.bar < num_bars // 2 + YARDSTICK_BARS)
    if num_bars < YARDSTICK_BARS or int((~new.drum).sum()) < YARDSTICK_NOTES:
        return None
    longest = [
        TrainingIndex([part(before)]).longest(part(new)).num_notes
        for part in (line_of, lambda each: symbols(each, steps_per_beat=STEPS_PER_BEAT))
    ]
    return max(longest), passages.longest(line_of(new))
