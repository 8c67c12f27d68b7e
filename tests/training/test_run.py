"""Early ends of a run: no improvement, or out of memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from helpers import training_runs as runs
from helpers.small_store import write_store
from music_reformer.errors import UserError
from music_reformer.training.module import LanguageModule
from music_reformer.training.run import train


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write_store(tmp_path / "store", num_pieces=8).path


def test_patience_ends_a_run_that_gets_no_better(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = runs.small_config(store, tmp_path / "run", max_steps=50, validate_every=1, patience=3)
    config.optimizer.learning_rate = 1e-12  # so that nothing is learnt
    config.model.dropout = 0.0
    train(config)
    steps = [int(line.split(",")[0]) for line in (tmp_path / "run" / "metrics.csv").read_text().splitlines()[1:]]
    assert steps[-1] < 50
    assert "the last 3 validations found nothing better" in capsys.readouterr().err
    assert (tmp_path / "run" / "weights" / "model.safetensors").exists()


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_out_of_memory_says_what_to_lower(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def training_step(self: LanguageModule, batch: Any, batch_idx: int) -> Any:
        raise error

    monkeypatch.setattr(LanguageModule, "training_step", training_step)
    with pytest.raises(UserError, match=r"2 rows of 64 tokens; try.*rows_per_batch=1 trainer.accumulate=4") as raised:
        train(runs.small_config(store, tmp_path / "run"))
    assert "trainer.row_tokens=32" in str(raised.value)


def test_other_errors_are_not_hidden(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def training_step(self: LanguageModule, batch: Any, batch_idx: int) -> Any:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(LanguageModule, "training_step", training_step)
    with pytest.raises(RuntimeError, match="shapes differ"):
        train(runs.small_config(store, tmp_path / "run"))
