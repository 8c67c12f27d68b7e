"""A batch on Ray writes the same files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from helpers.batches import config, contents
from music_reformer.batch.generate import FailedPromptsError, generate
from music_reformer.errors import UserError


@pytest.mark.usefixtures("ray_installed")
@pytest.mark.slow
@pytest.mark.timeout(1800)  # Ray takes minutes to start where others keep all cores busy
@pytest.mark.parametrize("rows", [0, 5])
def test_two_workers_of_ray_write_the_same_files(
    weights: Path, prompts: Path, tmp_path: Path, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (prompts / "aa.mid").write_bytes(b"MThd and then nonsense")
    one, two = Path("one"), Path("two")
    for out, settings in ((one, {}), (two, {"engine": "ray", "workers": 2, "rows": rows})):
        with pytest.raises(FailedPromptsError, match="1 of 4 prompts"):
            generate(config(weights, Path("prompts"), out, seeds=[1, 2], **settings), progress=False)
    ours, theirs = contents(two), contents(one)
    for found in (ours, theirs):
        del found["manifest.jsonl"]
    assert ours == theirs
    assert len(ours) == 12


def test_missing_ray_is_named(weights: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"engine=ray needs Ray: pip install 'music-reformer\[ray\]'"):
        generate(config(weights, prompts, tmp_path / "out", engine="ray"), progress=False)
