from __future__ import annotations

import csv
import json
import re
import signal
from pathlib import Path

import pytest
import torch

from helpers import training_runs as runs
from helpers.small_store import write_store
from music_reformer.config import TrainConfig
from music_reformer.errors import UserError
from music_reformer.model.weights import load_weights
from music_reformer.training.run import train

# Several processes each, on a machine that may be busy.
pytestmark = pytest.mark.timeout(1200)

# What must be the same, bit for bit, in the CSV; speed and time may differ.
EXACT = ("step", "train_loss", "validation_loss", "learning_rate", "gradient_norm", "targets")


def curve(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [{key: row[key] for key in EXACT} for row in csv.DictReader(file)]


def last(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("resume") / "store", num_pieces=14).path


@pytest.fixture(scope="module")
def uninterrupted(store: Path) -> Path:
    folder = store.parent / "uninterrupted"
    train(runs.small_config(store, folder))
    return folder


def test_uninterrupted_run_learns_and_leaves_everything(uninterrupted: Path) -> None:
    rows = curve(uninterrupted)
    assert [int(row["step"]) for row in rows] == list(range(1, 13))
    assert [int(row["step"]) for row in rows if row["validation_loss"]] == [4, 8, 12]
    assert float(rows[-1]["validation_loss"]) < float(rows[3]["validation_loss"])
    loaded = load_weights(uninterrupted / "weights")
    assert loaded.info["step"] == 12
    assert loaded.info["validation_loss"] == float(rows[-1]["validation_loss"])
    checkpoint = load_weights(uninterrupted / "checkpoints" / "best.ckpt")
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(tensor, checkpoint.model.state_dict()[name])
    assert (uninterrupted / "loss.png").stat().st_size > 1000
    assert list((uninterrupted / "tensorboard").glob("events*"))
    assert not list(uninterrupted.rglob("*.tmp"))


def test_a_killed_run_resumes_to_the_same_curve(store: Path, uninterrupted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    config = runs.small_config(store, folder)
    killed = -9
    # Before any checkpoint; in the middle of an accumulated step; with a row written but no checkpoint of it; while
    # the checkpoint of a validation is written; right after the best weights were exported.
    assert runs.run_in_process(config, runs.kill_after_row, 2) == killed
    assert runs.run_in_process(config, runs.signal_in_batch, 7, "SIGKILL") == killed
    assert runs.run_in_process(config, runs.kill_after_row, 5) == killed
    assert runs.run_in_process(config, runs.kill_in_checkpoint, 8) == killed
    assert runs.run_in_process(config, runs.kill_after_row, 11) == killed
    config.trainer.loader_workers = 2  # Must not matter either.
    assert runs.run_in_process(config) == 0
    assert curve(folder) == curve(uninterrupted)
    one, other = last(folder), last(uninterrupted)
    for name, tensor in one["state_dict"].items():
        assert torch.equal(tensor, other["state_dict"][name]), name
    same = [(folder / "weights" / "model.safetensors").read_bytes() for folder in (folder, uninterrupted)]
    assert same[0] == same[1]


@pytest.mark.slow
def test_a_resumed_run_plans_no_past_epochs(store: Path, tmp_path: Path) -> None:
    """Planning one takes a pass over the corpus."""
    folder, plans = tmp_path / "killed", tmp_path / "plans"
    config = runs.small_config(store, folder, row_tokens=512)
    config.trainer.max_steps = 30
    whole = runs.small_config(store, tmp_path / "whole", row_tokens=512)
    whole.trainer.max_steps = 30
    train(whole)
    assert runs.run_in_process(config, runs.kill_after_row, 26) == -9
    assert runs.run_in_process(config, runs.record_plans, plans) == 0
    assert curve(folder) == curve(tmp_path / "whole")
    _, epoch, _ = last(folder)["RowDataModule"]["epoch"]
    planned = {int(line) for line in plans.read_text().splitlines()}
    assert 3 < min(planned) <= epoch, f"{planned} were planned, and the run ends in epoch {epoch}"


@pytest.mark.parametrize("name", ["SIGTERM", pytest.param("SIGINT", marks=pytest.mark.slow)])
def test_a_signal_ends_the_run_with_a_checkpoint(store: Path, uninterrupted: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "stopped"
    config = runs.small_config(store, folder)
    # Micro-step 8 is the first half of optimizer step 5, which no other rule would save.
    # And with the exit code of a command that a signal ended: `train && evaluate` does not go on.
    assert runs.run_in_process(config, runs.signal_in_batch, 8, name) == 128 + getattr(signal, name)
    assert last(folder)["global_step"] == 5
    assert curve(folder) == curve(uninterrupted)[:5]
    train(config)
    assert curve(folder) == curve(uninterrupted)


def test_the_clock_ends_the_run_with_a_checkpoint(
    store: Path, uninterrupted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "timed"
    train(runs.small_config(store, folder, max_hours=1e-9))
    shown = capsys.readouterr().err
    assert "Stopping after step 1 (trainer.max_hours)" in shown
    assert str(folder / "checkpoints" / "last.ckpt") in shown
    assert last(folder)["global_step"] == 1
    train(runs.small_config(store, folder))
    assert "Resuming the run" in capsys.readouterr().err
    assert curve(folder) == curve(uninterrupted)


def test_a_finished_run_is_left_alone(store: Path, uninterrupted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (uninterrupted / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    train(runs.small_config(store, uninterrupted))
    assert "has already done its 12 steps" in capsys.readouterr().err
    assert (uninterrupted / "checkpoints" / "last.ckpt").stat().st_mtime_ns == before


def test_another_run_in_the_folder_is_refused_by_what_differs(store: Path, uninterrupted: Path) -> None:
    config = runs.small_config(store, uninterrupted)
    config.optimizer.learning_rate = 1.0
    config.seed = 9
    with pytest.raises(UserError, match=r"seed \(5 before, 9 now\), optimizer.learning_rate \(0.003 before, 1.0 now\)"):
        train(config)
    other = write_store(store.parent / "other", num_pieces=9)
    with pytest.raises(UserError, match=r"store\.train_pieces"):
        train(runs.small_config(other.path, uninterrupted))


def test_more_steps_for_a_finished_run_are_refused_with_the_way_to_get_them(store: Path, uninterrupted: Path) -> None:
    advice = f"to train its weights further, begin a new run with initial={uninterrupted / 'weights'} output=NEW"
    with pytest.raises(UserError, match=re.escape(f"trainer.max_steps (12 before, 24 now); {advice}")):
        train(runs.small_config(store, uninterrupted, max_steps=24))


def test_a_run_that_cools_down_may_end_earlier_or_later_or_cool_down_for_longer(store: Path, tmp_path: Path) -> None:
    def config(max_steps: int, *, cooldown_steps: int = 2, **trainer: float) -> TrainConfig:
        whole = runs.small_config(store, tmp_path, max_steps=max_steps, **trainer)
        whole.optimizer.cooldown_steps = cooldown_steps
        return whole

    train(config(12, max_hours=1e-9))
    train(config(6))
    train(config(9, cooldown_steps=3))
    rates = [float(row["learning_rate"]) for row in curve(tmp_path)]
    assert len(rates) == 9
    assert rates[4] == rates[6] == max(rates)
    assert rates[5] < rates[4]
    assert rates[7:] == pytest.approx([0.7 * rates[6], 0.4 * rates[6]])  # down to a tenth in three steps


def test_settings_that_leave_the_curve_alone_may_change(store: Path, uninterrupted: Path) -> None:
    train(runs.small_config(store, uninterrupted, log_every=5, checkpoint_every=7, max_hours=9.0))


def test_two_trainings_do_not_share_a_folder(store: Path, tmp_path: Path) -> None:
    import fcntl

    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another training is writing to"):
            train(runs.small_config(store, tmp_path / "run"))


def test_a_damaged_checkpoint_is_one_sentence(store: Path, tmp_path: Path) -> None:
    train(runs.small_config(store, tmp_path, max_steps=2, max_hours=1e-9))
    last_checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    last_checkpoint.write_bytes(last_checkpoint.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"last\.ckpt is damaged; copy best\.ckpt over it"):
        train(runs.small_config(store, tmp_path, max_steps=2))


def test_a_run_with_a_damaged_checkpoint_resumes_from_the_one_before(
    store: Path, uninterrupted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "damaged"
    config = runs.small_config(store, folder)
    assert runs.run_in_process(config, runs.kill_after_row, 8) == -9  # checkpoints at 3, 4 and 6
    checkpoint = folder / "checkpoints" / "last.ckpt"
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 16
    checkpoint.write_bytes(content)
    train(config)
    shown = capsys.readouterr().err
    assert "last.ckpt is damaged; resuming from the checkpoint before it" in shown
    assert "after step 4" in shown
    assert curve(folder) == curve(uninterrupted)
    for name, tensor in last(folder)["state_dict"].items():
        assert torch.equal(tensor, last(uninterrupted)["state_dict"][name]), name


def test_a_run_older_than_a_setting_resumes(store: Path, uninterrupted: Path) -> None:
    settings = uninterrupted / "run.json"
    content = settings.read_text()
    without = json.loads(content)
    del without["augment"]["one_program"], without["trainer"]["num_nodes"]
    without["trainer"]["find_learning_rate"] = False  # a setting that there is no more
    settings.write_text(json.dumps(without))
    train(runs.small_config(store, uninterrupted))
    settings.write_text(content)
