"""Tasks that report on their process, run too long or fail, for tests of `limited.py` and `forks.py`."""

from __future__ import annotations

import os
import signal
import time


def get_ready() -> None:
    pass


def number_of_process(data: bytes) -> bytes:
    return f"{os.getpid()} {os.getppid()}".encode()


def seconds_of_processor(data: bytes) -> bytes:
    return str(time.process_time()).encode()


def open_descriptors(data: bytes) -> bytes:
    # One is that of the folder that is listed.
    numbers = sorted(map(int, os.listdir("/proc/self/fd")))
    return " ".join(str(number) for number in numbers if os.path.exists(f"/proc/self/fd/{number}")).encode()


def work_slowly(data: bytes) -> bytes:
    time.sleep(2)
    return b"done"


def work_forever(data: bytes) -> bytes:
    while True:
        pass


def too_much_memory(data: bytes) -> bytes:
    return bytes(2 * 10**9)


def crash(data: bytes) -> bytes:
    os.kill(os.getpid(), signal.SIGSEGV)
    return b""
