from __future__ import annotations

from pathlib import Path

import pytest
import torch

from helpers import training_runs as runs
from helpers.small_store import write_store
from music_reformer.config import OptimizerConfig, TrainConfig, TrainerConfig
from music_reformer.model.reformer import ReformerLM
from music_reformer.training.module import LanguageModule, derived_seed, learning_rate_factor
from music_reformer.training.run import train

# Several processes each, on a machine that may be busy.
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Short pieces: rows have quite different numbers of targets.
    return write_store(tmp_path_factory.mktemp("module") / "store", num_pieces=12, lengths=(5, 90)).path


def without_noise(store: Path, output: Path, **trainer: object) -> TrainConfig:
    """Two steps without dropout, whose randomness depends on the batch."""
    config = runs.small_config(store, output, max_steps=2, precision="32-true", **trainer)  # Sums are compared.
    config.model.dropout = 0.0
    return config


def gradients(folder: Path, step: int) -> dict[str, torch.Tensor]:
    return torch.load(folder / f"{step}.pt", weights_only=True)


def assert_same_gradients(one: Path, other: Path) -> None:
    for step in range(2):
        expected = gradients(other, step)
        assert gradients(one, step).keys() == expected.keys()
        for name, gradient in gradients(one, step).items():
            scale = float(expected[name].abs().max())
            torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-5 * scale, msg=name)


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one_at_twice_the_batch(store: Path, tmp_path: Path) -> None:
    one = without_noise(store, tmp_path / "one", rows_per_batch=2)
    two = without_noise(store, tmp_path / "two", rows_per_batch=1, devices=2, strategy="ddp")
    assert runs.run_in_process(one, runs.dump_gradients, tmp_path / "one_gradients") == 0
    runs.run_distributed(two, 2, runs.dump_gradients, tmp_path / "two_gradients")
    assert_same_gradients(tmp_path / "two_gradients", tmp_path / "one_gradients")
    losses = [(tmp_path / name / "metrics.csv").read_text().splitlines()[1:] for name in ("one", "two")]
    for alone, shared in zip(*losses, strict=True):
        assert [float(x or 0) for x in shared.split(",")[:5]] == pytest.approx(
            [float(x or 0) for x in alone.split(",")[:5]], rel=1e-5
        )


def test_accumulation_has_the_gradients_of_one_larger_batch(store: Path, tmp_path: Path) -> None:
    for name, rows, accumulate in (("whole", 4, 1), ("parts", 1, 4)):
        config = without_noise(store, tmp_path / name, rows_per_batch=rows, accumulate=accumulate)
        config.model.attention = ["local"]  # Rotations go by the number of the batch.
        assert runs.run_in_process(config, runs.dump_gradients, tmp_path / f"{name}_gradients") == 0
    assert_same_gradients(tmp_path / "parts_gradients", tmp_path / "whole_gradients")


def test_gradients_are_those_of_the_mean(store: Path, tmp_path: Path) -> None:
    from music_reformer.data.rows import TrainingBatches
    from music_reformer.data.store import TokenStore

    config = without_noise(store, tmp_path / "run", accumulate=1)
    config.model.attention = ["local"]
    assert runs.run_in_process(config, runs.dump_gradients, tmp_path / "gradients") == 0
    opened = TokenStore.open(store)
    config.model.vocab_size = opened.tokenizer.vocab_size
    torch.manual_seed(config.seed)
    model = ReformerLM(config.model)
    batch = TrainingBatches(
        store=opened,
        pieces=opened.split("train"),
        row_tokens=64,
        rows_per_batch=2,
        max_length=config.model.max_length,
        augment=config.augment,
        seed=config.seed,
    )[0]
    logits = model(batch["tokens"], document_BL=batch["documents"], position_BL=batch["positions"])
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten()).backward()
    for name, gradient in gradients(tmp_path / "gradients", 0).items():
        expected = model.get_parameter(name).grad
        assert expected is not None
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()), msg=name)


def test_bfloat16_on_the_cpu_trains(store: Path, tmp_path: Path) -> None:
    config = runs.small_config(store, tmp_path / "run", precision="bf16-mixed", max_steps=3)
    assert runs.run_in_process(config) == 0
    assert (tmp_path / "run" / "weights" / "model.safetensors").exists()


def test_training_starts_from_the_initial_weights(store: Path, tmp_path: Path) -> None:
    from music_reformer.model.weights import load_weights

    train(runs.small_config(store, tmp_path / "first", max_steps=1))
    config = runs.small_config(store, tmp_path / "second", max_steps=1)
    config.initial = str(tmp_path / "first" / "weights")
    config.optimizer.learning_rate = 1e-30  # too small to change a float32
    train(config)
    first, second = (load_weights(tmp_path / name / "weights").model.state_dict() for name in ("first", "second"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_learning_rate_rises_then_falls_as_half_a_cosine() -> None:
    config = OptimizerConfig(warmup_steps=4, final_fraction=0.1)
    factors = [learning_rate_factor(step, config=config, max_steps=104) for step in range(105)]
    assert factors[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert factors[54] == pytest.approx(0.55)
    assert factors[104] == pytest.approx(0.1)
    assert factors[4:] == sorted(factors[4:], reverse=True)


def test_the_rate_is_constant_until_it_cools_down() -> None:
    config = OptimizerConfig(warmup_steps=4, final_fraction=0.0, cooldown_steps=10)
    rates = [learning_rate_factor(step, config=config, max_steps=50) for step in range(51)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4:41] == [1.0] * 37
    assert rates[40:] == pytest.approx([1 - part / 10 for part in range(11)])
    # A run that goes on has the same rates up to where it would have begun to cool down.
    assert [learning_rate_factor(step, config=config, max_steps=500) for step in range(41)] == rates[:41]


def test_no_decay_on_embeddings_norms_and_biases(store: Path, tmp_path: Path) -> None:
    config = runs.small_config(store, tmp_path)
    config.model.vocab_size = 30
    module = LanguageModule(model=ReformerLM(config.model), config=config, tokenizer_settings={})
    groups = module.configure_optimizers()["optimizer"].param_groups  # type: ignore[index, call-overload]
    names = {id(parameter): name for name, parameter in module.model.named_parameters()}
    decayed, free = ({names[id(p)] for p in group["params"]} for group in groups)
    assert groups[1]["weight_decay"] == 0.0
    assert decayed | free == set(names.values())
    assert all(name.endswith("weight") and "norm" not in name and "embedding" not in name for name in decayed)
    assert not any("to_out.weight" in name or "to_query" in name for name in free)


def test_derived_seeds_differ() -> None:
    seeds = {derived_seed(seed, purpose, number) for seed in range(3) for purpose in range(3) for number in range(100)}
    assert len(seeds) == 900


def test_invalid_trainer_settings_are_named(store: Path, tmp_path: Path) -> None:
    from music_reformer.errors import UserError

    for name, value, text in (
        ("max_steps", 0, r"trainer.max_steps \(0\) must be 1 to 1,000,000,000"),
        ("precision", "16", r"trainer.precision \('16'\) must be one of auto, 32-true"),
        (
            "strategy",
            "fsdp_cpu_offload",
            r"trainer.strategy \(.fsdp_cpu_offload.\) is a sharded strategy .*; use fsdp",
        ),
        ("accelerator", "abacus", "accelerator=abacus .* cannot be used here"),
        ("strategy", "luck", "strategy=luck cannot be used here"),
        ("row_tokens", 9999, r"trainer.row_tokens \(9999\) must be at most 512"),
    ):
        with pytest.raises(UserError, match=text):
            train(runs.small_config(store, tmp_path / name, **{name: value}))
        assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ({}, "32-true"),
        ({"avx512_f": True, "avx512_bf16": False}, "32-true"),
        ({"avx512_bf16": True}, "bf16-mixed"),
        ({"amx_bf16": True}, "bf16-mixed"),
    ],
)
def test_a_cpu_with_instructions_for_bfloat16_uses_them(
    capabilities: dict[str, bool], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from music_reformer.training.run import _precision

    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    settings = TrainerConfig(accelerator="cpu")
    assert settings.precision == "auto"
    assert _precision(settings) == precision
    assert _precision(TrainerConfig(accelerator="cpu", precision="32-true")) == "32-true"
