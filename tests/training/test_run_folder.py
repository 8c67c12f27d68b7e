"""The folder of a run: settings that may change on resuming, and locking."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from helpers import training_runs as runs
from helpers.small_store import write_store
from music_reformer.config import TrainConfig
from music_reformer.data.store import TokenStore
from music_reformer.errors import UserError
from music_reformer.training.checkpoints import Checkpoints
from music_reformer.training.run_folder import FREE_KEYS, RunFolder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    return write_store(tmp_path_factory.mktemp("run") / "store", num_pieces=6)


def config_of(store: TokenStore, path: Path, **trainer: object) -> TrainConfig:
    return runs.small_config(store.path, path, **trainer)


def folder_of(store: TokenStore, path: Path, config: TrainConfig | None = None) -> RunFolder:
    return RunFolder(path, config=config or config_of(store, path), store=store)


@pytest.fixture
def begun(store: TokenStore, tmp_path: Path) -> Path:
    """A run with a checkpoint of step 7."""
    folder = folder_of(store, tmp_path / "run")
    folder.claim().close()
    folder.write_settings()
    checkpoints = Checkpoints(folder.path / "checkpoints")
    temporary = checkpoints.path / "new"
    torch.save({"global_step": 7}, temporary)
    checkpoints.keep(temporary, best=False)
    return folder.path


def test_a_new_folder_has_no_checkpoint(store: TokenStore, tmp_path: Path) -> None:
    assert folder_of(store, tmp_path / "none").find(print) == (None, 0)


def test_a_run_with_the_same_settings_resumes(store: TokenStore, begun: Path) -> None:
    path, step = folder_of(store, begun).find(print)
    assert path == begun / "checkpoints" / "last.ckpt"
    assert step == 7


def test_settings_that_leave_the_curve_as_it_is_may_change(store: TokenStore, begun: Path) -> None:
    changed = {
        "max_hours": 3.0,
        "threads": 2,
        "loader_workers": 1,
        "log_every": 5,
        "checkpoint_every": 9,
        "patience": 4,
    }
    assert {f"trainer.{name}" for name in changed} <= FREE_KEYS
    assert folder_of(store, begun, config_of(store, begun, **changed)).find(print)[1] == 7


def test_other_settings_are_named_with_advice(store: TokenStore, begun: Path) -> None:
    config = config_of(store, begun, row_tokens=32)
    sentence = (
        f"{begun} holds a run with other settings: trainer.row_tokens (64 before, 32 now); give another output=..., or "
        "the same settings to resume it"
    )
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        folder_of(store, begun, config).find(print)


def test_more_steps_are_refused_with_advice(store: TokenStore, begun: Path) -> None:
    with pytest.raises(
        UserError, match=r"trainer.max_steps \(12 before, 24 now\); to train its weights further, begin"
    ):
        folder_of(store, begun, config_of(store, begun, max_steps=24)).find(print)


def test_another_store_is_refused(store: TokenStore, begun: Path, tmp_path: Path) -> None:
    other = write_store(tmp_path / "other", num_pieces=7)
    with pytest.raises(UserError, match=r"store.train_pieces \(2 before, 3 now\)"):
        folder_of(other, begun, config_of(store, begun)).find(print)


def test_settings_newer_than_the_run_had_their_defaults(store: TokenStore, begun: Path) -> None:
    settings = json.loads((begun / "run.json").read_text())
    assert settings["trainer"].pop("patience") == 0
    settings["trainer"]["find_learning_rate"] = False  # of an earlier version
    (begun / "run.json").write_text(json.dumps(settings))
    assert folder_of(store, begun).find(print)[1] == 7


def test_a_second_training_in_a_folder_is_refused(store: TokenStore, tmp_path: Path) -> None:
    folder = folder_of(store, tmp_path / "run")
    lock = folder.claim()
    with pytest.raises(UserError, match=r"^another training is writing to .*run; wait for it, or give another output="):
        folder.claim()
    lock.close()
    folder.claim().close()
