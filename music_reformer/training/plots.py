"""Plots the loss curves of a run, or of several that continue one another, and the loss by learning rate.

`python -m music_reformer.training.plots RUN [RUN ...] OUTPUT.png` draws them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from music_reformer.files import replacing
from music_reformer.training.metrics import MetricsFile


def plot(folders: Sequence[Path], output: Path) -> Path:
    """Draw the `metrics.csv` of runs, one after another: training and validation loss over training tokens.

    Args:
        folders: folders of the runs, each continuing the one before.
        output: PNG file to write.
    """
    axes = _axes()
    train: list[tuple[float, float]] = []
    validation: list[tuple[float, float]] = []
    before = 0.0
    for number, folder in enumerate(folders):
        if number:
            axes.axvline(before / 1e6, color="grey", linestyle=":", linewidth=1)
        rows = MetricsFile(folder / "metrics.csv").rows()
        for row in rows:
            tokens = (before + (row["targets"] or 0)) / 1e6
            for points, loss in ((train, row["train_loss"]), (validation, row["validation_loss"])):
                if loss is not None:
                    points.append((tokens, loss))
        before += max((row["targets"] or 0 for row in rows), default=0)
    if train:
        axes.plot(*zip(*train, strict=True), color="tab:blue", linewidth=1, label="training (augmented)")
    if validation:
        axes.plot(*zip(*validation, strict=True), color="tab:orange", marker="o", markersize=3, label="validation")
        best = min(validation, key=lambda point: point[1])
        axes.annotate(f"{best[1]:.3f}", best, textcoords="offset points", xytext=(0, -12), ha="center", fontsize=8)
        axes.margins(y=0.1)  # Room for these words below the curve's end.
    if train or validation:
        axes.legend()
    axes.set_ylabel("loss, nats per token")
    return _save(axes, "training tokens, millions", output)


def plot_rates(rates: Sequence[float], losses: Sequence[float], chosen: float, output: Path) -> Path:
    """Draw the smoothed loss of batches by learning rate, and the chosen rate."""
    axes = _axes()
    axes.plot(rates, losses, linewidth=1)
    axes.axvline(chosen, color="tab:orange", linestyle=":")
    axes.annotate(f" {chosen:.1e}", (chosen, max(losses)), fontsize=8, va="top")
    axes.set_xscale("log")
    axes.set_ylabel("loss of a batch, nats, smoothed")
    return _save(axes, "learning rate", output)


def _axes() -> Any:
    # Imported here, since a run that fails needs no drawing; the Agg canvas needs no screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure.subplots()


def _save(axes: Any, xlabel: str, output: Path) -> Path:
    axes.set_xlabel(xlabel)
    axes.grid(alpha=0.3)
    with replacing(output) as temporary:
        axes.figure.savefig(temporary, format="png")
    return output


if __name__ == "__main__":
    plot([Path(argument) for argument in sys.argv[1:-1]], Path(sys.argv[-1]))
