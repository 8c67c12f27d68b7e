"""Rows of whole pieces for training and validation, as a pure function of seed and step.

Shapes: B rows, L tokens of a row.

Batch number n is computed from n alone, so a killed run resumes with exactly the batch it would have had, with any
number of loader workers. State kept by the classes only saves time.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from music_reformer.config import AugmentConfig, TrainerConfig, require
from music_reformer.data.augment import Augmenter
from music_reformer.data.mixture import Mixture, Visits, every_piece
from music_reformer.midi.vocabulary import PAD, Vocabulary
from music_reformer.model.loss import IGNORED

# Number of rows that packing keeps open: more leave less padding but cost more time per piece.
OPEN_ROWS = 20_000
# A long piece is cut to fill a row only if at least this part (1 / SMALLEST_FILL) of the row is free.
SMALLEST_FILL = 32
# Each loader worker makes only some of the batches; with a margin of 1.2, all know the next epoch's lengths in time.
LOOK_AHEAD = 1.2

# One number per purpose separates the random streams of one (seed, epoch).
_ORDER, _AUGMENT, _OFFSET = range(3)


class _Piece(Protocol):
    piece_id: int
    length: int
    corpus: str
    num_notes: int


class _Tokenizer(Protocol):
    pad_id: int

    @property
    def vocabulary(self) -> Vocabulary: ...


class Store(Protocol):
    """The part of `music_reformer.data.store.TokenStore` that batches use."""

    tokenizer: _Tokenizer

    def tokens(self, piece: _Piece) -> NDArray[np.uint16]:
        """BOS, the piece, EOS."""
        ...


@dataclass(frozen=True)
class Span:
    """Consecutive input tokens of a piece: one document of a row.

    Attributes:
        piece: index into the list of pieces that was packed.
        begin: index of the first input token within the piece.
        length: number of input tokens; the targets are the tokens one later.
    """

    piece: int
    begin: int
    length: int


def pack(lengths: Sequence[int], *, row_tokens: int, order: Sequence[int]) -> list[list[Span]]:
    """Pack pieces into rows of at most `row_tokens`, with little padding.

    A piece that fits in a row stays whole. A longer one becomes consecutive spans: the first fills up the row with the
    most room, the last goes where it fits best, and each of the others fills a row.

    Args:
        lengths: tokens of each piece with BOS and EOS, one more than its inputs.
        row_tokens: longest span and row.
        order: of the pieces; decides between equals, and which row a long piece fills up.
    """
    rows = _OpenRows(row_tokens)
    inputs = {piece: lengths[piece] - 1 for piece in order}
    # Longest first leaves the least padding; the sort keeps the order among equals.
    for piece in sorted((piece for piece in order if inputs[piece] <= row_tokens), key=lambda piece: -inputs[piece]):
        rows.put(Span(piece, 0, inputs[piece]))
    for piece in order:
        if inputs[piece] > row_tokens:
            begin = rows.fill_up(piece)
            while begin < inputs[piece]:
                length = min(row_tokens, inputs[piece] - begin)
                rows.put(Span(piece, begin, length))
                begin += length
    return rows.rows


class _OpenRows:
    """Rows that are being filled, and the room left in each."""

    def __init__(self, row_tokens: int) -> None:
        self.row_tokens = row_tokens
        self.rows: list[list[Span]] = []
        self.open: list[tuple[int, int]] = []  # (room left, row), ascending

    def put(self, span: Span) -> None:
        """Put a span into the fullest row that has room for it, or into a new row."""
        found = bisect.bisect_left(self.open, (span.length, -1))
        room, row = self.row_tokens, len(self.rows)
        if found < len(self.open):
            room, row = self.open.pop(found)
        else:
            self.rows.append([])
        self.rows[row].append(span)
        if room > span.length:
            bisect.insort(self.open, (room - span.length, row))
            if len(self.open) > OPEN_ROWS:
                self.open.pop(0)

    def fill_up(self, piece: int) -> int:
        """Fill the row with the most room with the beginning of a piece; returns the number of tokens used."""
        if not self.open or self.open[-1][0] < self.row_tokens // SMALLEST_FILL:
            return 0
        room, row = self.open.pop()
        self.rows[row].append(Span(piece, 0, room))
        return room


def padding_share(rows: Sequence[Sequence[Span]], *, row_tokens: int) -> float:
    """The share of padding among all tokens of the rows."""
    used = sum(span.length for row in rows for span in row)
    return 1 - used / (len(rows) * row_tokens)


class TrainingBatches:
    """The endless sequence of training batches of one process: `batches[n]` is a function of n alone.

    An epoch visits every piece once, with its own random augmentation; with a mixture of corpora, it visits some pieces
    several times and others not at all. Each epoch packs its rows anew and in another order, so that pieces longer than
    a row are cut at different places. Rows are shuffled; those that do not fill the last batch are left out (different
    ones in each epoch). Process r of w takes every w-th row, starting at row r, so that w processes together see what
    one process with w times as many rows per batch sees.

    Args:
        store: token store.
        pieces: the training split.
        row_tokens: L.
        rows_per_batch: B.
        max_length: number of positions of the model.
        augment: augmentation settings.
        seed: of the run.
        rank: number of this process.
        world_size: number of processes.
        known: an epoch and the number of its first batch, taken from "epoch" of an earlier batch of the same sequence.
            Epochs before it are planned only if one of their batches is requested.
        mixture: how often the corpora of the pieces are visited; None: every piece once in an epoch.

    Raises:
        UserError: the split is empty, or the rows are longer than the model's positions.
    """

    def __init__(
        self,
        *,
        store: Store,
        pieces: Sequence[_Piece],
        row_tokens: int,
        rows_per_batch: int,
        max_length: int,
        augment: AugmentConfig,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        known: tuple[int, int] = (0, 0),
        mixture: Mixture | None = None,
    ) -> None:
        _check(pieces, row_tokens, max_length, split="training")
        self.mixture = mixture
        self.store, self.pieces = store, pieces
        self.row_tokens, self.rows_per_batch, self.max_length = row_tokens, rows_per_batch, max_length
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self.position_offset = augment.position_offset
        self.augmenter = Augmenter(store.tokenizer.vocabulary, augment)
        # Number of the first batch of each epoch planned so far, from the known one on, and of the following one.
        self._first_batch = dict([known])
        self._planned: tuple[int, list[list[Span]]] | None = None
        self._visits: dict[int, Visits] = {}
        # An epoch, and the lengths of its first visits after augmentation.
        self._measured: tuple[int, list[int]] = (0, [])

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """Batch `number` (from 0) as tensors. "number" repeats it; "epoch" is (epoch, number of its first batch)."""
        epoch = self._epoch(number)
        rows = self.plan(epoch)
        first = (number - self._first_batch[epoch]) * self.rows_per_batch * self.world_size + self.rank
        # If the split has fewer rows than a batch, some are repeated.
        chosen = [rows[(first + i * self.world_size) % len(rows)] for i in range(self.rows_per_batch)]
        filled = [self._fill(row, epoch) for row in chosen]
        self._look_ahead(number, epoch)
        begun = torch.tensor([epoch, self._first_batch[epoch]])
        return {**stack_rows(filled), "number": torch.tensor(number), "epoch": begun}

    def visits(self, epoch: int) -> Visits:
        """The pieces of an epoch; the spans of `plan` count these."""
        if epoch not in self._visits:
            mixed = self.mixture and self.mixture.visits(epoch, seed=self.seed)
            # The epoch before is still in use during the look-ahead to this one.
            kept = {number: visits for number, visits in self._visits.items() if abs(number - epoch) == 1}
            self._visits = {**kept, epoch: mixed or every_piece(len(self.pieces), epoch)}
        return self._visits[epoch]

    def plan(self, epoch: int) -> list[list[Span]]:
        """The rows of an epoch, in order."""
        if self._planned is None or self._planned[0] != epoch:
            lengths = self._lengths(epoch, len(self.visits(epoch)))
            shuffle = self._random(_ORDER, epoch)
            rows = pack(lengths, row_tokens=self.row_tokens, order=shuffle.permutation(len(lengths)).tolist())
            self._planned = epoch, [rows[i] for i in shuffle.permutation(len(rows))]
        return self._planned[1]

    def _epoch(self, number: int) -> int:
        if number < min(self._first_batch.values()):
            self._first_batch = {0: 0}
        epoch = max(self._first_batch)
        while self._first_batch[epoch] <= number:
            batches = max(1, len(self.plan(epoch)) // (self.rows_per_batch * self.world_size))
            self._first_batch[epoch + 1] = self._first_batch[epoch] + batches
            epoch += 1
        return max(epoch for epoch, first in self._first_batch.items() if first <= number)

    def _random(self, purpose: int, epoch: int, piece_id: int = 0) -> np.random.Generator:
        return np.random.default_rng([self.seed, purpose, epoch, piece_id])

    def _look_ahead(self, number: int, epoch: int) -> None:
        """Compute some lengths of the next epoch with each batch, so that a GPU need not wait for all at its start."""
        if not self.augmenter.keeps_length:
            done = (number + 1 - self._first_batch[epoch]) / (self._first_batch[epoch + 1] - self._first_batch[epoch])
            self._lengths(epoch + 1, math.ceil(LOOK_AHEAD * done * len(self.visits(epoch + 1))))

    def _lengths(self, epoch: int, count: int) -> list[int]:
        """Lengths of at least the first `count` visits after the augmentation of an epoch; computed once."""
        if self._measured[0] != epoch:
            self._measured = epoch, []
        lengths, visits = self._measured[1], self.visits(epoch)
        for visit in range(len(lengths), min(count, len(visits))):
            lengths.append(self._length(self.pieces[int(visits.pieces[visit])], int(visits.passes[visit])))
        return lengths

    def _length(self, piece: _Piece, number: int) -> int:
        return piece.length if self.augmenter.keeps_length else len(self._augmented(piece, number))

    def _augmented(self, piece: _Piece, number: int) -> NDArray[np.uint16]:
        """A piece as it is on pass `number` over its corpus."""
        return self.augmenter(self.store.tokens(piece), self._random(_AUGMENT, number, piece.piece_id))

    def _fill(self, row: list[Span], epoch: int) -> dict[str, NDArray[np.int64]]:
        documents, visits = [], self.visits(epoch)
        for span in row:
            piece, number = self.pieces[int(visits.pieces[span.piece])], int(visits.passes[span.piece])
            tokens = self._augmented(piece, number)
            offset = 0
            if self.position_offset:
                room = self.max_length - min(len(tokens) - 1, self.max_length)
                offset = int(self._random(_OFFSET, number, piece.piece_id).integers(0, room + 1))
            documents.append((tokens, span, offset))
        return fill_row(documents, self.row_tokens, self.max_length, self.store.tokenizer.vocabulary)


class CurriculumBatches:
    """Training batches whose rows grow in stages: short rows give more steps for as many tokens at first.

    Args:
        settings: `row_tokens`, `rows_per_batch`, `accumulate`, and `curriculum`: for each stage, the optimizer step
            from which it holds and the length of its rows in tokens. A batch of shorter rows has more rows, so that all
            batches have equally many tokens.
        make: returns the batches of a stage, given tokens per row, rows per batch, and the number of the stage.
    """

    def __init__(self, settings: TrainerConfig, make: Callable[[int, int, int], TrainingBatches]) -> None:
        stages: Mapping[int, int] = {0: settings.row_tokens, **settings.curriculum}
        self._begins = [step * settings.accumulate for step in sorted(stages)]
        self._stages = [
            make(stages[step], settings.rows_per_batch * (settings.row_tokens // stages[step]), number)
            for number, step in enumerate(sorted(stages))
        ]

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """Batch `number` (from 0) as tensors. "epoch" is (stage, epoch, number of its first batch in the stage)."""
        stage = bisect.bisect_right(self._begins, number) - 1
        batch = self._stages[stage][number - self._begins[stage]]
        epoch = torch.cat([torch.tensor([stage]), batch["epoch"]])
        return {**batch, "number": torch.tensor(number), "epoch": epoch}


class ValidationBatches:
    """The rows of a split, without augmentation and always the same. A row and a batch hold pieces of one corpus.

    Args:
        store: token store.
        pieces: the split.
        row_tokens: L.
        rows_per_batch: B; a batch may have fewer rows.
        max_length: number of positions of the model.
        max_rows: number of rows to use, of all corpora alike; 0: all.
        rank: number of this process, which takes every `world_size`-th row.
        world_size: number of processes.

    Attributes:
        corpora: names of the corpora of the pieces, the same in all processes.
    """

    def __init__(
        self,
        *,
        store: Store,
        pieces: Sequence[_Piece],
        row_tokens: int,
        rows_per_batch: int,
        max_length: int,
        max_rows: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        _check(pieces, row_tokens, max_length, split="validation")
        self.store, self.pieces = store, pieces
        self.row_tokens, self.max_length = row_tokens, max_length
        of_corpus: dict[str, list[int]] = {}
        for number, piece in enumerate(pieces):
            of_corpus.setdefault(piece.corpus, []).append(number)
        self.corpora = sorted(of_corpus)
        rows = [self._rows_of(of_corpus[name]) for name in self.corpora]
        chosen = _shared_out([len(each) for each in rows], max_rows)
        self.rows = [row for each, count in zip(rows, chosen, strict=True) for row in each[:count]][rank::world_size]
        self._batches = [
            same[begin : begin + rows_per_batch]
            for _, found in itertools.groupby(self.rows, key=self._corpus)
            for same in [list(found)]
            for begin in range(0, len(same), rows_per_batch)
        ]

    def _rows_of(self, numbers: Sequence[int]) -> list[list[Span]]:
        """The rows of some pieces, shuffled."""
        # Packing puts long pieces first; the rows that are taken must hold pieces of all lengths.
        rows = pack([self.pieces[i].length for i in numbers], row_tokens=self.row_tokens, order=range(len(numbers)))
        shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
        return [[replace(span, piece=numbers[span.piece]) for span in row] for row in shuffled]

    def _corpus(self, row: Sequence[Span]) -> str:
        return self.pieces[row[0].piece].corpus

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """Batch `number` as tensors. "corpus" is the index of its corpus; "notes" its number of notes, of which a piece
        that is cut gets its part."""
        if number >= len(self):
            raise IndexError(number)
        rows = self._batches[number]
        corpus = torch.tensor(self.corpora.index(self._corpus(rows[0])))
        notes = torch.tensor(sum(self._notes(span) for row in rows for span in row), dtype=torch.float64)
        return {**stack_rows([self._fill(row) for row in rows]), "corpus": corpus, "notes": notes}

    def _notes(self, span: Span) -> float:
        piece = self.pieces[span.piece]
        return piece.num_notes * span.length / (piece.length - 1)

    def _fill(self, row: list[Span]) -> dict[str, NDArray[np.int64]]:
        documents = [(self.store.tokens(self.pieces[span.piece]), span, 0) for span in row]
        return fill_row(documents, self.row_tokens, self.max_length, self.store.tokenizer.vocabulary)


def _shared_out(available: Sequence[int], most: int) -> list[int]:
    """How many of each kind to take: `most` in total (0: all), as evenly as possible."""
    taken = [0] * len(available)
    for place in range(max(available)):
        for kind, count in enumerate(available):
            if place < count and (not most or sum(taken) < most):
                taken[kind] += 1
    return taken


def _check(pieces: Sequence[_Piece], row_tokens: int, max_length: int, *, split: str) -> None:
    require(len(pieces) > 0, f"the {split} split of this token store is empty; prepare it with more pieces")
    require(row_tokens >= 2, f"trainer.row_tokens ({row_tokens}) must be at least 2")
    require(
        row_tokens <= max_length,
        f"trainer.row_tokens ({row_tokens}) must not exceed the {max_length} positions of the model "
        "(model.axial_shape)",
    )


def fill_row(
    documents: Sequence[tuple[NDArray[np.uint16], Span, int]], row_tokens: int, max_length: int, vocabulary: Vocabulary
) -> dict[str, NDArray[np.int64]]:
    """A row from its documents: (tokens of a piece, the span to take, position of the first token of the piece)."""
    row = {
        "tokens": np.full(row_tokens, PAD, dtype=np.int64),
        "targets": np.full(row_tokens, IGNORED, dtype=np.int64),
        # Padding is a separate document, so that no piece attends to it.
        "documents": np.full(row_tokens, len(documents), dtype=np.int64),
        "positions": np.arange(row_tokens, dtype=np.int64),
    }
    place = 0
    for document, (tokens, span, offset) in enumerate(documents):
        at = slice(place, place + span.length)
        end = span.begin + span.length
        row["tokens"][at] = tokens[span.begin : end]
        targets = tokens[span.begin + 1 : end + 1].astype(np.int64)
        given = vocabulary.is_given(tokens[: end + 1])[span.begin + 1 :]  # from the beginning: a row may cut directions
        row["targets"][at] = np.where(given, IGNORED, targets)
        row["documents"][at] = document
        # A span beyond the end of the position table counts from 0.
        start = offset + span.begin if offset + end <= max_length else 0
        row["positions"][at] = np.arange(start, start + span.length)
        place += span.length
    return row


def stack_rows(rows: Sequence[dict[str, NDArray[np.int64]]]) -> dict[str, Tensor]:
    """Stack rows of equal length to a batch of tensors [B, L]."""
    return {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]}
