"""How processes end: as always, but for those of a process group, which leave the interpreter standing."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, socket, sys
from music_reformer.training.processes import leave

class Finalised:
    def __del__(self):
        print("interpreter torn down")

sys.modules["kept to the end"] = Finalised()
atexit.register(print, "at exit")
if sys.argv[1] == "group":
    import torch.distributed as dist
    store = dist.HashStore()
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
sys.stdout.write("buffered, ")
leave(3)
"""


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("alone", ["buffered, at exit", "interpreter torn down"]), ("group", ["buffered, at exit"])],
)
def test_a_process_of_a_group_does_not_tear_down_the_interpreter(kind: str, expected: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, kind], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout.splitlines()) == (3, expected), done.stderr
