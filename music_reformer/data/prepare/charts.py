"""Bar charts for an HTML page: inline SVG and HTML without scripts, in the colours of the page, with tooltips."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 560, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 8, 30


@dataclass(frozen=True)
class Bar:
    """A bar: its height, the label below it (may be empty), and its tooltip."""

    value: int
    label: str
    title: str


def histogram(bars: Sequence[Bar], *, across: str, ranges: bool = False) -> str:
    """A chart of vertical bars.

    Args:
        bars: from left to right.
        across: label of the horizontal axis.
        ranges: whether a bar stands for a range; its label then marks the lower bound, at the left edge.
    """
    top = max((bar.value for bar in bars), default=0) or 1
    step = _round_step(top)
    scale = (HEIGHT - TOP - BOTTOM) / (step * math.ceil(top / step))
    floor = HEIGHT - BOTTOM
    width = (WIDTH - LEFT - RIGHT) / max(len(bars), 1)
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(across)}">']
    for value in range(0, step * math.ceil(top / step) + 1, step):
        y = floor - value * scale
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="y" x="{LEFT - 6}" y="{y + 3.5:.1f}">{short(value)}</text>')
    for place, bar in enumerate(bars):
        x, height = LEFT + place * width, bar.value * scale
        # The tooltip belongs to the whole column, because a low bar is hard to hit.
        parts.append(
            f'<g><title>{html.escape(bar.title)}</title><rect class="hit" x="{x:.1f}" y="{TOP}" width="{width:.1f}" '
            f'height="{floor - TOP}"/><rect class="bar" x="{x + width * 0.07:.1f}" y="{floor - height:.1f}" '
            f'width="{width * 0.86:.1f}" height="{height:.1f}"/></g>'
        )
        if bar.label:
            x += 0 if ranges else width / 2
            parts.append(f'<text class="x" x="{x:.1f}" y="{floor + 13}">{html.escape(bar.label)}</text>')
    parts.append(f'<text class="x axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 3}">{html.escape(across)}</text>')
    return "".join([*parts, "</svg>"])


def ranking(bars: Sequence[Bar]) -> str:
    """A chart of horizontal bars, from top to bottom."""
    top = max((bar.value for bar in bars), default=0) or 1
    rows = [
        f'<tr title="{html.escape(bar.title)}"><th scope="row">{html.escape(bar.label)}</th><td class="number">'
        f'{bar.value:,}</td><td class="wide"><i style="width:{100 * bar.value / top:.1f}%"></i></td></tr>'
        for bar in bars
    ]
    return f'<table class="ranking">{"".join(rows)}</table>'


def short(value: float) -> str:
    """A number abbreviated: 950, 12k, 3.4M."""
    for unit, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.1f}".removesuffix(".0") + sign
    return f"{value:g}"


def _round_step(top: int) -> int:
    """A round distance between grid lines such that there are at most four."""
    for power in range(12):
        for digit in (1, 2, 5):
            if digit * 10**power * 4 >= top:
                return int(digit * 10**power)
    return top
