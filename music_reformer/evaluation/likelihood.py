"""The exact likelihood of whole pieces, and their likelihood with less context.

Shapes: N targets of a piece.

Every piece is scored from BOS to EOS as one document. Several may share a row; documents do not attend to each other,
so sharing only changes the speed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from music_reformer.data.rows import Span, fill_row, pack, stack_rows
from music_reformer.data.store import Piece, TokenStore
from music_reformer.model.reformer import ReformerLM

# Pieces share rows of up to this many tokens; a longer piece gets a row of its own.
ROW_TOKENS = 16_384

Done = Callable[[int], None]


def _ignore(tokens: int) -> None:
    """The default callback."""


@dataclass
class PieceLoss:
    """The loss of a model on one piece.

    Attributes:
        piece: the piece.
        nats: negative log-likelihood of each target, float64 [N].
        targets: token ids from the first after BOS to EOS, [N].
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
    """Score whole pieces, longest first.

    Args:
        model: in `eval()` mode; its device is used.
        store: the store of the pieces.
        pieces: none longer than the positions of the model.
        row_tokens: pieces share rows of up to this length.
        done: called after each row with the number of tokens scored.
    """
    lengths = [piece.length for piece in pieces]
    rows = pack(lengths, row_tokens=max([row_tokens, *lengths]), order=range(len(pieces)))
    for span, nats, targets in _score(model, store, pieces, rows, done):
        yield PieceLoss(pieces[span.piece], nats, targets)


def mean_nats(losses: Iterable[PieceLoss]) -> float:
    """Nats per token over all pieces."""
    found = list(losses)
    return float(sum(loss.nats.sum() for loss in found) / sum(len(loss.nats) for loss in found))


def short_context_losses(
    model: ReformerLM,
    store: TokenStore,
    pieces: Sequence[Piece],
    *,
    context: int,
    row_tokens: int = ROW_TOKENS,
    done: Done = _ignore,
) -> Iterator[PieceLoss]:
    """Score pieces as if the model saw at most `context` tokens back.

    A piece is scored in spans of `context` tokens that begin half a context apart, with each token at its position in
    the piece. Of all spans but the first, only the second half counts. So each target is scored once, given more than
    `context` / 2 and at most `context` tokens (fewer only at the beginning of a piece). Most published likelihoods of
    long music use this strided evaluation. It costs nearly twice as much as `piece_losses`.

    Args:
        model, store, pieces, done: as in `piece_losses`.
        context: even, at least 2.
        row_tokens: spans share rows of up to this length.
    """
    stride = context // 2
    nats = [np.zeros(piece.length - 1) for piece in pieces]
    spans = [
        Span(number, begin, min(context, piece.length - 1 - begin))
        for number, piece in enumerate(pieces)
        for begin in range(0, max(1, piece.length - 1 - stride), stride)
    ]
    per_row = max(1, row_tokens // context)
    rows = [spans[i : i + per_row] for i in range(0, len(spans), per_row)]
    for span, span_nats, _ in _score(model, store, pieces, rows, done):
        first = stride if span.begin else 0
        nats[span.piece][span.begin + first : span.begin + span.length] = span_nats[first:]
    for number, piece in enumerate(pieces):
        yield PieceLoss(piece, nats[number], store.tokens(piece)[1:].astype(np.int64))


def num_short_context_tokens(pieces: Sequence[Piece], context: int) -> int:
    """Number of tokens that `short_context_losses` computes, for progress bars."""
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
    """Nats and targets of each span of the rows."""
    device = next(model.parameters()).device
    for row in rows:
        used = sum(span.length for span in row)
        documents = [(store.tokens(pieces[span.piece]), span, 0) for span in row]
        batch = stack_rows([fill_row(documents, used, model.config.max_length, store.tokenizer.vocabulary)])
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
