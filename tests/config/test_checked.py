"""Dataclasses that check themselves: what each kind of rule refuses, and in which words."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from music_reformer.config.checked import (
    SHOWN,
    Bounds,
    Checked,
    bounded,
    free_text,
    location,
    one_of,
    type_hints,
    without_none,
)
from music_reformer.errors import UserError


@dataclass
class Inner(Checked):
    prefix: ClassVar[str] = "inner."
    rate: float = bounded(0.5, 0, 1, above=True)


@dataclass
class Settings(Checked):
    count: int = bounded(3, 0, 10, hint="0 is off")
    share: float | None = bounded(None, 0, 1, below=True)
    is_on: bool = True
    kind: str = one_of("plain", ("plain", "fancy"))
    path: str | None = location(None)
    words: str = free_text("")
    sizes: list[int] = bounded([4], 2, 8, size=(1, 3))
    by_step: dict[int, float] = bounded({}, 0, 1, keys=(0, 100), size=(0, 2))
    grid: list[list[int]] = bounded([], 0, 9)
    inner: Inner = field(default_factory=Inner)
    shares: dict[str, float] = bounded({}, 0, 1)
    anything: Any = None


def test_defaults_hold_and_are_not_shared() -> None:
    first, second = Settings(), Settings()
    first.sizes.append(5)
    assert second.sizes == [4]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"count": 11}, "count (11) must be 0 to 10; 0 is off"),
        ({"count": 2.5}, "count (2.5) must be a whole number"),
        ({"count": True}, "count (True) must be a whole number"),
        ({"count": "3"}, "count ('3') must be a whole number"),
        ({"count": None}, "count (None) must be a whole number"),
        ({"count": 10**100}, "count (a number of more than 60 digits) must be 0 to 10; 0 is off"),
        ({"share": 1.0}, "share (1) must be at least 0 and below 1"),
        ({"share": float("nan")}, "share (nan) must be at least 0 and below 1"),
        ({"is_on": 1}, "is_on (1) must be true or false"),
        ({"kind": "odd"}, "kind ('odd') must be one of plain, fancy"),
        ({"path": " "}, "path is empty; name a path ('.' is the current folder)"),
        ({"path": 5}, "path (5) must be text"),
        ({"words": "x" * 70, "path": ["x" * 70]}, "path (['" + "x" * (SHOWN - 2) + "...) must be text"),
        ({"sizes": 4}, "sizes (4) must be a list: sizes=[...]"),
        ({"sizes": []}, "sizes ([]) must have 1 to 3 entries"),
        ({"sizes": [2, 9]}, "sizes (9) must be 2 to 8"),
        ({"sizes": [2, "3"]}, "sizes ('3') must be a whole number"),
        ({"by_step": [1]}, "by_step ([1]) must be a mapping: by_step={key: value, ...}"),
        ({"by_step": {101: 0.5}}, "by_step, key (101) must be 0 to 100"),
        ({"by_step": {1: 1.5}}, "by_step (1.5) must be 0 to 1"),
        ({"by_step": {1: 0, 2: 0, 3: 0}}, "by_step ({1: 0, 2: 0, 3: 0}) must have 0 to 2 entries"),
        ({"shares": {"hymns": "all"}}, "shares.hymns ('all') must be a number"),
        ({"grid": [[1, 2], [10]]}, "grid (10) must be 0 to 9"),
        ({"inner": {"rate": 1}}, "inner ({'rate': 1}) must be a group of settings"),
    ],
    ids=repr,
)
def test_a_broken_rule_is_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        Settings(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"count": 0},
        {"share": 0},
        {"share": 0.999},
        {"path": "."},
        {"sizes": [2, 8, 5]},
        {"by_step": {0: 1, 100: 0.0}},
        {"grid": [[], [0, 9]]},
        {"anything": 2j},
    ],
    ids=repr,
)
def test_valid_values_are_accepted(changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        assert getattr(Settings(**changes), name) == value


def test_groups_inside_are_checked_under_their_own_name_also_when_they_have_changed() -> None:
    with pytest.raises(UserError, match=r"^inner.rate \(0\) must be above 0 and at most 1$"):
        Inner(rate=0)
    settings = Settings()
    settings.inner.rate = 2
    with pytest.raises(UserError, match=r"^inner.rate \(2\)"):
        settings.check()


def test_bounds_can_exclude_their_ends() -> None:
    assert [number in Bounds(0, 1, above=True) for number in (0, 0.1, 1)] == [False, True, True]
    assert [number in Bounds(0, 1, below=True) for number in (0, 0.9, 1)] == [True, True, False]
    assert str(Bounds(1, 1_000_000)) == "1 to 1,000,000"


def test_type_hints_are_cached_and_none_is_removed() -> None:
    hints = type_hints(Settings)
    assert hints is type_hints(Settings)
    assert without_none(hints["share"]) is float
    assert without_none(hints["count"]) is int
