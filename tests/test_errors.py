"""Which errors become a sentence for the user, and which keep their traceback."""

from __future__ import annotations

import errno
import signal
import sqlite3

import pytest

from music_reformer.errors import Stopped, UserError, sentence_of


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (UserError("seed (-1) must be 0 or more"), "seed (-1) must be 0 or more"),
        (OSError(errno.ENOSPC, "No space left on device", "out/a.mid"), "out/a.mid: No space left on device"),
        (OSError(errno.EPIPE, "Broken pipe"), "Broken pipe"),
        (TimeoutError(), "TimeoutError"),
        (OSError("said in words"), "said in words"),
        (
            sqlite3.OperationalError("disk I/O error"),
            "the journal of the run cannot be written (disk I/O error); check whether the disk is full",
        ),
        (ValueError("ours"), None),
        (KeyboardInterrupt(), None),
    ],
    ids=repr,
)
def test_mistakes_and_disk_errors_get_a_sentence_and_bugs_do_not(error: BaseException, sentence: str | None) -> None:
    assert sentence_of(error) == sentence


def test_stopped_gives_the_exit_code_of_the_signal() -> None:
    with pytest.raises(SystemExit) as raised:
        raise Stopped(signal.SIGTERM)
    assert raised.value.code == 143
    assert raised.value.signal is signal.SIGTERM  # type: ignore[attr-defined]
