"""The exact likelihood of whole pieces, none of them cut, and what it would be with less context.

Shapes: N targets of a piece.

Every piece is scored from its BOS to its EOS as one document. Several share a row where they fit; documents do not see
each other, so that changes the speed only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from music_reformer.data.piece_index import Piece
from music_reformer.data.rows import Span, fill_row, pack, stack_rows
from music_reformer.data.store import TokenStore
from music_reformer.model.reformer import ReformerLM

# Pieces share rows of up to this many tokens; a longer one has a row of its own.
ROW_TOKENS = 16_384

Done = Callable[[int], None]


def _ignore(tokens: int) -> None:
    """Nobody watches."""


@dataclass
class PieceLoss:
    """One piece under a model.

    Attributes:
        piece: which.
        nats: negative log-likelihood of each target, float64 [N].
        targets: the token ids, from the first after BOS to EOS, [N].
    """

    piece: Piece
    nats: NDArray[np.float64]
    targets: NDArray[np.int64]


def piece_losses(
    model: ReformerLM,
    store: TokenStore,
    pieces: Sequence[Piece],
    *,
    row_tokens: int = ROW_TOKENS,
    done: Done = _ignore,
) -> Iterator[PieceLoss]:
    """Score pieces, longest first.

    Args:
        model: in `eval()`; its device is used.
        store: has the pieces.
        pieces: each at most as long as the model's positions.
        row_tokens: pieces share a row up to this length.
        done: called with the number of tokens scored after each row.
    """
    lengths = [piece.length for piece in pieces]
    rows = pack(lengths, row_tokens=max([row_tokens, *lengths]), order=range(len(pieces)))
    for span, nats, targets in _score(model, store, pieces, rows, done):
        yield PieceLoss(pieces[span.piece], nats, targets)


def mean_nats(losses: Iterable[PieceLoss]) -> float:
    """Nats per token of all pieces together."""
    found = list(losses)
    return float(sum(loss.nats.sum() for loss in found) / sum(len(loss.nats) for loss in found))


def windowed_losses(
    model: ReformerLM,
    store: TokenStore,
    pieces: Sequence[Piece],
    *,
    context: int,
    row_tokens: int = ROW_TOKENS,
    done: Done = _ignore,
) -> Iterator[PieceLoss]:
    """Score pieces as if the model could see no more than `context` tokens back.

    Windows of `context` tokens, half of it apart, each token at its own position; of every window but a piece's first
    only the second half is scored. So each target is scored once, with more than `context` / 2 and at most `context`
    tokens before it (fewer only where the piece has no more): the strided evaluation in which published likelihoods of
    long music are mostly given. It costs nearly twice what `piece_losses` does.

    Args:
        model, store, pieces, done: as in `piece_losses`.
        context: even, at least 2.
        row_tokens: windows share a row up to this length.
    """
    stride = context // 2
    nats = [np.zeros(piece.length - 1) for piece in pieces]
    windows = [
        Span(number, begin, min(context, piece.length - 1 - begin))
        for number, piece in enumerate(pieces)
        for begin in range(0, max(1, piece.length - 1 - stride), stride)
    ]
    per_row = max(1, row_tokens // context)
    rows = [windows[i : i + per_row] for i in range(0, len(windows), per_row)]
    for span, window_nats, _ in _score(model, store, pieces, rows, done):
        first = stride if span.begin else 0
        nats[span.piece][span.begin + first : span.begin + span.length] = window_nats[first:]
    for number, piece in enumerate(pieces):
        yield PieceLoss(piece, nats[number], store.tokens(piece)[1:].astype(np.int64))


def num_windowed_tokens(pieces: Sequence[Piece], context: int) -> int:
    """Tokens that `windowed_losses` computes, for telling the time left."""
    stride = context // 2
    return sum(
        min(context, piece.length - 1 - begin)
        for piece in pieces
        for begin in range(0, max(1, piece.length - 1 - stride), stride)
    )


@torch.inference_mode()
def _score(
    model: ReformerLM, store: TokenStore, pieces: Sequence[Piece], rows: Sequence[Sequence[Span]], done: Done
) -> Iterator[tuple[Span, NDArray[np.float64], NDArray[np.int64]]]:
    """Nats and targets of every span of the rows."""
    device = next(model.parameters()).device
    for row in rows:
        used = sum(span.length for span in row)
        documents = [(store.tokens(pieces[span.piece]), span, 0) for span in row]
        batch = stack_rows([fill_row(documents, used, model.config.max_length, store.tokenizer.pad_id)])
        nats_L = model.token_losses(
            batch["tokens"].to(device),
            batch["targets"].to(device),
            document_BL=batch["documents"].to(device),
            position_BL=batch["positions"].to(device),
        )[0]
        nats, targets = nats_L.double().cpu().numpy(), batch["targets"][0].numpy()
        begin = 0
        for span in row:
            yield span, nats[begin : begin + span.length], targets[begin : begin + span.length]
            begin += span.length
        done(used)
