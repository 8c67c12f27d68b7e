"""`music-reformer evaluate`: the exact likelihood of whole pieces, none of them cut.

Shapes: N targets of a piece.

Every piece is scored from its BOS to its EOS as one document. Several share a row where they fit; documents do not see
each other, so that changes the speed only. nats per token compares models over one tokenizer; bits per note and bits
per second compare over tokenizers too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from music_reformer.config import EvaluateConfig, require
from music_reformer.data.store import Piece, TokenStore
from music_reformer.data.windows import fill_row, pack, stack_rows
from music_reformer.errors import UserError
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.model.reformer import ReformerLM
from music_reformer.model.weights import load_weights

# Pieces share rows of up to this many tokens; a longer one has a row of its own.
ROW_TOKENS = 16_384
_RESAMPLES = 10_000


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


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Score a split, print the figures, and write them as JSON to `config.output` if it is given.

    Raises:
        UserError: the checkpoint or the store cannot be read, they do not belong together, or the split is empty.
    """
    store = TokenStore.open(config.data)
    loaded = load_weights(config.checkpoint)
    require(
        MusicTokenizer.from_json(loaded.tokenizer_settings).fingerprint == store.tokenizer.fingerprint,
        f"{config.checkpoint} was trained with another tokenizer than the one that prepared {config.data}; prepare the "
        "data with the settings of the checkpoint's tokenizer.json",
    )
    model = loaded.model.to(_device(config.device))
    if config.rounds:
        model.num_rounds = config.rounds
    pieces, too_long = _pieces(store, config, model.config.max_length)
    console = Console(stderr=True)
    with Progress(console=console) as progress:
        task = progress.add_task("scoring", total=sum(piece.length for piece in pieces))
        losses = list(piece_losses(model, store, pieces, done=lambda tokens: progress.advance(task, tokens)))
    figures = {
        "checkpoint": str(config.checkpoint),
        "weights": loaded.fingerprint,
        "data": str(config.data),
        "split": config.split,
        "rounds": model.num_rounds,
        "pieces_too_long": too_long,
        **summary(losses, store.tokenizer.tokens),
    }
    _show(figures)
    if config.output is not None:
        _write(Path(config.output), figures)
    return figures


@torch.inference_mode()
def piece_losses(
    model: ReformerLM,
    store: TokenStore,
    pieces: Sequence[Piece],
    *,
    row_tokens: int = ROW_TOKENS,
    done: Callable[[int], None] = lambda tokens: None,
) -> Iterator[PieceLoss]:
    """Score pieces, longest first.

    Args:
        model: in `eval()`; its device is used.
        store: has the pieces.
        pieces: each at most as long as the model's positions.
        row_tokens: pieces share a row up to this length.
        done: called with the number of tokens scored after each row.
    """
    device = next(model.parameters()).device
    lengths = [piece.length for piece in pieces]
    for row in pack(lengths, row_tokens=max(row_tokens, *lengths), order=range(len(pieces))):
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
            end = begin + span.length
            yield PieceLoss(pieces[span.piece], nats[begin:end], targets[begin:end])
            begin = end
        done(used + len(row))


def summary(losses: Sequence[PieceLoss], tokens: Sequence[str]) -> dict[str, Any]:
    """The figures of a split, ready for JSON.

    Args:
        losses: of its pieces.
        tokens: name of each token id.
    """
    nats = np.array([loss.nats.sum() for loss in losses])
    num_targets = np.array([len(loss.nats) for loss in losses], dtype=float)
    num_notes = np.array([loss.piece.num_notes for loss in losses], dtype=float)
    seconds = np.array([loss.piece.seconds for loss in losses])
    bits = nats / math.log(2)
    return {
        "pieces": len(losses),
        "targets": int(num_targets.sum()),
        "notes": int(num_notes.sum()),
        "seconds": float(seconds.sum()),
        "nats_per_token": ratio(nats, num_targets),
        "bits_per_note": ratio(bits, num_notes),
        "bits_per_second": ratio(bits, seconds),
        "by_type": _by_type(losses, tokens),
        "by_position": _by_position(losses),
        "by_piece": [
            {"source": loss.piece.source, "targets": len(loss.nats), "nats": float(loss.nats.sum())}
            for loss in sorted(losses, key=lambda loss: loss.piece.piece_id)
        ],
    }


def ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> dict[str, float]:
    """Ratio of two sums over pieces, and its 95 % interval by resampling pieces (percentile bootstrap)."""
    random = np.random.default_rng(0)
    # How often each piece is in each resample; rows by hundreds, so that a large split fits in memory.
    values = []
    for _ in range(_RESAMPLES // 100):
        counts = random.multinomial(len(numerator), np.full(len(numerator), 1 / len(numerator)), size=100)
        values.append((counts @ numerator) / (counts @ denominator))
    low, high = np.percentile(np.concatenate(values), [2.5, 97.5])
    return {"value": float(numerator.sum() / denominator.sum()), "low": float(low), "high": float(high)}


def _by_type(losses: Sequence[PieceLoss], tokens: Sequence[str]) -> dict[str, dict[str, float]]:
    """Mean nats and share of all nats by type of token, the most expensive type first."""
    kinds = sorted({name.split("_")[0] for name in tokens})
    kind_of_id = np.array([kinds.index(name.split("_")[0]) for name in tokens])
    kind = kind_of_id[np.concatenate([loss.targets for loss in losses])]
    nats = np.concatenate([loss.nats for loss in losses])
    count = np.bincount(kind, minlength=len(kinds))
    total = np.bincount(kind, weights=nats, minlength=len(kinds))
    return {
        kinds[i]: {
            "targets": int(count[i]),
            "nats_per_token": float(total[i] / count[i]),
            "share": float(total[i] / nats.sum()),
        }
        for i in np.argsort(-total)
        if count[i]
    }


def _by_position(losses: Sequence[PieceLoss]) -> list[dict[str, float]]:
    """Mean nats of the targets 1, 2-3, 4-7, ... after BOS: what a longer context is worth."""
    position = np.concatenate([np.arange(1, len(loss.nats) + 1) for loss in losses])
    octave = np.floor(np.log2(position)).astype(int)
    nats = np.concatenate([loss.nats for loss in losses])
    count, total = np.bincount(octave), np.bincount(octave, weights=nats)
    return [
        {"from": 2**i, "to": 2 ** (i + 1) - 1, "targets": int(count[i]), "nats_per_token": float(total[i] / count[i])}
        for i in range(len(count))
    ]


def _pieces(store: TokenStore, config: EvaluateConfig, max_length: int) -> tuple[list[Piece], int]:
    """The pieces to score, and how many are longer than the model's positions."""
    split = store.split(config.split)
    require(len(split) > 0, f"the {config.split} split of {config.data} is empty; choose another with split=...")
    fitting = [piece for piece in split if piece.length - 1 <= max_length]
    require(
        len(fitting) > 0,
        f"all pieces of the {config.split} split are longer than the model's {max_length} positions; train one with "
        "a larger model.axial_shape",
    )
    return fitting[: config.max_pieces or len(fitting)], len(split) - len(fitting)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device ({name!r}) is not available here; use device=auto") from error
    return device


def _show(figures: dict[str, Any]) -> None:
    console = Console()
    console.print(
        f"{figures['pieces']:,} pieces of the {figures['split']} split, {figures['targets']:,} tokens, "
        f"{figures['notes']:,} notes; {figures['rounds']} hash rounds"
    )
    if figures["pieces_too_long"]:
        console.print(f"{figures['pieces_too_long']:,} more pieces are longer than the model's positions: left out")
    table = Table("", "value", "95 % interval over pieces")
    for key in ("nats_per_token", "bits_per_note", "bits_per_second"):
        row = figures[key]
        table.add_row(key.replace("_", " "), f"{row['value']:.4f}", f"{row['low']:.4f} to {row['high']:.4f}")
    console.print(table)
    table = Table("type of token", "tokens", "nats per token", "share of all nats")
    for kind, row in figures["by_type"].items():
        table.add_row(kind, f"{row['targets']:,}", f"{row['nats_per_token']:.4f}", f"{row['share']:.1%}")
    console.print(table)
    table = Table("position", "tokens", "nats per token")
    for row in figures["by_position"]:
        table.add_row(f"{row['from']:,} to {row['to']:,}", f"{row['targets']:,}", f"{row['nats_per_token']:.4f}")
    console.print(table)


def _write(path: Path, figures: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(figures, indent=1) + "\n")
    temporary.replace(path)
