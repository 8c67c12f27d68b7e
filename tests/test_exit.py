"""Ending processes: Python's exit handlers run, and with torch loaded the interpreter is not torn down."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, sys, threading, time
from music_reformer.exit import leave

class Finalised:
    def __del__(self):
        print("interpreter torn down")

sys.modules["kept to the end"] = Finalised()
atexit.register(print, "at exit")
if "torch" in sys.argv[1:]:
    import torch
if "group" in sys.argv[1:]:
    import torch.distributed as dist
    store = dist.HashStore()
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
if "thread" in sys.argv[1:]:
    threading.Thread(target=time.sleep, args=[1000]).start()
sys.stdout.write("buffered, ")
leave(3)
"""


@pytest.mark.parametrize(
    ("loaded", "expected"),
    [
        ([], ["buffered, at exit", "interpreter torn down"]),
        (["torch"], ["buffered, at exit"]),
        (["torch", "thread"], ["buffered, at exit"]),
        (["torch", "group"], ["buffered, at exit"]),
    ],
    ids=" and ".join,
)
def test_a_process_with_torch_does_not_tear_down_the_interpreter(loaded: list[str], expected: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *loaded], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout.splitlines()) == (3, expected), done.stderr
