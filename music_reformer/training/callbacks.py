"""Callbacks after each optimizer step, in this order: stop when asked, validate, log, save.

Lightning's own validation loop, CSV logger and checkpoint callback are not used, because a killed run must resume
exactly. With them, a kill between a checkpoint and the validation of the same step loses that validation, and a resumed
run begins a new CSV. Here, a checkpoint is written last in its step, and records everything done until then.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch

from music_reformer.data.rows import ValidationBatches
from music_reformer.errors import Stopped, UserError
from music_reformer.files import naming
from music_reformer.model.weights import save_weights
from music_reformer.training.after_step import AfterStep
from music_reformer.training.average import WeightAverage
from music_reformer.training.checkpoints import Checkpoints
from music_reformer.training.datamodule import RowDataModule
from music_reformer.training.metrics import MetricsFile
from music_reformer.training.module import LanguageModule, learning_rate_factor
from music_reformer.training.progress_line import ProgressLine
from music_reformer.training.sharded import gathered, whole


class Stopper(AfterStep):
    """Ends the run cleanly on SIGTERM, on Ctrl-C, and after a time; a second signal ends it at once.

    `signal` is the signal that arrived, or None.

    Args:
        max_hours: hours after this start at which to stop; None: never.
        progress: shows why the run ends.
    """

    def __init__(self, *, max_hours: float | None, progress: ProgressLine) -> None:
        self.seconds = math.inf if max_hours is None else max_hours * 3600
        self.progress = progress
        self.received: str | None = None
        self.signal: signal.Signals | None = None
        self._begin = time.monotonic()
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Take over the signals; Lightning's own handler would end the run before its checkpoint."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._on_signal)

    def teardown(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Restore the signal handlers."""
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise Stopped(number)
        self.signal = signal.Signals(number)
        self.received = self.signal.name

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Tell the other processes to stop; the module sends this with the sums of the step."""
        assert isinstance(module, LanguageModule)
        if self.received is None and time.monotonic() - self._begin > self.seconds:
            self.received = "trainer.max_hours"
        module.wants_to_stop = self.received is not None

    def after_step(self, trainer: pl.Trainer, module: LanguageModule, step: int) -> None:
        """Stop after this step if any process was asked to."""
        assert module.last_step is not None
        if module.last_step.stop:
            trainer.should_stop = True
            self.progress.say(f"Stopping after step {step:,} ({self.received or 'asked by another process'}).")


@dataclass(frozen=True)
class CorpusLoss:
    """The validation loss of one corpus.

    Attributes:
        corpus: its name.
        total: loss in nats, summed over the targets.
        num_targets, num_notes: of the validated rows.
    """

    corpus: str
    total: float
    num_targets: float
    num_notes: float

    @property
    def per_token(self) -> float:
        """Nats per token."""
        return self.total / self.num_targets

    @property
    def per_note(self) -> float | None:
        """Nats per note; None for a corpus of integers."""
        return self.total / self.num_notes if self.num_notes else None


class Validator(AfterStep):
    """Computes the loss of the validation rows, every `every` steps and after the last.

    Args:
        every: steps between validations.
        average: the average of the weights, which is validated.
        progress: shows the progress.
    """

    def __init__(self, *, every: int, average: WeightAverage, progress: ProgressLine) -> None:
        self.every, self.average, self.progress = every, average, progress
        # This process's share of the rows; None: there is no validation split.
        self.batches: ValidationBatches | None = None
        # Nats per token at the step just done, corpora weighted as in training; None if it was not validated.
        self.loss: float | None = None
        # The same by corpus, if there are several.
        self.by_corpus: list[CorpusLoss] = []
        self._shares: dict[str, float] = {}

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Load the rows of this process; only now is its rank known."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, RowDataModule)
        self.batches = data.validation_batches()
        mixture = data.mixture
        if mixture is not None:
            self._shares = dict(zip(mixture.names, mixture.shares_C.tolist(), strict=True))

    @torch.no_grad()
    def after_step(self, trainer: pl.Trainer, module: LanguageModule, step: int) -> None:
        """Set `loss` and `by_corpus`."""
        self.loss, self.by_corpus = None, []
        if self.batches is None or (step % self.every and step < trainer.max_steps):
            return
        with self.progress.pause(), self.average.applied(module), gathered(module.model):
            self.loss = self._validation_loss(trainer, module, self.batches)

    def _validation_loss(self, trainer: pl.Trainer, module: LanguageModule, batches: ValidationBatches) -> float:
        strategy = trainer.strategy
        sums = torch.zeros(len(batches.corpora), 3, dtype=torch.float64, device=strategy.root_device)
        module.eval()
        for number in range(len(batches)):
            batch = strategy.batch_to_device(batches[number])
            result = strategy.validation_step(batch, number)
            assert isinstance(result, Mapping)
            found = (result["total"], result["num_targets"], batch["notes"])
            sums[int(batch["corpus"])] += torch.stack([each.double().to(sums.device) for each in found])
            self.progress.validating(number + 1, len(batches))
        module.train()
        rows = zip(batches.corpora, strategy.reduce(sums, reduce_op="sum").tolist(), strict=True)
        losses = [CorpusLoss(name, total, targets, notes) for name, (total, targets, notes) in rows if targets]
        if len(batches.corpora) > 1:
            self.by_corpus = losses
        # Corpora without training data have weight 0, unless all of them lack it.
        weights = [self._shares.get(loss.corpus, 0.0) for loss in losses]
        if not sum(weights):
            weights = [loss.num_targets for loss in losses]
        return sum(weight * loss.per_token for weight, loss in zip(weights, losses, strict=True)) / sum(weights)


class Journal(AfterStep):
    """Writes the loss curves to metrics.csv and TensorBoard, and shows the progress of the run.

    The training loss of a row is the mean over all targets since the previous row.

    Args:
        file: the CSV.
        by_corpus: another CSV, of the validation loss of each corpus, if there are several.
        every: steps between rows; every validation also writes a row.
        validator: provides the validation losses.
        progress: shows the progress.
    """

    def __init__(
        self, *, file: MetricsFile, by_corpus: MetricsFile, every: int, validator: Validator, progress: ProgressLine
    ) -> None:
        self.file, self.by_corpus, self.every = file, by_corpus, every
        self.validator, self.progress = validator, progress
        # Since the row before: loss in nats, targets. Since the start of the run: targets, seconds of training.
        self.state = {"interval_total": 0.0, "interval_targets": 0, "targets": 0, "seconds": 0.0}
        self._mark = self._interval_begin = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to write the same rows."""
        return dict(self.state)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.state.update(state_dict)

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Drop the rows of steps that will be repeated."""
        if trainer.is_global_zero:
            self.file.keep_until(trainer.global_step)
            if self.by_corpus.path.exists():
                self.by_corpus.keep_until(trainer.global_step)
        self.progress.start(trainer.global_step)
        self._mark = self._interval_begin = time.monotonic()

    def after_step(self, trainer: pl.Trainer, module: LanguageModule, step: int) -> None:
        """Add to the sums; write a row when one is due."""
        result, state = module.last_step, self.state
        assert result is not None
        if not math.isfinite(result.total):
            raise UserError(
                f"the loss is not a finite number at step {step}; lower optimizer.learning_rate, use another output "
                "folder or resume from an earlier checkpoint"
            )
        now = time.monotonic()
        state["seconds"] += now - self._mark
        self._mark = now
        state["interval_total"] += result.total
        state["interval_targets"] += result.num_targets
        state["targets"] += result.num_targets
        self.progress.step(step, loss=result.total / result.num_targets, num_targets=result.num_targets)
        if step % self.every == 0 or self.validator.loss is not None:
            self._write(trainer, module, step)
            self._write_by_corpus(trainer, step)

    def _write_by_corpus(self, trainer: pl.Trainer, step: int) -> None:
        losses = self.validator.by_corpus
        if not losses:
            return
        self.progress.say("  " + "  ".join(f"{loss.corpus} {loss.per_token:.3f}" for loss in losses))
        if not trainer.is_global_zero:
            return
        for loss in losses:
            self.by_corpus.append(
                {
                    "step": step,
                    "corpus": loss.corpus,
                    "nats_per_token": loss.per_token,
                    "nats_per_note": loss.per_note,
                    "targets": int(loss.num_targets),
                    "notes": round(loss.num_notes),
                }
            )
        if trainer.logger is not None:
            scalars = {f"validation/{loss.corpus}": loss.per_token for loss in losses}
            trainer.logger.log_metrics(scalars, step=step)

    def _write(self, trainer: pl.Trainer, module: LanguageModule, step: int) -> None:
        state, config = self.state, module.config
        assert module.last_step is not None
        peak, max_steps = config.optimizer.learning_rate, config.trainer.max_steps
        row = {
            "step": step,
            "train_loss": state["interval_total"] / state["interval_targets"],
            "validation_loss": self.validator.loss,
            "learning_rate": peak * learning_rate_factor(step - 1, config=config.optimizer, max_steps=max_steps),
            "gradient_norm": float(module.last_step.gradient_norm),  # type: ignore[arg-type]
            "targets": state["targets"],
            "targets_per_second": round(self.progress.rate, 1),
            "seconds": round(state["seconds"], 1),
        }
        state["interval_total"], state["interval_targets"] = 0.0, 0
        self.progress.row(row)
        if trainer.is_global_zero:
            self.file.append(row)
            if trainer.logger is not None:
                scalars = {name: value for name, value in row.items() if name != "step" and value is not None}
                trainer.logger.log_metrics(scalars, step=step)


class Saver(AfterStep):
    """Saves checkpoints (`checkpoints.py`), and the best weights so far as `weights/`.

    Args:
        folder: of the run.
        every: steps between checkpoints; one is also saved at the best validation so far and at the end.
        validator: its losses decide which weights are best; without losses, the last weights are exported.
        average: the average of the weights, which is exported; a checkpoint has both.
        info: information about the data, saved with the weights.
        progress: shows what was saved.
    """

    def __init__(
        self,
        *,
        folder: Path,
        every: int,
        validator: Validator,
        average: WeightAverage,
        info: dict[str, Any],
        progress: ProgressLine,
    ) -> None:
        self.folder, self.every, self.validator, self.average = folder, every, validator, average
        self.checkpoints = Checkpoints(folder / "checkpoints")
        self.info, self.progress = info, progress
        self.best_loss = math.inf
        self.num_worse = 0  # validations since the best

    def state_dict(self) -> dict[str, Any]:
        """The best loss so far, and the number of validations since."""
        return {"best_loss": self.best_loss, "num_worse": self.num_worse}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.best_loss = state_dict["best_loss"]
        self.num_worse = state_dict.get("num_worse", 0)

    def after_step(self, trainer: pl.Trainer, module: LanguageModule, step: int) -> None:
        """Save when a checkpoint is due; stop after too many validations without improvement."""
        loss = self.validator.loss
        best = loss is not None and loss < self.best_loss
        if loss is not None:
            self.best_loss = min(loss, self.best_loss)
            self.num_worse = 0 if best else self.num_worse + 1
            patience = module.config.trainer.patience
            if not best and patience and self.num_worse >= patience:
                trainer.should_stop = True
                self.progress.say(
                    f"Stopping after step {step:,}: the last {self.num_worse} validations found nothing better than "
                    f"{self.best_loss:.4f}."
                )
        last = trainer.should_stop or step >= trainer.max_steps
        if best or (self.validator.batches is None and (last or step % self.every == 0)):
            self._export(trainer, module, step)
        if best or last or step % self.every == 0:
            self._save(trainer, best=best)
        if last:
            self.progress.say(f"Step {step:,} is saved in {self.checkpoints.last}.")

    def _save(self, trainer: pl.Trainer, *, best: bool) -> None:
        temporary = self.checkpoints.path / "last.ckpt.tmp"
        with naming(self.checkpoints.last):
            try:
                trainer.save_checkpoint(temporary)  # called in all processes
                if trainer.is_global_zero:
                    self.checkpoints.keep(temporary, best=best)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise

    def _export(self, trainer: pl.Trainer, module: LanguageModule, step: int) -> None:
        with self.average.applied(module):
            tensors = whole(module.model.state_dict())  # called in all processes
            if trainer.is_global_zero:
                info = {**self.info, "step": step, "validation_loss": self.validator.loss}
                save_weights(
                    self.folder / "weights",
                    module.model,
                    module.tokenizer_settings,
                    info,
                    can_infill=module.config.augment.infill > 0,
                    knows_names=module.config.augment.named > 0,
                    tensors=tensors,
                )
