"""`trainer.strategy=fsdp` with two processes over gloo: the run, its checkpoints and its weights are those of `ddp`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from helpers import training_runs as runs
from helpers.small_store import write_store
from music_reformer.config import TrainConfig
from music_reformer.model.weights import load_weights

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("sharded") / "store", num_pieces=12, lengths=(20, 90)).path


def config_for(store: Path, output: Path, strategy: str, kind: str, **trainer: object) -> TrainConfig:
    """Six steps with an average, two validations and three checkpoints."""
    settings = {"max_steps": 6, "checkpoint_every": 2, "validate_every": 3, "ema": 0.5, **trainer}
    config = runs.small_config(store, output, strategy=strategy, devices=2, **settings)
    config.optimizer.kind = kind
    return config


def columns(folder: Path) -> list[list[float]]:
    """Columns of metrics.csv: step, losses, learning rate, norm, targets; without times."""
    rows = (folder / "metrics.csv").read_text().splitlines()[1:]
    return [[float(x or 0) for x in row.split(",")[:6]] for row in rows]


def checkpoint(folder: Path) -> dict[str, object]:
    loaded: dict[str, object] = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return loaded


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_sharded_run_equals_a_data_parallel_run(store: Path, tmp_path: Path, kind: str) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    runs.run_distributed(config_for(store, whole, "ddp", kind), 2, runs.dump_gradients, tmp_path / "gradients")
    runs.run_distributed(config_for(store, parts, "fsdp", kind), 2, runs.count_parts, tmp_path / "elements")
    # Each process has had about half of all weights.
    held = [int(path.read_text()) for path in sorted((tmp_path / "elements").iterdir())]
    num_elements = sum(p.numel() for p in load_weights(whole / "weights").model.parameters())
    assert len(held) == 2
    assert sum(held) >= num_elements
    assert max(held) < 0.7 * num_elements

    # Muon multiplies in bfloat16.
    close = {"rel": 1e-4, "abs": 1e-5} if kind == "adamw" else {"rel": 1e-2, "abs": 1e-2}
    for expected, found in zip(columns(whole), columns(parts), strict=True):
        assert found == pytest.approx(expected, **close)
    expected, found = checkpoint(whole), checkpoint(parts)
    assert found.keys() == expected.keys()
    assert_alike(found["state_dict"], expected["state_dict"])
    assert_alike(found["optimizer_states"], expected["optimizer_states"])
    for kept in ("weights", "checkpoints/last.ckpt"):
        tensors = load_weights(parts / kept).model.state_dict()
        for name, tensor in load_weights(whole / kept).model.state_dict().items():
            torch.testing.assert_close(tensors[name], tensor, rtol=0, atol=1e-4 if kind == "adamw" else 5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_that_were_stopped_go_on_exactly(store: Path, tmp_path: Path, strategy: str) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    runs.run_distributed(config_for(store, whole, strategy, "muon"), 2, runs.count_parts, tmp_path / "a")
    runs.run_distributed(
        config_for(store, stopped, strategy, "muon"), 2, runs.signal_in_batch, 6, "SIGTERM", exit_codes=[143, 143]
    )
    assert len(columns(stopped)) < len(columns(whole))
    runs.run_distributed(config_for(store, stopped, strategy, "muon"), 2, runs.count_parts, tmp_path / "b")
    assert columns(stopped) == columns(whole)
    expected = load_weights(whole / "weights").model.state_dict()
    for name, tensor in load_weights(stopped / "weights").model.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def assert_alike(found: object, expected: object) -> None:
    """The same names, and tensors of the same shape."""
    if isinstance(found, dict) and isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in found:
            assert_alike(found[name], expected[name])
    elif isinstance(found, list) and isinstance(expected, list):
        for one, other in zip(found, expected, strict=True):
            assert_alike(one, other)
    elif isinstance(found, torch.Tensor) and isinstance(expected, torch.Tensor):
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
    else:
        assert type(found) is type(expected)
