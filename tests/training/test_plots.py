"""The loss curves of runs as pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from music_reformer.training import plots
from music_reformer.training.metrics import COLUMNS, MetricsFile
from music_reformer.training.plots import plot, plot_rates


def row(step: int, validation: float | None = None) -> dict[str, float | None]:
    return {**dict.fromkeys(COLUMNS, 0.5), "step": step, "targets": 1e6 * step, "validation_loss": validation}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Axes]:
    """The axes of each picture, as they were saved."""
    saved: list[Axes] = []
    save = plots._save

    def remember(axes: Axes, xlabel: str, output: Path) -> Path:
        saved.append(axes)
        return save(axes, xlabel, output)

    monkeypatch.setattr(plots, "_save", remember)
    return saved


def write(folder: Path, *rows: dict[str, float | None]) -> Path:
    folder.mkdir()
    file = MetricsFile(folder / "metrics.csv")
    file.keep_until(0)
    for each in rows:
        file.append(each)
    return folder


def test_curves_are_plotted_with_and_without_data(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.csv")
    file.keep_until(0)
    assert plot([tmp_path], tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    for step in (1, 2):
        file.append(row(step, validation=0.4))
    assert plot([tmp_path, tmp_path], tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_continued_run_is_drawn_after_its_predecessor(tmp_path: Path, drawn: list[Axes]) -> None:
    first = write(tmp_path / "first", row(1, 0.9), row(2, 0.7))
    second = write(tmp_path / "second", row(1), row(2, 0.6), row(3, 0.8))
    plot([first, second], tmp_path / "loss.png")
    (axes,) = drawn
    between, training, validation = axes.get_lines()
    assert list(np.ravel(between.get_xdata())) == [2, 2]
    assert list(training.get_xdata()) == [1, 2, 3, 4, 5]
    assert list(zip(validation.get_xdata(), validation.get_ydata(), strict=True)) == [
        (1, 0.9), (2, 0.7), (4, 0.6), (5, 0.8),
    ]  # fmt: skip
    assert [text.get_text() for text in axes.texts] == ["0.600"]  # the best


def test_the_chosen_rate_is_marked(tmp_path: Path, drawn: list[Axes]) -> None:
    picture = plot_rates([1e-4, 1e-3, 1e-2], [3.0, 2.0, 9.0], 1e-3, tmp_path / "rates.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    (axes,) = drawn
    assert axes.get_xscale() == "log"
    assert [text.get_text().strip() for text in axes.texts] == ["1.0e-03"]
