"""Several trainings with one command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.small_store import write_store


@pytest.mark.timeout(600)
def test_every_combination_is_a_run_of_its_own(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", num_pieces=8).path
    command = [sys.executable, "-m", "music_reformer.sweep", "--multirun", f"data={store}"]
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
