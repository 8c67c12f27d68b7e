"""`music-reformer evaluate`: start reading here.

Computes the exact likelihood of a split (`likelihood.py`, `summary.py`), also with less context, and compares generated
with human music (`generated.py`). Prints the figures and writes them as an HTML report (`report.py`) and JSON.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from music_reformer.config import AugmentConfig, EvaluateConfig, require
from music_reformer.data.augment import Augmenter
from music_reformer.data.integer_tokenizer import tokenizer_from_json
from music_reformer.data.store import Piece, TokenStore
from music_reformer.errors import UserError
from music_reformer.evaluation.generated import compare_generated
from music_reformer.evaluation.groups import read_generated
from music_reformer.evaluation.likelihood import (
    PieceLoss,
    num_short_context_tokens,
    piece_losses,
    short_context_losses,
)
from music_reformer.evaluation.ngram import choose_weight, ngram_nats
from music_reformer.evaluation.report import write_report
from music_reformer.evaluation.scored import ScoredPieces
from music_reformer.evaluation.summary import per_token, summary, without_end
from music_reformer.evaluation.table import print_figures
from music_reformer.files import write_json
from music_reformer.model.reformer import ReformerLM
from music_reformer.model.weights import LoadedWeights, load_weights


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Score a split, compare generated music with it, print the figures, and write them to `config.output`.

    If it is interrupted, the next run with the same `output` folder resumes with the pieces not scored yet.

    Raises:
        UserError: the checkpoint, the store or the generated files cannot be read or do not match, or the split is
            empty.
    """
    store = TokenStore.open(config.data)
    loaded = _load(config, store)
    pieces, too_long = _pieces(store, config, loaded) if loaded is not None else ([], 0)
    if config.generated is not None:
        _ = store.music_tokenizer  # raises for a store of integers, which has no music to compare with
        require(config.split != "train", "split (train) is where copies are searched for; choose validation or test")
    generated, refused = read_generated(config.generated) if config.generated is not None else ([], [])
    require(len(store.split(config.split)) > 0, f"the {config.split} split of {config.data} is empty; choose another")
    output = _output_folder(config.output)  # last, so that a mistake in the settings leaves nothing behind
    console = Console(stderr=True)
    with _progress(console) as progress:
        figures: dict[str, Any] = {"data": str(config.data), "split": config.split}
        if loaded is not None:
            figures |= _likelihood(config, store, loaded, pieces, output, progress)
            figures["pieces_too_long"] = too_long
        if config.generated is not None:
            figures["generated"] = compare_generated(config, store, generated, refused, progress)
    print_figures(figures, Console())
    if config.output is not None:
        path = Path(config.output) if output is None else output / "figures.json"
        if output is not None:
            write_report(figures, output / "report.html")
        write_json(path, figures)
        if output is not None:
            ScoredPieces.forget(output)
            console.print(f"The report is {output / 'report.html'}", highlight=False, soft_wrap=True)
    return figures


def _load(config: EvaluateConfig, store: TokenStore) -> LoadedWeights | None:
    if config.checkpoint is None:
        return None
    loaded = load_weights(config.checkpoint)
    require(
        tokenizer_from_json(loaded.tokenizer_settings).fingerprint == store.tokenizer.fingerprint,
        f"{config.checkpoint} was trained with a different tokenizer than {config.data} was prepared with; prepare the "
        "data with the settings of the checkpoint's tokenizer.json",
    )
    loaded.model.to(_device(config.device))
    if config.rounds:
        loaded.model.num_rounds = config.rounds
    return loaded


def _output_folder(output: str | None) -> Path | None:
    """Create the output folder; None if the output is a JSON file or nothing."""
    if output is None or output.endswith(".json"):
        return None
    folder = Path(output)
    require(not folder.is_file(), f"output ({folder}) is a file; name a folder, or a file that ends in .json")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"nothing can be written to {folder} ({error.strerror}); choose another output") from error
    return folder


def _likelihood(
    config: EvaluateConfig,
    store: TokenStore,
    loaded: LoadedWeights,
    pieces: list[Piece],
    output: Path | None,
    progress: Progress,
) -> dict[str, Any]:
    """The exact figures of the split, and those with shorter contexts."""
    model = loaded.model
    scored = ScoredPieces(output, loaded.fingerprint, store, rounds=model.num_rounds)
    losses = [loss for piece in pieces if (loss := scored.get(piece)) is not None]
    waiting = [piece for piece in pieces if not scored.has(piece)]
    done = _counter(progress, "scoring whole pieces", pieces, [loss.piece for loss in losses])
    for loss in piece_losses(model, store, waiting, done=done):
        scored.add(loss)
        losses.append(loss)
    return {
        "checkpoint": str(config.checkpoint),
        "weights": loaded.fingerprint,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "rounds": model.num_rounds,
        **summary(losses, store.tokenizer.vocabulary),
        "by_context": _by_context(config, model, store, pieces, progress),
        "ngram": _ngram(config, store, pieces),
    }


def _ngram(config: EvaluateConfig, store: TokenStore, pieces: list[Piece]) -> dict[str, Any] | None:
    """The figures of the n-gram baseline; None if it is off."""
    if not config.ngram:
        return None
    training, scored = (
        [store.tokens(piece).astype(np.int64) for piece in some] for some in (store.split("train"), pieces)
    )
    require(len(training) > 0, f"the train split of {config.data} is empty: there is nothing to count n-grams in")
    if config.ngram_keys > 1:
        training = [copy for tokens in training for copy in _in_keys(tokens, store, config.ngram_keys)]
    size = store.tokenizer.vocab_size
    weight = choose_weight(training, order=config.ngram, vocab_size=size, copies=config.ngram_keys)
    nats = ngram_nats(training, scored, order=config.ngram, vocab_size=size, weight=weight)
    losses = [PieceLoss(*found) for found in zip(pieces, nats, [tokens[1:] for tokens in scored], strict=True)]
    return {
        "order": config.ngram,
        "keys": config.ngram_keys,
        "weight": weight,
        "nats_per_token": per_token(losses),
        "nats_per_token_without_end": without_end(losses),
    }


def _by_context(
    config: EvaluateConfig, model: ReformerLM, store: TokenStore, pieces: list[Piece], progress: Progress
) -> list[dict[str, Any]]:
    """Nats per token of the same targets with less context, and with all of it (context 0)."""
    some = pieces[: config.context_pieces]
    longest = max((piece.length - 1 for piece in some), default=0)
    contexts = sorted(context for context in config.contexts if context < longest)
    if not contexts:
        return []
    total = sum(num_short_context_tokens(some, context) for context in contexts) + sum(
        piece.length - 1 for piece in some
    )
    task = progress.add_task("scoring with less context", total=total, rate="")
    done = _advance(progress, task)
    rows: list[dict[str, Any]] = []
    for context in contexts:
        losses = list(short_context_losses(model, store, some, context=context, done=done))
        rows.append({"context": context, "pieces": len(some), "nats_per_token": per_token(losses)})
    whole = list(piece_losses(model, store, some, done=done))
    return [*rows, {"context": 0, "pieces": len(some), "nats_per_token": per_token(whole)}]


def _in_keys(tokens: NDArray[np.int64], store: TokenStore, num_keys: int) -> list[NDArray[np.int64]]:
    """A piece transposed to `num_keys` keys around its own, as in training."""
    augmenter = Augmenter(store.tokenizer.vocabulary, AugmentConfig(transpose=num_keys // 2))
    return [
        augmenter.transpose(tokens.astype(np.uint16), (key + 0.5) / num_keys).astype(np.int64)
        for key in range(num_keys)
    ]


def _pieces(store: TokenStore, config: EvaluateConfig, loaded: LoadedWeights) -> tuple[list[Piece], int]:
    """The pieces to score, and the number of pieces that are longer than the positions of the model."""
    max_length = loaded.model.config.max_length
    split = store.split(config.split)
    require(len(split) > 0, f"the {config.split} split of {config.data} is empty; choose another with split=...")
    fitting = [piece for piece in split if piece.length - 1 <= max_length]
    require(
        len(fitting) > 0,
        f"all pieces of the {config.split} split are longer than the model's {max_length} positions; train one with "
        "a larger model.axial_shape",
    )
    return _some(fitting, config.max_pieces), len(split) - len(fitting)


def _some(pieces: list[Piece], most: int) -> list[Piece]:
    """At most `most` pieces (0: all): the first of each corpus, then the second, and so on."""
    if not most:
        return pieces
    seen: Counter[str] = Counter()
    turn = {}
    for piece in pieces:
        turn[piece.piece_id] = seen[piece.corpus]
        seen[piece.corpus] += 1
    chosen = sorted(pieces, key=lambda piece: (turn[piece.piece_id], piece.piece_id))[:most]
    return sorted(chosen, key=lambda piece: piece.piece_id)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device ({name!r}) is not available here; use device=auto") from error
    return device


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def _counter(progress: Progress, what: str, pieces: list[Piece], already: list[Piece]) -> Callable[[int], None]:
    total, before = (sum(piece.length - 1 for piece in some) for some in (pieces, already))
    return _advance(progress, progress.add_task(what, total=total, completed=before, rate=""))


def _advance(progress: Progress, task: Any) -> Callable[[int], None]:
    def done(tokens: int) -> None:
        speed = progress.tasks[task].speed
        progress.update(task, advance=tokens, rate=f"{speed:,.0f} tokens/s" if speed else "")

    return done
