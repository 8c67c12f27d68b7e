"""The base class of our callbacks, which act after each optimizer step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from music_reformer.training.module import LanguageModule


class AfterStep(Callback):
    """Calls `after_step` once the last batch of an optimizer step is done."""

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Mapping[str, Tensor], batch_idx: int
    ) -> None:
        """Called by Lightning after each batch."""
        if (int(batch["number"]) + 1) % trainer.accumulate_grad_batches == 0:
            assert isinstance(module, LanguageModule)
            self.after_step(trainer, module, trainer.global_step)

    def after_step(self, trainer: pl.Trainer, module: LanguageModule, step: int) -> None:
        """`step` optimizer steps have been taken."""
        raise NotImplementedError
