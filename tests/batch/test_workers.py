"""Several processes write the same files as one; a process that dies loses only its own jobs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.batches import config, contents
from helpers.dying_workers import die_of_b
from music_reformer.batch.generate import FailedPromptsError, generate
from music_reformer.batch.jobs import find_jobs
from music_reformer.batch.workers import parcels_of, run_in_processes
from music_reformer.errors import UserError
from music_reformer.model.reformer import ReformerLM
from music_reformer.model.weights import fingerprint_of, load_weights


def test_several_processes_write_the_same_files(weights: Path, prompts: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    (prompts / "aa.mid").write_bytes(b"MThd and then nonsense")
    for out, workers in ((one, 1), (two, 2)):
        with pytest.raises(FailedPromptsError, match="1 of 4 prompts"):
            generate(config(weights, prompts, out, workers=workers, seeds=[1, 2]), progress=False)
    ours, theirs = contents(two), contents(one)
    entries = [
        sorted((json.loads(line) for line in found.pop("manifest.jsonl").splitlines()), key=str)
        for found in (ours, theirs)
    ]
    for entry in entries[0] + entries[1]:
        entry.pop("compose_seconds", None)
    assert sorted(entries[0], key=str) == sorted(entries[1], key=str)
    assert ours == theirs
    assert len(ours) == 12


@pytest.mark.parametrize(
    ("rows", "workers", "sizes"), [(0, 2, [1] * 5), (4, 1, [5]), (4, 2, [3, 2]), (1, 2, [2, 2, 1]), (64, 8, [1] * 5)]
)
def test_jobs_are_divided_so_that_all_workers_are_busy(
    tmp_path: Path, rows: int, workers: int, sizes: list[int]
) -> None:
    jobs = find_jobs(None, tmp_path, variations=2, seed=1, seeds=[1, 2, 3, 4, 5])
    parcels = parcels_of(jobs, config(tmp_path, None, tmp_path, rows=rows), workers=workers)
    assert [len(parcel) for parcel in parcels] == sizes
    assert [job for parcel in parcels for job in parcel] == jobs


def test_a_dying_process_loses_only_its_own_job(weights: Path, prompts: Path, tmp_path: Path) -> None:
    settings = config(weights, prompts, tmp_path / "out")
    jobs = find_jobs(str(prompts), tmp_path / "out", variations=2, seed=1, seeds=[])
    outcomes = {job.name: outcome for job, outcome in run_in_processes(jobs, settings, workers=1, task=die_of_b)}
    assert len(outcomes) == 3
    assert "died" in str(outcomes["b.mid"].error)
    assert outcomes["b.mid"].again
    assert outcomes["a.MID"].error is None


def test_the_parent_builds_no_model(
    weights: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The patch affects only this process, not the workers."""
    monkeypatch.setattr(ReformerLM, "__init__", lambda *args, **options: pytest.fail("the parent builds a model"))
    paths = generate(config(weights, prompts, tmp_path / "out", workers=2), progress=False)
    assert len(paths) == 6
    assert all(path.is_file() for path in paths)
    assert generate(config(weights, prompts, tmp_path / "out", workers=1), progress=False) == paths


def test_the_fingerprint_of_weights_needs_no_model(weights: Path, tmp_path: Path) -> None:
    assert fingerprint_of(weights) == load_weights(weights).fingerprint
    with pytest.raises(UserError, match="no checkpoint"):
        fingerprint_of(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"model.safetensors is missing"):
        fingerprint_of(tmp_path)


def test_a_worker_that_cannot_load_the_weights_is_reported_in_one_sentence(
    weights: Path, prompts: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="device"):
        generate(config(weights, prompts, tmp_path / "out", workers=2, device="cuda:77"), progress=False)


def test_workers_that_are_stopped_while_they_start_say_nothing(weights: Path, prompts: Path, tmp_path: Path) -> None:
    """Two processes with a job each get a signal together, as from Ctrl-C in a terminal."""
    command = [sys.executable, "-m", "music_reformer", "generate", f"prompts={prompts}", f"output={tmp_path / 'out'}"]
    command += [f"checkpoint={weights}", "device=cpu", "workers=2", "length=9000bars"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts background jobs with SIGINT ignored, and they pass that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 240
    while not (children := _children(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert children, "no worker started"
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == 130
    assert stderr.strip().splitlines()[-1] == "music-reformer: stopped"
    assert "Traceback" not in stderr
    assert not _children(process.pid)


def _children(parent: int) -> list[int]:
    """Worker processes of a process."""
    found = subprocess.run(["ps", "-ww", "-o", "pid=,args=", "--ppid", str(parent)], capture_output=True, text=True)
    return [int(line.split()[0]) for line in found.stdout.splitlines() if "spawn_main" in line]
