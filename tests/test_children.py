"""Worker processes end silently if stopped while they start, or if nothing is left to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)

# A pool whose workers take two seconds to import what they need, or so the parent believes.
SCRIPT = """
import sys, time
from pebble import ProcessPool
from music_reformer.children import QuietContext, say_ready
import slow_to_import

if __name__ == "__main__":
    context = QuietContext()
    pool = ProcessPool(max_workers=2, context=context, initializer=say_ready, initargs=(context.ready,))
    try:
        future = pool.schedule(slow_to_import.work)
        print("started", flush=True)
        if sys.argv[1] == "stop soon":
            time.sleep(0.3)
        else:
            print(future.result(), flush=True)
    finally:
        pool.stop()
        context.kill_starting()
        pool.join()
"""
# The second of two is slower.
SLOW = """
import os, time
from pathlib import Path

if os.environ.get("PARENT") != str(os.getpid()):
    first = Path("first")
    try:
        first.mkdir()
        time.sleep(1)
    except FileExistsError:
        time.sleep(5)

def work():
    return "done"
"""


def start(tmp_path: Path, what: str) -> subprocess.Popen[str]:
    (tmp_path / "script.py").write_text(f"import os\nos.environ.setdefault('PARENT', str(os.getpid()))\n{SCRIPT}")
    (tmp_path / "slow_to_import.py").write_text(SLOW)
    environment = {**os.environ, "PYTHONPATH": f"{Path(__file__).parent.parent}:{tmp_path}"}
    process = subprocess.Popen(
        [sys.executable, "script.py", what],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # as a terminal has it: Ctrl-C is for all processes of the group
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


def test_nothing_is_printed_if_work_is_done_before_the_second_child_has_started(tmp_path: Path) -> None:
    process = start(tmp_path, "work")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (0, "done\n", "")


def test_stopping_workers_while_they_start_prints_nothing(tmp_path: Path) -> None:
    process = start(tmp_path, "stop soon")
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")


def test_ctrl_c_while_children_start_prints_one_traceback(tmp_path: Path) -> None:
    process = start(tmp_path, "work")
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode != 0
    assert err.count("Traceback") == 1, "that of this script's own process, which handles nothing"
