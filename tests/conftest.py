"""Fixtures shared by all tests."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

# Tests that run side by side must not fight over threads, nor must the processes that they start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
import torch

from music_reformer.cores import num_cores

torch.set_num_threads(1)
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
if not torch.cuda.is_available():
    # Read when Triton is imported: its kernels run step by step in Python.
    os.environ.setdefault("TRITON_INTERPRET", "1")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # Shells start background jobs so; commands that tests interrupt would inherit it and never end.
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).parent.parent
WORKER_MEMORY = 3e9  # of a worker with what its tests start: trainings in two processes, a browser


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Number of tests that `make test` runs at once: one per usable core, limited by memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(num_cores(), 8, int(memory / WORKER_MEMORY)))


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real MIDI beside the checkout, or MUSIC_REFORMER_CORPORA; skips where there is none."""
    folder = Path(os.environ.get("MUSIC_REFORMER_CORPORA", REPOSITORY.parent / "shared" / "corpora"))
    if not folder.is_dir():
        pytest.skip(f"no corpora at {folder}; set MUSIC_REFORMER_CORPORA to a folder with pop909/ and asap/")
    return folder


@pytest.fixture(scope="session")
def ray_installed() -> None:
    """Skips where Ray, an optional extra, is not."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'music-reformer[ray]'")


@pytest.fixture(autouse=True)
def _same_log_handlers() -> Iterator[None]:
    """A command that configures logging in this process must not leave handlers of a closed stream behind."""
    root = logging.getLogger()
    before = list(root.handlers)
    yield
    root.handlers[:] = before


@pytest.fixture(autouse=True)
def _same_noise() -> None:
    torch.manual_seed(0)
