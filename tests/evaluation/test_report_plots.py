"""The plots of the report: inline SVG that loads nothing, in the colours of the page."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from music_reformer.evaluation import report_plots
from music_reformer.evaluation.musical import STATISTICS

DICE = np.random.default_rng(0)
POSITIONS = [{"from": 2**i, "to": 2 ** (i + 1) - 1, "nats_per_token": 2.0, "low": 1.9, "high": 2.1} for i in range(6)]
NAME = next(iter(STATISTICS))
GROUPS: dict[str, Any] = {
    group: {"values": {NAME: DICE.normal(size=20).tolist()}, "likeness_by_lag": [1.0, *DICE.random(9).tolist()]}
    for group in report_plots.GROUP_COLOURS
}


def contexts(*losses: float) -> list[dict[str, Any]]:
    sizes = [256 * 4**number for number in range(len(losses) - 1)]
    return [
        {"context": size, "nats_per_token": {"value": loss}} for size, loss in zip([*sizes, 0], losses, strict=True)
    ]


def kinds(**shares: float) -> dict[str, dict[str, float]]:
    return {kind: {"nats_per_token": 2.0, "low": 1.9, "high": 2.2, "share": share} for kind, share in shares.items()}


def copies(*lengths: int) -> dict[str, Any]:
    return {group: {"lengths": list(lengths), "largest": max(lengths)} for group in ("generated", "held_out")}


PLOTS: dict[str, Callable[[], str]] = {
    "position": lambda: report_plots.position_plot(POSITIONS),
    "context": lambda: report_plots.context_plot(contexts(2.0, 1.9, 1.85)),
    "type": lambda: report_plots.type_plot(kinds(Pitch=0.9, EOS=0.002)),
    "piece": lambda: report_plots.piece_plot([{"nats": 30.0 + n, "targets": 20} for n in range(9)]),
    "statistic": lambda: report_plots.statistic_plot(NAME, GROUPS),
    "lag": lambda: report_plots.lag_plot(GROUPS),
    "copy": lambda: report_plots.copy_plot(copies(4, 9, 300)),
}


def texts(plot: str) -> list[str]:
    return [
        "".join(element.itertext()) for element in ElementTree.fromstring(plot).iter() if element.tag.endswith("}text")
    ]


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_is_the_same_bytes_each_time_loads_nothing_and_follows_the_page(name: str) -> None:
    plot = PLOTS[name]()
    assert plot == PLOTS[name]()
    assert plot.startswith("<svg")
    ElementTree.fromstring(plot)
    assert not re.search(r"<image|<script|@import|(?:href|src)=\"(?!#)", plot)
    assert "var(--ink)" in plot
    assert not re.search("#0[1-5]0[1-5]0[1-5]", plot), "a placeholder is left"


def test_each_context_has_its_loss_and_the_last_is_the_whole_piece() -> None:
    found = texts(PLOTS["context"]())
    assert {"2.000", "1.900", "1.850", "256", "1,024", "whole", "piece"} <= set(found) | set(" ".join(found).split())


def test_negligible_differences_look_small_in_the_plot() -> None:
    """Points of losses within 0.001 are drawn close together; points half a nat apart are not."""

    def height(plot: str) -> float:
        marks = [float(y) for y in re.findall(r'<use [^>]*?y="([\d.]+)"[^>]*?style="fill: var\(--second\)', plot)]
        return max(marks) - min(marks)

    alike, apart = (report_plots.context_plot(contexts(*losses)) for losses in ((2.001, 2.0, 1.999), (2.5, 2.2, 2.0)))
    assert height(alike) < 0.15 * height(apart)


def test_shares_are_shown_beside_their_kind() -> None:
    assert {"90% of all", "under 1%", "Pitch", "EOS"} <= set(texts(PLOTS["type"]()))


def test_a_statistic_has_its_title_and_unit() -> None:
    assert set(STATISTICS[NAME]) - {""} <= set(texts(PLOTS["statistic"]()))
