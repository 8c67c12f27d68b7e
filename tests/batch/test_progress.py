"""Progress on the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.batches import config
from music_reformer.batch.generate import generate


def test_progress_tells_rate_and_time_left(
    weights: Path, prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate(config(weights, prompts, tmp_path / "out"), progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert "3/3" in lines[2]
    assert "tokens/s" in lines[2]
    assert lines[3].startswith("6 files, ")
    generate(config(weights, prompts, tmp_path / "out"), progress=True)
    assert "3 of 3 prompts were already done" in capsys.readouterr().err
