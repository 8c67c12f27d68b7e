"""Worker processes that encode files print nothing when stopped, not even while they start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.bad_workers import by_name
from helpers.scores import random_score
from music_reformer.config import CorpusConfig, PrepareConfig
from music_reformer.data.prepare.encode import Result
from music_reformer.data.prepare.encoders import Encoders
from music_reformer.midi.score import write_score

# Runs in every Python process that finds it: the starts of worker processes are written down, and slowed down.
SLOW_START = """
import os, sys, time
if "--multiprocessing-fork" in sys.orig_argv:
    with open(os.environ["STARTED"], "a") as file:
        file.write("x")
    if os.path.getsize(os.environ["STARTED"]) > int(os.environ["FAST_STARTS"]):
        time.sleep(float(os.environ["SLOW_BY"]))
"""


def run_prepare(folder: Path, *, num_files: int, fast_starts: int, slow_by: float) -> subprocess.Popen[str]:
    """`music-reformer prepare` with two workers, in a process group of its own."""
    for seed in range(num_files):
        write_score(random_score(seed, num_notes=40), folder / "midi" / f"{seed}.mid")
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(SLOW_START)
    slow = {"STARTED": str(folder / "started"), "FAST_STARTS": str(fast_starts), "SLOW_BY": str(slow_by)}
    settings = ["corpus=folder", f"corpus.path={folder / 'midi'}", f"output={folder / 'store'}", "workers=2"]
    return subprocess.Popen(
        [sys.executable, "-m", "music_reformer", "prepare", *settings],
        env={**os.environ, **slow, "PYTHONPATH": os.pathsep.join([str(folder / "site"), *sys.path])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_finishing_before_the_second_worker_has_started_prints_nothing(tmp_path: Path) -> None:
    process = run_prepare(tmp_path, num_files=2, fast_starts=1, slow_by=600)
    _, errors = process.communicate(timeout=450)
    assert process.returncode == 0, errors
    assert (tmp_path / "started").read_text() == "xx"
    assert errors == ""


@pytest.mark.timeout(500)
@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows has no signal masks")
def test_ctrl_c_while_the_workers_start_is_one_sentence(tmp_path: Path) -> None:
    process = run_prepare(tmp_path, num_files=4, fast_starts=0, slow_by=600)
    until = time.monotonic() + 250
    while not (tmp_path / "started").exists() and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 130
    assert errors == "music-reformer: stopped\n"


def test_files_that_kill_or_hang_cost_only_themselves(tmp_path: Path) -> None:
    sources = ["a", "die", "b", "hang", "c", "starve", "d"]
    config = PrepareConfig(output=str(tmp_path), corpus=CorpusConfig(path=str(tmp_path)), seconds_per_file=3.0)
    with Encoders(config, workers=2, encode=by_name) as encoders:
        results: dict[str, Result] = dict(encoders.results(sources))
    assert list(results) == sources
    assert all(results[source] == {"done": source} for source in "abcd")
    assert "died (exit code" in results["die"]["reason"]
    assert results["hang"]["reason"] == "took more than 3 seconds"
    assert results["starve"]["reason"] == "took more than 4000 MB of memory"
