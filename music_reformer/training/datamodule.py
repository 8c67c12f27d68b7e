"""The Lightning data module: training batches from the current step on, and the validation rows."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from music_reformer.config import TrainConfig
from music_reformer.data.mixture import Mixture, mixture_config
from music_reformer.data.rows import CurriculumBatches, TrainingBatches, ValidationBatches

# Distance between the seeds of curriculum stages, so that each stage draws different augmentations.
STAGES_APART = 1_000_003


class _CountFrom(Sampler[int]):
    """start, start + 1, ...: never ends, so that Lightning sees one epoch without a length."""

    def __init__(self, start: int) -> None:
        self.start = start

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.start)


class _Batches(Dataset[dict[str, Tensor]]):
    def __init__(self, batches: CurriculumBatches) -> None:
        self.batches = batches

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        return self.batches[number]


def _ignore_interrupts(worker: int) -> None:
    """Ignore Ctrl-C, which reaches all processes of a terminal: workers are needed until the last step is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def training_mixture(store: Any, config: TrainConfig) -> Mixture | None:
    """How often each corpus of a store is trained on; None if there is only one."""
    pieces = store.split("train")
    if len(pieces.corpora) < 2:
        return None
    asked = mixture_config(store.info.get("mixture", {}), config.mixture)
    return Mixture.of(pieces.corpora, pieces.corpus_of, pieces.lengths, asked)


class RowDataModule(pl.LightningDataModule):
    """Batches for one run.

    Args:
        store: an open `TokenStore`.
        config: settings of the run; `config.model` gives the number of positions.
    """

    def __init__(self, *, store: Any, config: TrainConfig) -> None:
        super().__init__()
        self.store, self.config = store, config
        # None: the store holds one corpus.
        self.mixture = training_mixture(store, config)
        # Stage, epoch and the number of its first batch, of the batch seen last.
        self._epoch = (0, 0, 0)

    def on_before_batch_transfer(self, batch: dict[str, Tensor], dataloader_idx: int) -> dict[str, Tensor]:
        """Note a batch's epoch, so that a resumed run need not plan earlier epochs, each a pass over the corpus."""
        if "epoch" in batch:
            self._epoch = tuple(batch["epoch"].tolist())
        return batch

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"epoch": self._epoch, "rows": self._rows_of_all()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From a checkpoint; batches of another size have other epochs."""
        if state_dict["rows"] == self._rows_of_all():
            self._epoch = tuple(state_dict["epoch"])

    def _rows_of_all(self) -> int:
        """Rows of a batch of all processes together."""
        assert self.trainer is not None
        return self.config.trainer.rows_per_batch * self.trainer.world_size

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Batches from the first one that the run has not seen; Lightning has already restored the step."""
        trainer_config = self.config.trainer
        assert self.trainer is not None
        return DataLoader(
            _Batches(CurriculumBatches(trainer_config, self._stage)),
            batch_size=None,
            sampler=_CountFrom(self.trainer.global_step * trainer_config.accumulate),
            num_workers=trainer_config.loader_workers,
            pin_memory=self.trainer.strategy.root_device.type == "cuda",
            worker_init_fn=_ignore_interrupts,
        )

    def _stage(self, row_tokens: int, rows_per_batch: int, number: int) -> TrainingBatches:
        assert self.trainer is not None
        stage, epoch, first_batch = self._epoch
        return TrainingBatches(
            store=self.store,
            pieces=self.store.split("train"),
            row_tokens=row_tokens,
            rows_per_batch=rows_per_batch,
            max_length=self.config.model.max_length,
            augment=self.config.augment,
            seed=self.config.seed + number * STAGES_APART,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
            known=(epoch, first_batch) if stage == number else (0, 0),
            mixture=self.mixture,
        )

    def validation_batches(self) -> ValidationBatches | None:
        """This process's share of the validation rows; None when the split is empty."""
        pieces = self.store.split("validation")
        if not pieces:
            return None
        assert self.trainer is not None
        return ValidationBatches(
            store=self.store,
            pieces=pieces,
            row_tokens=self.config.trainer.row_tokens,
            rows_per_batch=self.config.trainer.rows_per_batch,
            max_length=self.config.model.max_length,
            max_rows=self.config.trainer.validation_rows,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
        )
