"""Limited processes end with their parent, and work on systems that refuse limits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

CHILD = """
import sys, time
from music_reformer.midi.limited import serve_limited
serve_limited(lambda data: print("ready", flush=True) or time.sleep(600), sys.argv[1:], sys.stdin.buffer.read, print)
"""
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], "1000", "60"], stdin=subprocess.PIPE)
child.stdin.close()
print(child.pid, flush=True)
child.wait()
"""


REFUSING = """
import resource, sys
from music_reformer.midi.limited import serve_limited

def refuse(number, limits):
    if number == resource.RLIMIT_AS:
        raise ValueError("current limit exceeds maximum limit")
    given.append((number, limits[0]))

given = []
resource.setrlimit = refuse
work = lambda data: data + repr(given == [(resource.RLIMIT_CPU, 60)]).encode()
serve_limited(work, sys.argv[1:], sys.stdin.buffer.read, sys.stdout.buffer.write)
"""


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc to see other processes")
def test_a_killed_server_leaves_no_process_behind() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert parent.stdout.readline() == "ready\n"
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 100
    while is_running(pid):
        assert time.monotonic() < deadline, "the process goes on without its parent"
        time.sleep(0.1)


def test_work_is_done_even_if_the_system_cannot_limit_memory() -> None:
    """As on macOS, where the limit on time can still be set."""
    command = [sys.executable, "-c", REFUSING, "1000", "60"]
    done = subprocess.run(command, input=b"done ", capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"done True")


def test_memory_is_limited_where_the_system_allows_it() -> None:
    resource = pytest.importorskip("resource")
    if sys.platform == "darwin":
        pytest.skip("macOS refuses")
    work = "from music_reformer.midi.limited import limit_memory; limit_memory(500); bytearray(10**9)"
    done = subprocess.run([sys.executable, "-c", work], capture_output=True, text=True, check=False)
    assert "MemoryError" in done.stderr
    assert resource.getrlimit(resource.RLIMIT_AS)[0] != 500 * 2**20
