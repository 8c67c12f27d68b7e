"""The average of the weights over the last steps, often better and less noisy than the last weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from music_reformer.training.after_step import AfterStep
from music_reformer.training.module import LanguageModule
from music_reformer.training.sharded import placed_like, whole


class WeightAverage(AfterStep):
    """An exponential moving average of all trainable weights (Polyak and Juditsky 1992; "EMA").

    The decay is smaller in the first steps, so that the initial weights soon leave the average.

    Args:
        decay: fraction of the average kept at each step, below 1; 0: no average.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self._average: dict[str, Tensor] = {}

    def state_dict(self) -> dict[str, Any]:
        """The average, for the checkpoint."""
        return dict(whole(self._average))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self._average = dict(state_dict)

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Start from the current weights, or from the checkpoint's average."""
        assert isinstance(module, LanguageModule)
        if self.decay:
            self._average = {
                name: placed_like(self._average.get(name, parameter), parameter).clone()
                for name, parameter in module.model.named_parameters()
                if parameter.requires_grad
            }

    @torch.no_grad()
    def after_step(self, trainer: pl.Trainer, module: LanguageModule, step: int) -> None:
        """Add the weights of this step."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, parameter in module.model.named_parameters():
            if name in self._average:
                self._average[name].lerp_(parameter, 1 - decay)

    @contextmanager
    @torch.no_grad()
    def applied(self, module: LanguageModule) -> Iterator[None]:
        """Within the block, use the average as the weights of the model."""
        own = {}
        for name, parameter in module.model.named_parameters():
            if name in self._average:
                own[name] = parameter.detach().clone()
                parameter.copy_(self._average[name])
        try:
            yield
        finally:
            for name, parameter in module.model.named_parameters():
                if name in own:
                    parameter.copy_(own[name])
