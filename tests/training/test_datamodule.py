"""The data module of a run: the batches of each process, and the first batch of a resumed run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from helpers import training_runs as runs
from helpers.small_store import write_store
from music_reformer.config import TrainConfig, TrainMixtureConfig
from music_reformer.data.rows import CurriculumBatches
from music_reformer.data.store import TokenStore
from music_reformer.training.datamodule import RowDataModule, training_mixture


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    return write_store(tmp_path_factory.mktemp("rows") / "store", num_pieces=14)


def config_of(store: TokenStore, **trainer: object) -> TrainConfig:
    config = runs.small_config(store.path, Path("run"), **trainer)
    config.model.vocab_size = 300
    return config


def module_of(
    store: TokenStore, config: TrainConfig, *, rank: int = 0, world_size: int = 1, step: int = 0
) -> RowDataModule:
    data = RowDataModule(store=store, config=config)
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    data.trainer = SimpleNamespace(  # type: ignore[assignment]
        global_rank=rank, world_size=world_size, global_step=step, strategy=strategy
    )
    return data


def first_batch(data: RowDataModule) -> dict[str, torch.Tensor]:
    return next(iter(data.train_dataloader()))


def test_rows_grow_and_a_batch_has_as_many_tokens_throughout(store: TokenStore) -> None:
    config = config_of(store, curriculum={0: 16, 4: 32, 7: 64})
    data = module_of(store, config)
    batches = CurriculumBatches(config.trainer, data._stage)
    shapes = [tuple(batches[number]["tokens"].shape) for number in range(20)]
    # Two batches are a step.
    assert shapes == [(8, 16)] * 8 + [(4, 32)] * 6 + [(2, 64)] * 6
    assert [int(batches[number]["number"]) for number in (0, 8, 19)] == [0, 8, 19]
    again = CurriculumBatches(config.trainer, data._stage)
    for number in (17, 3, 9):
        for name, tensor in batches[number].items():
            assert torch.equal(again[number][name], tensor)


def test_a_resumed_run_continues_with_the_batch_after_its_last_step(store: TokenStore) -> None:
    config = config_of(store)
    uninterrupted = iter(module_of(store, config).train_dataloader())
    batches = [next(uninterrupted) for _ in range(9)]
    resumed = first_batch(module_of(store, config, step=4))  # two batches are a step
    assert int(resumed["number"]) == 8
    assert torch.equal(resumed["tokens"], batches[8]["tokens"])


def test_a_loaded_state_keeps_its_epoch_unless_the_batch_size_changed(store: TokenStore) -> None:
    config = config_of(store)
    data = module_of(store, config)
    data.on_before_batch_transfer({"epoch": torch.tensor([0, 3, 70])}, 0)
    state = data.state_dict()
    same, larger = module_of(store, config), module_of(store, config, world_size=2)
    for each in (same, larger):
        each.load_state_dict(state)
    assert same._epoch == (0, 3, 70)
    assert larger._epoch == (0, 0, 0)


def test_two_processes_share_the_validation_rows(store: TokenStore) -> None:
    config = config_of(store, rows_per_batch=1)

    def rows(rank: int, world_size: int) -> list[bytes]:
        batches = module_of(store, config, rank=rank, world_size=world_size).validation_batches()
        assert batches is not None
        found = [batches[number] for number in range(len(batches))]
        return [row.numpy().tobytes() for batch in found for row in batch["tokens"] if row.any()]

    alone = rows(0, 1)
    assert len(alone) > 2
    assert sorted(rows(0, 2) + rows(1, 2)) == sorted(alone)


def test_without_a_validation_split_there_are_no_validation_rows(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", num_pieces=6, num_validation=0)
    assert module_of(store, config_of(store)).validation_batches() is None


def test_corpora_are_mixed_where_there_are_several(store: TokenStore, tmp_path: Path) -> None:
    assert training_mixture(store, config_of(store)) is None
    mixed = write_store(tmp_path / "store", num_pieces=24, corpora=("hymns", "rags"))
    config = replace(config_of(mixed), mixture=TrainMixtureConfig(power=0.0, weights={"rags": 3.0}))
    mixture = training_mixture(mixed, config)
    assert mixture is not None
    assert dict(zip(mixture.names, mixture.shares_C.tolist(), strict=True)) == pytest.approx(
        {"hymns": 0.25, "rags": 0.75}
    )
