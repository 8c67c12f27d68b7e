"""`music-reformer train`: a token store to checkpoints and weights; resumes what it finds in the output folder.

Start reading here: store -> model -> Lightning module -> trainer with the callbacks of `callbacks.py`.
"""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from music_reformer.config import TrainConfig, TrainerConfig, require
from music_reformer.data.store import TokenStore
from music_reformer.errors import Stopped, UserError
from music_reformer.model.reformer import ReformerLM
from music_reformer.model.weights import load_weights
from music_reformer.training.average import WeightAverage
from music_reformer.training.callbacks import Journal, Saver, Stopper, Validator
from music_reformer.training.datamodule import RowDataModule
from music_reformer.training.metrics import BY_CORPUS, MetricsFile
from music_reformer.training.module import LanguageModule
from music_reformer.training.muon import has_bfloat16
from music_reformer.training.plots import plot
from music_reformer.training.progress_line import ProgressLine
from music_reformer.training.run_folder import RunFolder
from music_reformer.training.sharded import ShardedStrategy
from music_reformer.training.trainable import choose_trainable


def train(config: TrainConfig) -> Path:
    """Train until `trainer.max_steps`, or until stopped; returns the folder of the exported weights.

    Args:
        config: `config.model.vocab_size` may be 0: it is taken from the store.

    Raises:
        UserError: the store or the initial weights do not fit, or another run is in the output folder. Nothing is
            written then.
        Stopped: a signal stopped the run; a checkpoint of the last step is saved.
    """
    quiet()
    config.check()
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    first_process = getattr(rank_zero_only, "rank", 0) == 0
    progress = ProgressLine(max_steps=config.trainer.max_steps, shown=first_process)
    store = open_store(config)
    folder = RunFolder(Path(config.output), config=config, store=store)
    checkpoint, first_step = folder.find(progress.say)
    if first_step >= config.trainer.max_steps:
        progress.say(f"The run in {folder.path} has already done its {first_step:,} steps.")
        return folder.weights

    module = build_module(config, store, is_new=checkpoint is None)
    stopper = Stopper(max_hours=config.trainer.max_hours, progress=progress)
    trainer = build_trainer(config, first_step, [stopper, *_callbacks(config, folder, store, progress)])
    lock = folder.claim() if first_process else None
    if first_process:
        folder.write_settings()
    progress.say(
        f"A new run in {folder.path}."
        if checkpoint is None
        else f"Resuming the run in {folder.path} after step {first_step:,}."
    )
    train_pieces = store.split("train")
    progress.say(
        f"{sum(p.numel() for p in module.parameters()):,} parameters, "
        f"{sum(p.numel() for p in module.parameters() if p.requires_grad):,} of them learn; "
        f"{sum(piece.length for piece in train_pieces):,} training tokens in {len(train_pieces):,} pieces; "
        f"{len(store.split('validation')):,} pieces for validation."
    )
    data = RowDataModule(store=store, config=config)
    if (mixture := data.mixture) is not None:
        shares = sorted(zip(mixture.names, mixture.shares_C, strict=True), key=lambda named: -named[1])
        progress.say("Shares of the training tokens: " + ", ".join(f"{name} {share:.1%}" for name, share in shares))
    _fit(trainer, module, data, checkpoint)
    if lock is not None:
        plot([folder.path], folder.path / "loss.png")
        lock.close()
    if stopper.signal is not None and trainer.global_step < config.trainer.max_steps:
        raise Stopped(stopper.signal)
    return folder.weights


def _fit(trainer: pl.Trainer, module: LanguageModule, data: RowDataModule, checkpoint: Path | None) -> None:
    """Train, from a checkpoint if there is one. Raises `UserError` if memory runs out."""
    try:
        trainer.fit(
            module,
            datamodule=data,
            ckpt_path=checkpoint,
            weights_only=True,
        )
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise UserError(_out_of_memory(data.config)) from error
        raise


def open_store(config: TrainConfig) -> TokenStore:
    """Open the token store, and set `config.model.vocab_size`."""
    store = TokenStore.open(config.data)
    vocabulary = store.tokenizer.vocab_size
    require(
        config.model.vocab_size in (0, vocabulary),
        f"model.vocab_size ({config.model.vocab_size}) must be the {vocabulary} of the token store; leave it at 0",
    )
    require(len(store.split("train")) > 0, f"the training split of {config.data} is empty; prepare it with more pieces")
    config.model.vocab_size = vocabulary
    return store


def build_module(config: TrainConfig, store: TokenStore, *, is_new: bool) -> LanguageModule:
    """The module before the first step or, if not `is_new`, one into which a checkpoint will be loaded."""
    torch.manual_seed(config.seed)
    model = ReformerLM(config.model)
    if config.initial is not None and is_new:
        _load_initial(model, config.initial, store)
    choose_trainable(model, config)
    return LanguageModule(model=model, config=config, tokenizer_settings=store.tokenizer.to_json())


def _load_initial(model: ReformerLM, path: str, store: TokenStore) -> None:
    loaded = load_weights(path)
    fingerprint = type(store.tokenizer).from_json(loaded.tokenizer_settings).fingerprint
    require(
        fingerprint == store.tokenizer.fingerprint,
        f"initial ({path}) was trained with another tokenizer than that of {store.path}; prepare the data with its "
        "tokenizer",
    )
    try:
        model.load_state_dict(loaded.model.state_dict())
    except RuntimeError as error:
        raise UserError(f"initial ({path}) has another shape than model; give the same model") from error


def _callbacks(config: TrainConfig, folder: RunFolder, store: TokenStore, progress: ProgressLine) -> list[Callback]:
    """The callbacks after each step, in this order; `Stopper` comes before them."""
    settings = config.trainer
    average = WeightAverage(settings.ema)
    validator = Validator(every=settings.validate_every, average=average, progress=progress)
    info = {
        "data": str(config.data),
        "seed": config.seed,
        "tokenizer_fingerprint": store.tokenizer.fingerprint,
    }
    return [
        average,
        validator,
        Journal(
            file=MetricsFile(folder.path / "metrics.csv"),
            by_corpus=MetricsFile(folder.path / "validation.csv", BY_CORPUS),
            every=settings.log_every,
            validator=validator,
            progress=progress,
        ),
        Saver(
            folder=folder.path,
            every=settings.checkpoint_every,
            validator=validator,
            average=average,
            info=info,
            progress=progress,
        ),
    ]


def build_trainer(config: TrainConfig, first_step: int, callbacks: list[Callback]) -> pl.Trainer:
    """Lightning's trainer for these settings; raises `UserError` if this machine does not support them."""
    settings = config.trainer
    # Steps at and after purge_step are written again.
    logger = TensorBoardLogger(
        config.output, name="tensorboard", version="", default_hp_metric=False, purge_step=first_step + 1
    )
    try:
        return pl.Trainer(
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.num_nodes,
            strategy=ShardedStrategy() if settings.strategy == "fsdp" else settings.strategy,
            precision=_precision(settings),  # type: ignore[arg-type]
            max_steps=settings.max_steps,
            max_epochs=-1,
            accumulate_grad_batches=settings.accumulate,
            # The data module itself distributes rows to processes.
            use_distributed_sampler=False,
            logger=logger,
            callbacks=callbacks,
            default_root_dir=config.output,
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            limit_val_batches=0,
            num_sanity_val_steps=0,
        )
    except (MisconfigurationException, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise UserError(
            f"trainer.accelerator={settings.accelerator} devices={settings.devices} strategy={settings.strategy} "
            f"cannot be used here: {reason}"
        ) from error


def _out_of_memory(config: TrainConfig) -> str:
    settings, model = config.trainer, config.model
    advice = [
        *(["model.recompute=true"] if not model.recompute else []),
        *([f"trainer.rows_per_batch={settings.rows_per_batch // 2} trainer.accumulate={settings.accumulate * 2}"]
          if settings.rows_per_batch > 1 else []),
        f"trainer.row_tokens={settings.row_tokens // 2}",
        *([f"model.chunk={model.chunk // 4}"] if model.chunk > 1024 else []),
    ]  # fmt: skip
    return (
        f"memory ran out with {settings.rows_per_batch} rows of {settings.row_tokens:,} tokens; try, in this order, "
        f"{', then '.join(advice)}; checkpoints made so far are kept"
    )


def _precision(settings: TrainerConfig) -> str:
    if settings.precision != "auto":
        return settings.precision
    on_gpu = settings.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return "bf16-mixed" if has_bfloat16("cuda" if on_gpu else "cpu") else "32-true"


def quiet() -> None:
    """Show only our own output: no tips, no advice on loader workers."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    warnings.filterwarnings("ignore", module="lightning_fabric")
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*optimizer.step.*")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # tensorboard's
