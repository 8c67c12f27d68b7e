"""`music-reformer train`: a token store to checkpoints and weights; resumes what it finds in the output folder.

Start reading here: store -> model -> Lightning module -> trainer with the callbacks of `callbacks.py`.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import warnings
from pathlib import Path
from typing import IO, Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from music_reformer.config import TrainConfig, require, to_plain
from music_reformer.data.store import TokenStore
from music_reformer.errors import UserError
from music_reformer.model.reformer import ReformerLM
from music_reformer.model.weights import load_weights
from music_reformer.training.callbacks import Journal, Saver, Stopper, Validator
from music_reformer.training.datamodule import RowDataModule
from music_reformer.training.metrics import MetricsFile
from music_reformer.training.module import LanguageModule
from music_reformer.training.plots import plot
from music_reformer.training.progress import Progress

# Settings that a resumed run may change: they leave the curve of the training loss as it is.
FREE_KEYS = frozenset(
    f"trainer.{name}"
    for name in (
        "max_hours",
        "threads",
        "loader_workers",
        "log_every",
        "checkpoint_every",
        "validate_every",
        "validation_rows",
    )
) | {"data", "output"}


def train(config: TrainConfig) -> Path:
    """Train until `trainer.max_steps`, or until stopped; returns the folder of the exported weights.

    Args:
        config: `config.model.vocab_size` may be 0: it is taken from the store.

    Raises:
        UserError: the store or the initial weights do not fit, or another run is in the output folder.
    """
    _quiet()
    _check(config)
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    store = TokenStore.open(config.data)
    vocabulary = store.tokenizer.vocab_size
    require(
        config.model.vocab_size in (0, vocabulary),
        f"model.vocab_size ({config.model.vocab_size}) must be the {vocabulary} of the token store; leave it at 0",
    )
    config.model.vocab_size = vocabulary
    progress = Progress(max_steps=config.trainer.max_steps, shown=_is_first_process())

    folder = Path(config.output)
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    lock = _lock(folder)
    checkpoint, first_step = _find_run(folder, config, store)
    if checkpoint is None:
        progress.say(f"A new run in {folder}.")
    elif first_step >= config.trainer.max_steps:
        progress.say(f"The run in {folder} has already done its {first_step:,} steps.")
        return folder / "weights"
    else:
        progress.say(f"Going on with the run in {folder} after step {first_step:,}.")

    model = _initial_model(config, store)
    module = LanguageModule(model=model, config=config, tokenizer_settings=store.tokenizer.to_json())
    data = RowDataModule(store=store, config=config)
    num_tokens = sum(piece.length for piece in store.split("train"))
    progress.say(
        f"{sum(p.numel() for p in model.parameters()):,} parameters; {num_tokens:,} training tokens in "
        f"{len(store.split('train')):,} pieces; {len(store.split('validation')):,} pieces for validation."
    )
    validator = Validator(every=config.trainer.validate_every, data=data, progress=progress)
    info = {"data": str(config.data), "seed": config.seed, "tokenizer_fingerprint": store.tokenizer.fingerprint}
    callbacks: list[Callback] = [
        Stopper(max_hours=config.trainer.max_hours, progress=progress),
        validator,
        Journal(
            file=MetricsFile(folder / "metrics.csv"),
            every=config.trainer.log_every,
            validator=validator,
            progress=progress,
        ),
        Saver(
            folder=folder,
            every=config.trainer.checkpoint_every,
            validator=validator,
            info=info,
            progress=progress,
        ),
    ]
    trainer = _trainer(config, folder, first_step, callbacks)
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    if lock is not None:
        plot(folder)
        lock.close()
    return folder / "weights"


def _trainer(config: TrainConfig, folder: Path, first_step: int, callbacks: list[Callback]) -> pl.Trainer:
    settings = config.trainer
    precision = settings.precision
    if precision == "auto":
        on_gpu = settings.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
        precision = "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported() else "32-true"
    return pl.Trainer(
        accelerator=settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        strategy=settings.strategy,
        precision=precision,  # type: ignore[arg-type]
        max_steps=settings.max_steps,
        max_epochs=-1,
        accumulate_grad_batches=settings.accumulate,
        # The data module strides rows by process itself.
        use_distributed_sampler=False,
        # Steps at and after this one are written again.
        logger=TensorBoardLogger(
            folder, name="tensorboard", version="", default_hp_metric=False, purge_step=first_step + 1
        ),
        callbacks=callbacks,
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
    )


def _is_first_process() -> bool:
    return getattr(rank_zero_only, "rank", 0) == 0


def _lock(folder: Path) -> IO[str] | None:
    """Keep a second training out of the folder for as long as the file is open; None but in the first process.

    Raises:
        UserError: another training has it.
    """
    if not _is_first_process():
        return None
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(f"another training is writing to {folder}; wait for it, or give another output=...") from error
    return lock


def _check(config: TrainConfig) -> None:
    settings = config.trainer
    for name in ("max_steps", "rows_per_batch", "accumulate", "validate_every", "checkpoint_every", "log_every"):
        require(getattr(settings, name) >= 1, f"trainer.{name} ({getattr(settings, name)}) must be at least 1")
    require(
        settings.precision in ("auto", "32-true", "bf16-mixed"),
        f"trainer.precision ({settings.precision!r}) must be auto, 32-true or bf16-mixed",
    )
    require(config.seed >= 0, f"seed ({config.seed}) must not be negative")


def _find_run(folder: Path, config: TrainConfig, store: TokenStore) -> tuple[Path | None, int]:
    """The checkpoint to go on from and its step; (None, 0) for a new run, whose settings are then written down.

    Raises:
        UserError: the folder holds a run with other settings.
    """
    pieces = store.split("train")
    settings = to_plain(config) | {
        "store": {
            "tokenizer": store.tokenizer.fingerprint,
            "train_pieces": len(pieces),
            "train_tokens": sum(piece.length for piece in pieces),
        }
    }
    settings = json.loads(json.dumps(settings))
    path, checkpoint = folder / "run.json", folder / "checkpoints" / "last.ckpt"
    if path.exists() and checkpoint.exists():
        # A setting that is newer than the run had its default then.
        before = _filled(json.loads(path.read_text()), json.loads(json.dumps(to_plain(TrainConfig()))))
        changed = [
            f"{key} ({old} before, {new} now)"
            for key, old, new in _differences(before, settings)
            if key not in FREE_KEYS
        ]
        if changed:
            raise UserError(
                f"{folder} holds a run with other settings: {', '.join(changed)}; give another output=..., or the same "
                "settings to go on with it"
            )
        return checkpoint, int(torch.load(checkpoint, weights_only=True, mmap=True)["global_step"])
    if _is_first_process():
        temporary = path.with_suffix(".json.tmp")
        temporary.write_text(json.dumps(settings, indent=1) + "\n")
        temporary.replace(path)
    return None, 0


def _filled(settings: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """`settings`, with what they lack taken from `defaults`."""
    filled = dict(settings)
    for key, value in defaults.items():
        if key not in filled:
            filled[key] = value
        elif isinstance(value, dict):
            filled[key] = _filled(filled[key], value)
    return filled


def _differences(before: Any, now: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """(dotted key, value before, value now) of all leaves that differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        found = []
        for name in [*before, *(name for name in now if name not in before)]:
            found += _differences(before.get(name), now.get(name), f"{key}.{name}".lstrip("."))
        return found
    return [] if before == now else [(key, before, now)]


def _initial_model(config: TrainConfig, store: TokenStore) -> ReformerLM:
    """A model made from the seed, or from `config.initial`."""
    torch.manual_seed(config.seed)
    model = ReformerLM(config.model)
    if config.initial is not None:
        loaded = load_weights(config.initial)
        fingerprint = type(store.tokenizer).from_json(loaded.tokenizer_settings).fingerprint
        require(
            fingerprint == store.tokenizer.fingerprint,
            f"initial ({config.initial}) was trained with another tokenizer than that of {config.data}; prepare the "
            "store with its tokenizer",
        )
        try:
            model.load_state_dict(loaded.model.state_dict())
        except RuntimeError as error:
            raise UserError(f"initial ({config.initial}) has another shape than model; give the same model") from error
    return model


def _quiet() -> None:
    """Only our own lines: no tips, no advice on loader workers."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    warnings.filterwarnings("ignore", module="lightning_fabric")
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*optimizer.step.*")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # tensorboard's
