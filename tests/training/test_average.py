"""The average of the weights: its definition, and exact resumption of killed runs, also with growing rows."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from helpers import training_runs as runs
from helpers.small_store import write_store
from music_reformer.config import TrainConfig
from music_reformer.errors import UserError
from music_reformer.model.reformer import ReformerLM
from music_reformer.model.weights import load_weights
from music_reformer.training.average import WeightAverage
from music_reformer.training.module import LanguageModule
from music_reformer.training.run import train

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("average") / "store", num_pieces=14).path


def config_of(store: Path, folder: Path) -> TrainConfig:
    return runs.small_config(store, folder, ema=0.8, curriculum={0: 16, 4: 32, 7: 64})


def module_of(config: TrainConfig) -> LanguageModule:
    config.model.vocab_size = 20
    return LanguageModule(model=ReformerLM(config.model), config=config, tokenizer_settings={})


def test_the_average_equals_its_definition(store: Path, tmp_path: Path) -> None:
    module = module_of(config_of(store, tmp_path))
    average = WeightAverage(0.8)
    average.on_train_start(None, module)  # type: ignore[arg-type]
    weight = module.model.token_embedding.weight
    expected = weight.detach().clone()
    for step in range(1, 30):
        with torch.no_grad():
            weight.add_(torch.randn_like(weight))
        average.after_step(None, module, step)  # type: ignore[arg-type]
        decay = min(0.8, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight.detach()
    last = weight.detach().clone()
    with average.applied(module):
        torch.testing.assert_close(module.model.token_embedding.weight.detach(), expected)
        assert not torch.allclose(expected, last)
    assert torch.equal(module.model.token_embedding.weight.detach(), last)
    assert module.model.token_embedding.weight is weight


def test_without_a_decay_there_is_no_average(store: Path, tmp_path: Path) -> None:
    module = module_of(config_of(store, tmp_path))
    average = WeightAverage(0.0)
    average.on_train_start(None, module)  # type: ignore[arg-type]
    average.after_step(None, module, 1)  # type: ignore[arg-type]
    assert average.state_dict() == {}


@pytest.mark.slow
def test_killed_runs_resume_average_and_curriculum_stage(store: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(config_of(store, whole))
    for row in (3, 5, 8):
        assert runs.run_in_process(config_of(store, killed), runs.kill_after_row, row) == -9
    assert runs.run_in_process(config_of(store, killed)) == 0
    paths = [folder / "weights" / "model.safetensors" for folder in (whole, killed)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    # What is exported is the average, and not the last weights.
    last = load_weights(whole / "checkpoints" / "best.ckpt").model.state_dict()
    exported = load_weights(whole / "weights").model.state_dict()
    assert any(not torch.equal(exported[name], last[name]) for name in last)


@pytest.mark.parametrize(
    ("trainer", "message"),
    [({"ema": 1.0}, "trainer.ema"), ({"curriculum": {0: 99}}, "curriculum"), ({"curriculum": {-1: 8}}, "curriculum")],
)
def test_invalid_settings_of_the_average_are_refused(store: Path, tmp_path: Path, trainer: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        train(runs.small_config(store, tmp_path / "run", **trainer))


@pytest.mark.slow
def test_ten_kills_at_random_leave_no_trace(store: Path, tmp_path: Path) -> None:
    """The run is killed after random times, at any point, start-up included."""
    settings = {"max_steps": 1500, "ema": 0.8, "curriculum": {0: 16, 100: 64}, "validate_every": 50}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(runs.small_config(store, whole, **settings))
    draw = random.Random(7)
    codes = [
        runs.run_in_process(runs.small_config(store, killed, **settings), runs.kill_after_seconds, draw.uniform(0.2, 4))
        for _ in range(10)
    ]
    assert codes.count(-9) == 10, f"some were done before they were killed: {codes}"
    assert runs.run_in_process(runs.small_config(store, killed, **settings)) == 0
    exported = [(folder / "weights" / "model.safetensors").read_bytes() for folder in (whole, killed)]
    assert exported[0] == exported[1]
    one, other = (torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in (whole, killed))
    for name, tensor in one["state_dict"].items():
        assert torch.equal(tensor, other["state_dict"][name]), name
