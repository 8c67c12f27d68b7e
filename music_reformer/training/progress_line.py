"""Shows the progress of a run: a live line on a terminal, plain lines in a file."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

# Seconds, and steps, over which the shown speed is averaged.
_MEMORY, _MOST_STEPS = 30.0, 500


class ProgressLine:
    """Shows loss, speed and time left.

    Args:
        max_steps: number of steps of the run.
        shown: whether this process shows anything (only the first one does).
        stream: output; None: stderr.
    """

    def __init__(self, *, max_steps: int, shown: bool, stream: TextIO | None = None) -> None:
        self.max_steps, self.shown = max_steps, shown
        self.stream = sys.stderr if stream is None else stream
        self.live = shown and self.stream.isatty()
        # Seconds and targets of the latest steps. The very first step, in which kernels are compiled and loader workers
        # start, is dropped as soon as there is another.
        self._latest: deque[tuple[float, int]] = deque(maxlen=_MOST_STEPS)
        self._only_first = True
        self._mark = time.monotonic()
        self._drawn = 0.0

    def start(self, step: int) -> None:
        """Start the clock at a step."""
        self._mark = time.monotonic()

    def step(self, step: int, *, loss: float, num_targets: int) -> None:
        """An optimizer step was taken."""
        now = time.monotonic()
        seconds, self._mark = max(now - self._mark, 1e-9), now
        if self._latest and self._only_first:
            self._latest.clear()
            self._only_first = False
        self._latest.append((seconds, num_targets))
        while len(self._latest) > 1 and self._seconds() > _MEMORY:
            self._latest.popleft()
        self._draw(f"step {step:,}/{self.max_steps:,}  loss {loss:.4f}  {self._speed(step)}")

    @property
    def rate(self) -> float:
        """Targets per second over the latest steps."""
        return sum(targets for _, targets in self._latest) / max(self._seconds(), 1e-9)

    def _seconds(self) -> float:
        return sum(seconds for seconds, _ in self._latest)

    def validating(self, done: int, total: int) -> None:
        """Some validation batches are done."""
        self._draw(f"validation {done:,}/{total:,}")

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Exclude the time of the block from the step's time."""
        begin = time.monotonic()
        yield
        self._mark += time.monotonic() - begin

    def row(self, row: Mapping[str, Any]) -> None:
        """A row of the metrics was written: one line that stays."""
        text = f"step {row['step']:>7,}/{self.max_steps:,}  train {row['train_loss']:.4f}"
        if row["validation_loss"] is not None:
            text += f"  validation {row['validation_loss']:.4f}"
        self.say(f"{text}  lr {row['learning_rate']:.2e}  {self._speed(row['step'])}")

    def say(self, text: str) -> None:
        """One line that stays."""
        if self.shown:
            self._write(("\r\x1b[K" if self.live else "") + text + "\n")

    def _speed(self, step: int) -> str:
        step_seconds = self._seconds() / max(1, len(self._latest))
        left = readable_seconds((self.max_steps - step) * step_seconds)
        return f"{self.rate:,.0f} tokens/s  {left} left"

    def _draw(self, text: str) -> None:
        now = time.monotonic()
        if self.live and now - self._drawn > 0.2:
            self._drawn = now
            self._write(f"\r\x1b[K{text}")

    def _write(self, text: str) -> None:
        # The run continues even if its terminal has been closed.
        with contextlib.suppress(OSError):
            self.stream.write(text)
            self.stream.flush()


def readable_seconds(seconds: float) -> str:
    """40 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
