"""Ray Data with two workers gives the bytes that this machine's processes give."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from music_reformer.config import CorpusConfig, PrepareConfig
from music_reformer.data import prepare as module
from music_reformer.data import ray_engine
from music_reformer.data.journal import Journal
from music_reformer.data.prepare import prepare
from music_reformer.errors import UserError
from music_reformer.midi.score import write_score
from tests.midi.scores import random_score

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'music-reformer[ray]'"
)
NUM_FILES = 150  # three blocks


@pytest.fixture
def midi(tmp_path: Path) -> Path:
    for seed in range(NUM_FILES):
        write_score(random_score(seed % 140, num_notes=30), tmp_path / "midi" / f"{seed:03d}.mid")
    (tmp_path / "midi" / "broken.mid").write_bytes(b"MThd, but no more")
    return tmp_path / "midi"


@needs_ray
@pytest.mark.slow
def test_two_workers_of_ray_give_the_same_bytes(midi: Path, tmp_path: Path) -> None:
    """From the start, and going on with a run that processes of this machine began."""
    config = PrepareConfig(output=str(tmp_path / "local"), corpus=CorpusConfig(path=str(midi)), workers=1)
    local = prepare(config, progress=False)
    on_ray = replace(config, output=str(tmp_path / "ray"), engine="ray", workers=2)
    assert len(prepare(on_ray, progress=False).pieces) == len(local.pieces) == 140
    begun = tmp_path / "begun"
    module._claim(begun, begun / "partial", module._settings(config))
    begun_config = replace(on_ray, output=str(begun))
    journal = Journal(begun / "partial")
    journal.set_files(module.find_files(config.corpus, module.read_manifest(None)))
    waiting = journal.waiting()
    for source, result in module.encode_files((next(waiting) for _ in range(30)), config, workers=1):
        journal.add(source, result)
    journal.close()
    prepare(begun_config, progress=False)
    expected = {path.name: path.read_bytes() for path in local.path.iterdir()}
    for output in (tmp_path / "ray", begun):
        assert {path.name: path.read_bytes() for path in output.iterdir()} == expected


def test_where_ray_is_missing_it_is_named(midi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    config = PrepareConfig(corpus=CorpusConfig(path=str(midi)), engine="ray")
    with pytest.raises(UserError, match=r"engine=ray needs Ray: pip install 'music-reformer\[ray\]'"):
        next(ray_engine.encode_files_on_ray(["000.mid"], config, workers=2))
