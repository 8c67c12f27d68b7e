"""Workers forked for a server: their results, their ends, and that no process is left."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from helpers.busy import (
    crash,
    number_of_process,
    open_descriptors,
    seconds_of_processor,
    too_much_memory,
    work_forever,
    work_slowly,
)
from helpers.scores import random_score
from music_reformer.errors import UserError
from music_reformer.midi import limited
from music_reformer.midi.forks import Forks, can_fork
from music_reformer.midi.guard import open_guarded
from music_reformer.midi.limited import forking, run_limited

pytestmark = pytest.mark.skipif(not can_fork(), reason="needs Linux, and the right to wait for a process by descriptor")


@pytest.fixture
def forks() -> Iterator[Forks]:
    with forking("helpers.busy:get_ready"):
        yield limited._forks[-1]


def done(
    work: Callable[..., bytes],
    data: bytes = b"",
    *arguments: str,
    seconds: float = 60,
    cpu_seconds: int = 30,
) -> bytes:
    return run_limited(
        work, arguments, data, name="a.mid", doing="read", seconds=seconds, cpu_seconds=cpu_seconds, megabytes=1000
    )


def children(process: int) -> list[int]:
    with open(f"/proc/{process}/task/{process}/children") as file:
        return [int(number) for number in file.read().split()]


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_each_piece_of_work_has_a_process_of_its_own_forked_from_one(forks: Forks) -> None:
    found = [done(number_of_process).split() for _ in range(3)]
    assert len({own for own, _ in found}) == 3
    assert {parent for _, parent in found} == {str(forks._process.pid).encode()}


def test_forked_and_fresh_processes_open_files_alike() -> None:
    data = random_score(7).dumps_midi()
    anew = open_guarded(data, name="song.mid", finds_beats=True)
    with forking("music_reformer.midi.guard:get_ready"):
        assert open_guarded(data, name="song.mid", finds_beats=True) == anew
        with pytest.raises(UserError) as refusal:
            open_guarded(b"MThd" + bytes(100), name="song.mid")
    with pytest.raises(UserError) as refusal_anew:
        open_guarded(b"MThd" + bytes(100), name="song.mid")
    assert str(refusal.value) == str(refusal_anew.value)


def test_megabytes_are_sent_and_received(forks: Forks) -> None:
    data = os.urandom(3_000_000)
    assert done(bytes, data) == data


def test_time_and_memory_limits_are_enforced(forks: Forks) -> None:
    with pytest.raises(UserError, match=r"a\.mid took more than 1 seconds to be read"):
        done(work_forever, cpu_seconds=1)
    with pytest.raises(UserError, match=r"a\.mid took more than 0\.3 seconds to be read"):
        done(work_forever, seconds=0.3)
    with pytest.raises(UserError, match=r"a\.mid could not be read within 1000 MB"):
        done(too_much_memory)
    wait_until(lambda: not children(forks._process.pid))
    # A limit is of one process: the next has all of it.
    assert float(done(seconds_of_processor)) < 1


def test_limits_are_set_before_the_data_is_read(forks: Forks) -> None:
    with pytest.raises(UserError, match="could not be read within 30 MB"):
        run_limited(bytes, [], bytes(10**8), name="a.mid", doing="read", seconds=60, cpu_seconds=30, megabytes=30)


def test_a_forked_process_has_nothing_open_but_its_connection(forks: Forks) -> None:
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(done, work_slowly)
        assert done(open_descriptors) == b"0 1 2"
        assert slow.result() == b"done"


def test_after_a_crash_another_process_with_another_layout_takes_over(forks: Forks) -> None:
    _, before = done(number_of_process).split()
    with pytest.raises(UserError, match="could not be read"):
        done(crash)
    _, after = done(number_of_process).split()
    assert before != after


def test_without_a_helper_process_work_is_still_done(forks: Forks) -> None:
    forks._process.send_signal(signal.SIGKILL)
    forks._process.wait()
    _, parent = done(number_of_process).split()
    assert int(parent) == os.getpid()
    _, parent = done(number_of_process).split()
    assert int(parent) == forks._process.pid


def test_concurrent_work_gets_its_own_results(forks: Forks) -> None:
    with ThreadPoolExecutor(8) as pool:
        inputs = [bytes([number]) * 100_000 for number in range(40)]
        assert list(pool.map(lambda data: done(bytes, data), inputs)) == inputs
    assert children(forks._process.pid) == []


def test_running_work_ends_with_the_server() -> None:
    with ThreadPoolExecutor() as pool:
        with forking("helpers.busy:get_ready"):
            forks = limited._forks[-1]
            process = forks._process.pid
            slow = pool.submit(done, work_slowly)
            wait_until(lambda: bool(children(process)))
            working = children(process)[0]
        wait_until(lambda: not os.path.exists(f"/proc/{working}"))
        assert not os.path.exists(f"/proc/{process}")
        assert slow.result() == b"done"  # in a process started anew
        assert forks._process.pid == process  # none takes over
