"""Every command reads files of the same endings, and counts the others."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from music_reformer.batch.jobs import find_jobs
from music_reformer.config import CorpusConfig
from music_reformer.data.corpora.corpus_manifest import CorpusManifest
from music_reformer.data.corpora.splits import PassedOver, find_files
from music_reformer.evaluation.groups import read_generated
from music_reformer.midi.sheet import MUSIC_SUFFIXES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file with each ending, and three other files."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number, suffix in enumerate(MUSIC_SUFFIXES):
        (folder / f"song{number}{suffix}").write_bytes(b"")
    for name in ("notes.txt", "song.wav", "list.gz"):
        (folder / name).write_bytes(b"")
    return folder


def test_prompts_of_every_ending_are_found_and_others_are_counted(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        jobs = find_jobs(str(folder), tmp_path / "out", variations=1, seed=1, seeds=())
    assert len(jobs) == len(MUSIC_SUFFIXES)
    assert {job.outputs[0].name for job in jobs} == {f"song{number}_1.mid" for number in range(len(MUSIC_SUFFIXES))}
    (said,) = caplog.messages
    assert said.startswith(f"skipped 3 of the files in {folder}")


def test_prompts_that_differ_in_their_ending_have_outputs_of_their_own(tmp_path: Path) -> None:
    for name in ("a.mid", "a.kar", "a.mid.gz"):
        (tmp_path / name).write_bytes(b"")
    jobs = find_jobs(str(tmp_path), tmp_path / "out", variations=1, seed=1, seeds=())
    assert len({job.outputs[0] for job in jobs}) == 3


def test_a_corpus_has_the_same_endings(folder: Path) -> None:
    passed_over = PassedOver()
    found = list(find_files(CorpusConfig(path=str(folder)), CorpusManifest(), passed_over))
    assert len(found) == len(MUSIC_SUFFIXES)
    assert passed_over.num_files == 3


def test_evaluate_reads_files_with_the_same_endings(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(Exception, match="is empty"):
        read_generated(folder)
    assert caplog.messages[0].startswith(f"skipped 3 of the files in {folder}")
