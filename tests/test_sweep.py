"""`music-reformer sweep`: several training runs with one command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.small_store import write_store
from music_reformer.cli import main
from music_reformer.errors import UserError
from music_reformer.sweep import combinations


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_combination_is_a_run_of_its_own(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", num_pieces=8).path
    command = [sys.executable, "-m", "music_reformer", "sweep", f"data={store}"]
    command += ["model=tiny", "model.width=16", "model.head_width=8", "model.num_heads=2", "trainer.accelerator=cpu"]
    command += ["trainer.max_steps=2", "trainer.row_tokens=64", "trainer.threads=1"]
    command += ["optimizer.learning_rate=1e-3,2e-3"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rates = []
    for number in (0, 1):
        folder = tmp_path / "runs" / "sweep" / str(number)
        assert (folder / "weights" / "model.safetensors").exists()
        rates.append(json.loads((folder / "run.json").read_text())["optimizer"]["learning_rate"])
    assert rates == [1e-3, 2e-3]


def test_the_settings_of_each_training() -> None:
    plain = combinations(["data=a,b", "seed=1,2", "model=tiny,small", "model.attention=[lsh]"])
    assert plain[0] == ["data=a,b", "seed=1", "model=tiny", "model.attention=[lsh]"]
    assert [training[1:3] for training in plain] == [
        ["seed=1", "model=tiny"],
        ["seed=1", "model=small"],
        ["seed=2", "model=tiny"],
        ["seed=2", "model=small"],
    ]
    with pytest.raises(UserError, match="1,000,000 trainings"):
        combinations(["seed=range(1000)", "trainer.max_steps=range(1000)"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["data=in", "optimizer.learning_rate=1e-3,-1"], "optimizer.learning_rate (-1) must be above 0"),
        (["data=in", "seed=1,2", "colour=red"], "unknown setting colour"),
        (["seed=1,2"], "train needs data"),
        (["data=in", "seed"], "'seed' is not understood"),
        (["data=in", "output=", "seed=1,2"], "output is empty"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_trained(
    arguments: list[str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", *arguments]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("music-reformer: ")
    assert sentence in shown
    assert shown.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_failed_training_is_reported_without_a_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", "data=nowhere", "seed=1,2", "output=swept here"]) == 2
    # Hydra says which settings they were.
    settings, sentence, *rest = capsys.readouterr().err.splitlines()
    assert "seed=1" in settings
    assert sentence.startswith("music-reformer: the training in swept here/0 failed: nowhere holds no prepared data")
    assert not rest
    for number in ("0", "1"):  # the others are tried, too
        assert "failed: nowhere holds no" in (tmp_path / "swept here" / number / "sweep.log").read_text()


def test_a_missing_launcher_is_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", "data=nowhere", "seed=1,2", "hydra/launcher=nobody"]) == 2
    shown = capsys.readouterr().err
    assert "hydra/launcher/nobody" in shown
    assert shown.count("\n") == 1


def test_show_prints_the_settings_of_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "data=in", "seed=5,6", "output=out", "--show"]) == 0
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("seed: 5", "seed: 6", "output: out/0", "output: out/1"))
