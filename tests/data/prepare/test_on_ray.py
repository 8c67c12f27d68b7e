"""Ray Data with two workers gives the bytes that this machine's processes give."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.scores import random_score
from music_reformer.config import CorpusConfig, PrepareConfig
from music_reformer.data.corpora.corpus_manifest import CorpusManifest
from music_reformer.data.corpora.splits import find_files
from music_reformer.data.prepare import midi as module
from music_reformer.data.prepare import on_ray as ray_engine
from music_reformer.data.prepare.command import prepare
from music_reformer.data.prepare.encoders import encode_files
from music_reformer.data.prepare.journal import ResultJournal
from music_reformer.errors import UserError
from music_reformer.midi.score import write_score

NUM_FILES = 150  # three blocks


@pytest.fixture
def midi(tmp_path: Path) -> Path:
    for seed in range(NUM_FILES):
        write_score(random_score(seed % 140, num_notes=30), tmp_path / "midi" / f"{seed:03d}.mid")
    (tmp_path / "midi" / "broken.mid").write_bytes(b"MThd, but no more")
    return tmp_path / "midi"


@pytest.mark.usefixtures("ray_installed")
@pytest.mark.slow
@pytest.mark.timeout(1800)  # Ray takes minutes to start where others keep all cores busy
def test_two_workers_of_ray_give_the_same_bytes(midi: Path, tmp_path: Path) -> None:
    """Ray resumes a run begun by processes of this machine."""
    config = PrepareConfig(output=str(tmp_path / "local"), corpus=CorpusConfig(path=str(midi)), workers=1)
    local = prepare(config, progress=False)
    output = tmp_path / "ray"
    module._claim(output, output / "partial", module._settings(config))
    journal = ResultJournal(output / "partial")
    journal.set_files(find_files(config.corpus, CorpusManifest()))
    waiting = journal.waiting()
    for source, result in encode_files([next(waiting) for _ in range(20)], config, workers=1):
        journal.add(source, result)
    journal.close()
    store = prepare(replace(config, output=str(output), engine="ray", workers=2), progress=False)
    assert len(store.pieces) == len(local.pieces) == 140
    expected = {path.name: path.read_bytes() for path in local.path.iterdir()}
    assert {path.name: path.read_bytes() for path in output.iterdir()} == expected


def test_missing_ray_is_named(midi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    config = PrepareConfig(corpus=CorpusConfig(path=str(midi)), engine="ray")
    with pytest.raises(UserError, match=r"engine=ray needs Ray: pip install 'music-reformer\[ray\]'"):
        next(ray_engine.encode_files_on_ray(["000.mid"], config, workers=2))
