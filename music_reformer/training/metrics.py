"""The loss curves of a run as a CSV; if a run is killed and resumed, no row is lost or written twice."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from music_reformer.files import naming, replacing

COLUMNS = (
    "step",
    "train_loss",
    "validation_loss",
    "learning_rate",
    "gradient_norm",
    "targets",
    "targets_per_second",
    "seconds",
)
BY_CORPUS = ("step", "corpus", "nats_per_token", "nats_per_note", "targets", "notes")


class MetricsFile:
    """A CSV to which rows are appended, and which is cut back to the step at which a run is resumed.

    Args:
        path: path of the CSV.
        columns: names of the columns; the first is "step".
    """

    def __init__(self, path: Path, columns: Sequence[str] = COLUMNS) -> None:
        self.path, self.columns = path, columns

    def append(self, row: Mapping[str, Any]) -> None:
        """Append a row and flush it to disk; None becomes an empty field."""
        is_new = not self.path.exists()
        with naming(self.path), self.path.open("a", newline="") as file:
            if is_new:
                csv.writer(file).writerow(self.columns)
            csv.writer(file).writerow(["" if row[name] is None else row[name] for name in self.columns])
            file.flush()
            os.fsync(file.fileno())

    def keep_until(self, step: int) -> None:
        """Drop the rows after a step, and a line left half-written by a kill."""
        kept = []
        if self.path.exists():
            with self.path.open(newline="") as file:
                whole = [line for line in csv.reader(file) if len(line) == len(self.columns)]
            kept = [line for line in whole if line[0].isdigit() and int(line[0]) <= step]
        with replacing(self.path) as temporary, temporary.open("w", newline="") as file:
            csv.writer(file).writerows([self.columns, *kept])

    def rows(self) -> list[dict[str, float | None]]:
        """All rows; None where nothing was measured."""
        with self.path.open(newline="") as file:
            return [
                {name: float(value) if value else None for name, value in line.items()} for line in csv.DictReader(file)
            ]
