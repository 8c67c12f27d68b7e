"""The range test suggests a rate, draws a plot, and keeps no weights."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from helpers import training_runs as runs
from helpers.small_store import write_store
from music_reformer.errors import UserError
from music_reformer.training.learning_rate import suggest_learning_rate
from music_reformer.training.run import train


@pytest.mark.slow
def test_a_rate_is_suggested_and_the_folder_can_be_used_for_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = write_store(tmp_path / "store", num_pieces=12, lengths=(20, 90)).path
    config = runs.small_config(store, tmp_path / "run", max_steps=2)
    picture = suggest_learning_rate(config)
    assert picture.read_bytes().startswith(b"\x89PNG")
    told = re.search(r"optimizer.learning_rate=(\S+) \(now 3.0e-03\)", capsys.readouterr().err)
    assert told is not None
    assert 1e-5 < float(told[1]) < 0.3
    assert not (tmp_path / "run" / "weights").exists()
    assert not list((tmp_path / "run").glob(".lr_find*"))

    weights = train(config)
    plain = train(runs.small_config(store, tmp_path / "plain", max_steps=2))
    assert (weights / "model.safetensors").read_bytes() == (plain / "model.safetensors").read_bytes()


def test_several_processes_are_refused(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", num_pieces=12, lengths=(20, 90)).path
    config = runs.small_config(store, tmp_path / "run", devices=2, strategy="ddp")
    with pytest.raises(UserError, match=r"runs in one process; set trainer\.devices=1"):
        suggest_learning_rate(config)
