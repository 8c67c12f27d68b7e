"""The plots of the report as inline SVG, in the colours and the font of the page.

Colours are placeholders that are replaced by variables of the style sheet, so that the plots follow its dark mode.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from music_reformer.evaluation.compare import common_axis, density
from music_reformer.evaluation.musical import STATISTICS

# Placeholder -> variable of the style sheet.
INK, FAINT, FIRST, SECOND, THIRD = "#010101", "#020202", "#030303", "#040404", "#050505"
_VARIABLES = {INK: "--ink", FAINT: "--faint", FIRST: "--first", SECOND: "--second", THIRD: "--third"}
GROUP_COLOURS = {"generated": FIRST, "held_out": SECOND, "training": THIRD}
# Smallest range of the vertical axis of the plot over contexts, as a fraction of the loss.
_LEAST_RANGE = 0.05
_STYLE: Any = {
    "svg.fonttype": "none",  # keep text as text: smaller, and in the font of the page
    "svg.hashsalt": "music-reformer",  # the same figures give the same bytes
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.alpha": 0.35,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
}


def position_plot(rows: Sequence[dict[str, float]]) -> str:
    """Nats per token by position in the piece."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(5.4, 3.1)
        centre = [np.sqrt(row["from"] * row["to"]) for row in rows]
        axes.fill_between(
            centre, [row["low"] for row in rows], [row["high"] for row in rows], color=SECOND, alpha=0.18, linewidth=0
        )
        axes.plot(centre, [row["nats_per_token"] for row in rows], color=SECOND, marker="o", markersize=3.5)
        axes.set_xscale("log", base=2)
        axes.set_xlabel("token of the piece")
        axes.set_ylabel("nats per token")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_ylim(bottom=0)
        return _svg(figure)


def context_plot(rows: Sequence[dict[str, Any]]) -> str:
    """Nats per token by length of the context; the last point is the whole piece."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(5.4, 3.1)
        place = np.arange(len(rows))
        mean = np.array([row["nats_per_token"]["value"] for row in rows])
        whole = mean[-1]
        axes.axhline(whole, color=FIRST, linewidth=1, linestyle=(0, (3, 3)))
        axes.plot(place, mean, color=SECOND, marker="o", markersize=4.5)
        axes.plot(place[-1:], mean[-1:], color=FIRST, marker="o", markersize=7)
        for x, y in zip(place, mean, strict=True):
            axes.annotate(f"{y:.3f}", (x, y), textcoords="offset points", xytext=(0, 8), ha="center", fontsize=8.5)
        axes.set_xticks(place, [f"{row['context']:,}" if row["context"] else "whole\npiece" for row in rows])
        axes.set_xlabel("tokens of context, at most")
        axes.set_ylabel("nats per token")
        axes.margins(x=0.08, y=0.25)
        # Negligible differences must not fill the height of the plot.
        low, high = axes.get_ylim()
        if high - low < _LEAST_RANGE * whole:
            axes.set_ylim((low + high - _LEAST_RANGE * whole) / 2, (low + high + _LEAST_RANGE * whole) / 2)
        return _svg(figure)


def type_plot(by_type: dict[str, dict[str, Any]]) -> str:
    """Nats per token of each kind of token, with its share of all nats."""
    with matplotlib.rc_context(_STYLE):
        kinds = list(by_type)[::-1]
        figure, axes = _figure(5.4, 0.8 + 0.32 * len(kinds))
        mean = np.array([by_type[kind]["nats_per_token"] for kind in kinds])
        error = np.abs([[by_type[kind]["low"], by_type[kind]["high"]] for kind in kinds] - mean[:, None]).T
        axes.barh(kinds, mean, height=0.62, color=SECOND, alpha=0.85, xerr=error, error_kw={"ecolor": INK, "lw": 1})
        right = mean + error[1]
        for place, kind in enumerate(kinds):
            part = by_type[kind]["share"]
            share = f"{part:.0%} of all" if part >= 0.01 else "under 1%"
            axes.annotate(share, (right[place], place), textcoords="offset points", xytext=(6, -3), fontsize=8.5)
        axes.set_xlim(0, 1.22 * right.max())
        axes.set_xlabel("nats per token")
        axes.grid(axis="y", visible=False)
        return _svg(figure)


def piece_plot(by_piece: Sequence[dict[str, Any]]) -> str:
    """Nats per token of every piece, from the easiest to the hardest."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(5.4, 3.1)
        values = np.sort([piece["nats"] / piece["targets"] for piece in by_piece])
        axes.plot(np.arange(1, len(values) + 1), values, ".", color=SECOND, markersize=5)
        axes.axhline(np.median(values), color=FAINT, linewidth=1)
        axes.annotate("median", (1, np.median(values)), textcoords="offset points", xytext=(0, 3), fontsize=8.5)
        axes.set_xlabel("pieces, from the easiest to the hardest")
        axes.set_ylabel("nats per token")
        axes.margins(y=0.15)
        return _svg(figure)


def statistic_plot(name: str, groups: dict[str, Any]) -> str:
    """The densities of one statistic in the three groups."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(3.0, 1.9)
        values = {group: np.array(groups[group]["values"][name]) for group in GROUP_COLOURS}
        at = common_axis(*values.values())
        for group in ("training", "held_out", "generated"):
            colour = GROUP_COLOURS[group]
            height = density(values[group], at)
            axes.plot(at, height, color=colour, linewidth=1.0 if group == "training" else 1.8)
            if group != "training":
                axes.fill_between(at, height, color=colour, alpha=0.14, linewidth=0)
        title, unit = STATISTICS[name]
        axes.set_title(title, loc="left", weight="bold")
        axes.set_xlabel(unit, fontsize=8.5)
        axes.set_yticks([])
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_ylim(bottom=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="y", visible=False)
        return _svg(figure)


def lag_plot(groups: dict[str, Any]) -> str:
    """Self-similarity by lag."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(11, 2.9)
        for group in ("training", "held_out", "generated"):
            likeness = groups[group]["likeness_by_lag"]
            axes.plot(likeness[1:], color=GROUP_COLOURS[group], linewidth=1.0 if group == "training" else 1.8)
        axes.set_xlabel("seconds apart")
        axes.set_ylabel("likeness (cosine)")
        axes.margins(x=0.01)
        return _svg(figure)


def copy_plot(found: dict[str, Any]) -> str:
    """Share of pieces (y) whose longest copied n-gram has at least a given number of notes (x)."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(5.4, 3.0)
        longest = max(found[group]["largest"] for group in ("generated", "held_out"))
        at = np.arange(0, longest + 2)
        for group in ("held_out", "generated"):
            lengths = np.array(found[group]["lengths"])
            share = [(lengths >= notes).mean() for notes in at]
            axes.plot(at, share, marker="o", markersize=3, color=GROUP_COLOURS[group], linewidth=1.8)
        axes.set_xlabel("notes of the longest copied passage, at least")
        axes.set_ylabel("share of the pieces")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if longest > 100:
            axes.set_xscale("symlog", linthresh=20)
        return _svg(figure)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    figure.patch.set_alpha(0)
    axes = figure.subplots()
    axes.patch.set_alpha(0)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return text
