"""The Lightning module around the plain model: loss, gradient scale, optimizer, schedule.

A micro-step is one batch of one process; an optimizer step is `trainer.accumulate` of them. All randomness of a
micro-step (dropout, hash rotations) is seeded from its number, so there is no random state to save for a resumed run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor

from music_reformer.config import OptimizerConfig, TrainConfig, to_plain
from music_reformer.model.reformer import ReformerLM
from music_reformer.training.optimizer import build_optimizer
from music_reformer.training.sharded import ShardedStrategy, whole

_ROTATIONS, _DROPOUT = 10, 11


def derived_seed(*numbers: int) -> int:
    """A 63-bit seed derived from any numbers, so that different purposes get unrelated random streams."""
    return int(np.random.SeedSequence(list(numbers)).generate_state(1, np.uint64)[0] >> 1)


def learning_rate_factor(step: int, *, config: OptimizerConfig, max_steps: int) -> float:
    """Fraction of the peak learning rate at an optimizer step: linear warm-up, then half a cosine or a cool-down."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.cooldown_steps is None:
        done = min(1.0, (step - config.warmup_steps) / max(1, max_steps - config.warmup_steps))
        left = 0.5 * (1 + math.cos(math.pi * done))
    else:
        left = min(1.0, max(0, max_steps - step) / max(1, config.cooldown_steps))
    return config.final_fraction + (1 - config.final_fraction) * left


@dataclass
class StepResult:
    """One optimizer step, over all processes and accumulated batches.

    Attributes:
        total: loss in nats, summed over the targets.
        num_targets: number of targets.
        stop: whether any process wants to stop.
        gradient_norm: norm before clipping; a scalar tensor, so that the GPU need not be waited for.
    """

    total: float
    num_targets: int
    stop: bool
    gradient_norm: Tensor | None = None


class LanguageModule(pl.LightningModule):
    """The Lightning module of a training run.

    Args:
        model: the plain model.
        config: settings of the run.
        tokenizer_settings: `MusicTokenizer.to_json()`, kept in checkpoints.
    """

    def __init__(self, *, model: ReformerLM, config: TrainConfig, tokenizer_settings: dict[str, Any]) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.tokenizer_settings = tokenizer_settings
        self.last_step: StepResult | None = None
        # Set by a callback of this process; passed to the other processes with the sums of the step.
        self.wants_to_stop = False
        self._sums: Tensor | None = None

    def configure_model(self) -> None:
        """Shard the weights if the strategy asks for it."""
        if isinstance(self.trainer.strategy, ShardedStrategy):
            self.trainer.strategy.shard(self.model)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Sum of the losses of one batch; `on_before_optimizer_step` turns the gradients into those of the mean."""
        number = int(batch["number"])
        torch.manual_seed(derived_seed(self.config.seed, _DROPOUT, number, self.global_rank))
        rotations = derived_seed(self.config.seed, _ROTATIONS, number)
        self.model.redraw_rotations(rotations, rank=self.global_rank, world_size=self.trainer.world_size)
        total, num_targets = self._loss(batch)
        sums = torch.stack([total.detach().double(), num_targets.double(), torch.zeros_like(total).double()])
        self._sums = sums if self._sums is None else self._sums + sums
        return total

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Sum of the losses of one batch and its number of targets."""
        total, num_targets = self._loss(batch)
        return {"total": total, "num_targets": num_targets}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Scale the gradients to the mean over all targets of the step, in all processes and accumulated batches.

        A mean of means would differ, because processes and batches have different numbers of targets.
        """
        assert self._sums is not None
        self._sums[2] = float(self.wants_to_stop)
        total, num_targets, num_stops = self.trainer.strategy.reduce(self._sums, reduce_op="sum").tolist()
        self._sums = None
        # Lightning has divided by the accumulated batches, and the strategy by the processes.
        scale = self.trainer.accumulate_grad_batches * self.trainer.world_size / max(1.0, num_targets)
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(scale)
        self.last_step = StepResult(total=total, num_targets=int(num_targets), stop=num_stops > 0)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip to `optimizer.clip_norm` (0: no clipping), and keep the norm before clipping for the log."""
        assert self.last_step is not None
        limit = self.config.optimizer.clip_norm or math.inf
        self.last_step.gradient_norm = whole(torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimizer of the configuration and its schedule."""
        config = self.config.optimizer
        optimizer = build_optimizer(self.model, config)
        max_steps = self.config.trainer.max_steps
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(step, config=config, max_steps=max_steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the settings as plain containers: weights-only loading refuses dataclasses."""
        checkpoint["hyper_parameters"] = {
            "model": to_plain(self.model.config),
            "tokenizer": self.tokenizer_settings,
            "train": to_plain(self.config),
        }

    def _loss(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return self.model.loss(
            batch["tokens"], batch["targets"], document_BL=batch["documents"], position_BL=batch["positions"]
        )
