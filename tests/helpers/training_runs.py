"""Training runs in processes of their own, which may be killed at a chosen moment."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from helpers.ports import free_port
from helpers.small_models import SMALLEST
from music_reformer.config import AugmentConfig, ModelConfig, OptimizerConfig, TrainConfig, TrainerConfig
from music_reformer.errors import Stopped
from music_reformer.exit import leave

# Generous: the machine may be busy with a training.
JOIN_SECONDS = 240
# Every process starts from one server that has imported torch and Lightning already.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["music_reformer.training.run", "torch.utils.tensorboard", "matplotlib.backends.backend_agg", "matplotlib.figure"]
)


def small_config(data: Path, output: Path, **trainer: Any) -> TrainConfig:
    """A run of seconds that uses everything random: dropout, rotations, augmentation, position offsets."""
    return TrainConfig(
        data=str(data),
        output=str(output),
        seed=5,
        model=ModelConfig(**SMALLEST, axial_shape=[32, 16], dropout=0.1),
        optimizer=OptimizerConfig(warmup_steps=3, learning_rate=3e-3),
        augment=AugmentConfig(programs=0.5, position_offset=True),
        trainer=TrainerConfig(
            **{
                "max_steps": 12,
                "row_tokens": 64,
                "rows_per_batch": 2,
                "accumulate": 2,
                "accelerator": "cpu",
                "validate_every": 4,
                "checkpoint_every": 3,
                "log_every": 1,
                "threads": 1,
                **trainer,
            }
        ),
    )


def run_in_process(config: TrainConfig, before: Callable[..., None] | None = None, *arguments: Any) -> int | None:
    """Train in a process of its own after calling `before(*arguments)` there; returns its exit code."""
    process = _CONTEXT.Process(target=_child, args=(config, before, arguments))
    process.start()
    process.join(JOIN_SECONDS)
    assert process.exitcode is not None, "the training hangs"
    return process.exitcode


def run_distributed(
    config: TrainConfig,
    world_size: int,
    before: Callable[..., None],
    *arguments: Any,
    exit_codes: Sequence[int] | None = None,
) -> None:
    """Train in `world_size` processes over gloo, which must end with these exit codes (None: with 0)."""
    port = free_port()
    processes = [
        _CONTEXT.Process(target=_ranked_child, args=(config, rank, world_size, port, before, arguments))
        for rank in range(world_size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(JOIN_SECONDS)
    expected = [0] * world_size if exit_codes is None else list(exit_codes)
    found = [process.exitcode for process in processes]
    assert found == expected, f"exit codes {found}, not {expected}"


def _child(config: TrainConfig, before: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    from music_reformer.training.run import train

    torch.set_num_threads(1)
    if before is not None:
        before(*arguments)
    train(config)


def _ranked_child(
    config: TrainConfig, rank: int, world_size: int, port: int, before: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    from pytorch_lightning.utilities.rank_zero import rank_zero_only

    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE=str(world_size))
    os.environ.update(NODE_RANK="0", LOCAL_RANK=str(rank), RANK=str(rank))
    rank_zero_only.rank = rank  # Lightning reads it when it is imported, which the server has done before.
    try:
        _child(config, before, arguments)
    except Stopped as stopped:
        leave(128 + stopped.signal)
    leave(0)


def signal_in_batch(number: int, signal_name: str) -> None:
    """Have a signal arrive while micro-step `number` is computed."""
    from music_reformer.training.module import LanguageModule

    original = LanguageModule.training_step

    def training_step(self: LanguageModule, batch: Any, batch_idx: int) -> Any:
        if int(batch["number"]) == number:
            os.kill(os.getpid(), getattr(signal, signal_name))
        return original(self, batch, batch_idx)

    LanguageModule.training_step = training_step  # type: ignore[method-assign]


def kill_after_row(step: int) -> None:
    """SIGKILL when the row of `step` is written, before its checkpoint."""
    from music_reformer.training.metrics import MetricsFile

    original = MetricsFile.append

    def append(self: MetricsFile, row: Any) -> None:
        original(self, row)
        if row["step"] == step:
            with self.path.open("a") as file:
                file.write(f"{step + 1},3.")  # And a torn line after it.
            os.kill(os.getpid(), signal.SIGKILL)

    MetricsFile.append = append  # type: ignore[method-assign]


def kill_in_checkpoint(step: int) -> None:
    """SIGKILL when the checkpoint of `step` is half-written."""
    import pytorch_lightning as pl

    original = pl.Trainer.save_checkpoint

    def save_checkpoint(self: pl.Trainer, path: Path) -> None:
        original(self, path)
        if self.global_step == step:
            Path(path).write_bytes(Path(path).read_bytes()[:1000])
            os.kill(os.getpid(), signal.SIGKILL)

    pl.Trainer.save_checkpoint = save_checkpoint  # type: ignore[method-assign, assignment]


def record_plans(path: Path) -> None:
    """Write down which epochs are planned, a line each."""
    from music_reformer.data.rows import TrainingBatches

    original = TrainingBatches.plan

    def plan(self: TrainingBatches, epoch: int) -> Any:
        with path.open("a") as file:
            file.write(f"{epoch}\n")
        return original(self, epoch)

    TrainingBatches.plan = plan  # type: ignore[method-assign]


def dump_gradients(path: Path) -> None:
    """Save the gradients of every optimizer step, before clipping, to <path>/<step>.pt (first process only)."""
    from music_reformer.training.module import LanguageModule

    original = LanguageModule.configure_gradient_clipping

    def configure_gradient_clipping(self: LanguageModule, *arguments: Any, **named: Any) -> None:
        if self.global_rank == 0:
            path.mkdir(parents=True, exist_ok=True)
            gradients = {name: p.grad.clone() for name, p in self.model.named_parameters() if p.grad is not None}
            torch.save(gradients, path / f"{self.trainer.global_step}.pt")
        original(self, *arguments, **named)

    LanguageModule.configure_gradient_clipping = configure_gradient_clipping  # type: ignore[method-assign]


def kill_after_seconds(seconds: float) -> None:
    """SIGKILL after a time, at any point of the run."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL))
    timer.daemon = True
    timer.start()


def count_parts(path: Path) -> None:
    """Write to <path>/<rank> how many elements of the weights this process has when training begins."""
    from torch.distributed.tensor import DTensor

    from music_reformer.training.callbacks import Validator

    original = Validator.on_train_start

    def on_train_start(self: Validator, trainer: Any, module: Any) -> None:
        original(self, trainer, module)
        path.mkdir(parents=True, exist_ok=True)
        tensors = [p.to_local() if isinstance(p, DTensor) else p for p in module.model.parameters()]
        (path / str(trainer.global_rank)).write_text(str(sum(tensor.numel() for tensor in tensors)))

    Validator.on_train_start = on_train_start  # type: ignore[method-assign]
