"""Bars of a chart stand for their numbers."""

from __future__ import annotations

import re

import pytest

from music_reformer.data.prepare.charts import Bar, histogram, short


def test_bars_are_as_high_as_their_numbers() -> None:
    text = histogram([Bar(0, "a", "none"), Bar(30, "b", "thirty"), Bar(60, "", "sixty")], across="things")
    heights = [float(height) for height in re.findall(r'class="bar"[^>]*height="([\d.]+)"', text)]
    assert heights[0] == 0
    assert heights[2] == pytest.approx(2 * heights[1])
    assert re.findall(r'class="y"[^>]*>([^<]+)', text) == ["0", "20", "40", "60"]
    assert "<title>thirty</title>" in text
    assert [short(number) for number in (0, 950, 12_000, 3_400_000, 2e9)] == ["0", "950", "12k", "3.4M", "2G"]
