"""The progress line of a run: on a terminal, in a file, and the measured speed."""

from __future__ import annotations

import io
import time

import pytest

from music_reformer.training.progress_line import ProgressLine, readable_seconds


def test_progress_is_lines_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    progress = ProgressLine(max_steps=100, shown=True, stream=stream)
    progress.start(0)
    progress.step(10, loss=1.0, num_targets=500)
    progress.validating(1, 2)
    progress.row({"step": 10, "train_loss": 1.5, "validation_loss": 2.5, "learning_rate": 1e-3})
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    assert "10/100  train 1.5000  validation 2.5000" in lines[0]
    assert "tokens/s" in lines[0]
    assert "left" in lines[0]
    assert "\x1b" not in lines[0]


def test_validation_is_not_part_of_the_speed() -> None:
    progress = ProgressLine(max_steps=100, shown=False)
    progress.start(0)
    time.sleep(0.05)
    with progress.pause():
        time.sleep(0.2)
    progress.step(1, loss=1.0, num_targets=1000)
    assert 1000 / 0.2 < progress.rate < 1000 / 0.05


def test_the_time_left_forgets_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU compiled kernels for half a minute in it, and a run of ten seconds showed "56 min left"."""
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    stream = io.StringIO()
    progress = ProgressLine(max_steps=200, shown=True, stream=stream)
    progress.start(0)
    for step in range(1, 101):
        now += 30.0 if step == 1 else 0.05
        progress.step(step, loss=1.0, num_targets=65_536)
    progress.row({"step": 100, "train_loss": 1.0, "validation_loss": None, "learning_rate": 1e-3})
    assert "1,310,720 tokens/s  5 s left" in stream.getvalue()


def test_a_closed_terminal_does_not_end_a_training() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    ProgressLine(max_steps=1, shown=True, stream=Gone()).say("hello")


def test_readable_seconds() -> None:
    assert [readable_seconds(s) for s in (12.4, 600, 12_000)] == ["12 s", "10 min", "3 h 20 min"]


def test_on_a_terminal_the_progress_line_is_redrawn_and_messages_stay() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    progress = ProgressLine(max_steps=100, shown=True, stream=stream)
    progress.start(0)
    progress.step(1, loss=2.0, num_targets=10)
    progress.say("saved")
    drawn, said = stream.getvalue().split("\r\x1b[K")[1:]
    assert drawn.startswith("step 1/100  loss 2.0000")
    assert said == "saved\n"


def test_only_the_first_process_shows_progress() -> None:
    stream = io.StringIO()
    progress = ProgressLine(max_steps=100, shown=False, stream=stream)
    progress.step(1, loss=2.0, num_targets=10)
    progress.say("saved")
    assert stream.getvalue() == ""
