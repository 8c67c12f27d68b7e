"""From short rows to long ones: more steps for as many tokens at first, and the whole piece in the end."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from music_reformer.config import TrainerConfig
from music_reformer.data.rows import TrainingBatches


class CurriculumBatches:
    """The endless sequence of training batches of one process, in stages; a function of the number alone.

    Args:
        settings: `row_tokens`, `rows_per_batch`, `accumulate`, and `curriculum`: optimizer step -> tokens of a row from
            then on. A batch of short rows has more of them, so that it has as many tokens as one of long ones.
        make: given tokens of a row, rows of a batch, and the number of the stage, the batches of a stage from its
            first on.
    """

    def __init__(self, settings: TrainerConfig, make: Callable[[int, int, int], TrainingBatches]) -> None:
        stages: Mapping[int, int] = {0: settings.row_tokens, **settings.curriculum}
        self._begins = [step * settings.accumulate for step in sorted(stages)]
        self._stages = [
            make(stages[step], settings.rows_per_batch * (settings.row_tokens // stages[step]), number)
            for number, step in enumerate(sorted(stages))
        ]

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """Batch `number` (from 0), with the number itself; "epoch" begins with the stage."""
        stage = bisect.bisect_right(self._begins, number) - 1
        batch: dict[str, Any] = self._stages[stage][number - self._begins[stage]]
        epoch = torch.cat([torch.tensor([stage]), batch["epoch"]])
        return {**batch, "number": torch.tensor(number), "epoch": epoch}
