"""The loss curves of a run as a picture."""

from __future__ import annotations

from pathlib import Path

from music_reformer.training.metrics import MetricsFile


def plot(folder: Path, *, output: Path | None = None) -> Path:
    """Draw `metrics.csv` of a run: training and validation loss over steps.

    Args:
        folder: of the run.
        output: PNG to write; None: `loss.png` in the folder.
    """
    # Imported here, since a training that never ends well needs no drawing; the Agg canvas needs no screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    output = folder / "loss.png" if output is None else output
    rows = MetricsFile(folder / "metrics.csv").rows()
    figure = Figure(figsize=(7, 4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    train = [(row["step"], row["train_loss"]) for row in rows if row["train_loss"] is not None]
    validation = [(row["step"], row["validation_loss"]) for row in rows if row["validation_loss"] is not None]
    if train:
        axes.plot(*zip(*train, strict=True), color="tab:blue", linewidth=1, label="training (augmented)")
    if validation:
        axes.plot(*zip(*validation, strict=True), color="tab:orange", marker="o", markersize=3, label="validation")
        step, loss = min(validation, key=lambda point: point[1] or 0.0)
        axes.annotate(f"{loss:.3f}", (step, loss), textcoords="offset points", xytext=(0, -12), ha="center", fontsize=8)
    axes.set_xlabel("optimizer steps")
    axes.set_ylabel("loss, nats per token")
    axes.grid(alpha=0.3)
    if train or validation:
        axes.legend()
    temporary = output.with_name(output.name + ".tmp")
    figure.savefig(temporary, format="png")
    temporary.replace(output)
    return output
