"""Predicting the bars that return after a piece."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.songs import song
from music_reformer.midi.form_plan import RecalledBar
from music_reformer.midi.returns import LAST_BARS, LONGEST, likely_returns, repeated_distance


def returning(letters: str, new_bars: int) -> str:
    """The letters of the bars that return, "." for a new one."""
    planned = likely_returns(song(letters), len(letters), new_bars)
    assert all(each is None or each == RecalledBar(each.bar, varied=True) for each in planned)
    return "".join("." if each is None else letters[each.bar] for each in planned)


def test_returning_bars_continue_as_they_did_earlier() -> None:
    verse, chorus = "abcdefgh", "ijklmnop"
    assert returning(verse + chorus + verse, 8) == chorus
    assert returning(verse + chorus + verse + "ijkl", 6)[:4] == "mnop"
    assert returning("abcd" * 3, 4) == "abcd"


def test_without_repetition_nothing_returns() -> None:
    assert set(returning("abcdefghijklmnopqrstuvwx", 16)) <= {"."}
    assert likely_returns(song("ab"), 2, 8) == []


def test_after_a_return_new_bars_precede_the_theme() -> None:
    theme, other = "aabcaabd", "eeffeeffgghhgghi"
    planned = returning(theme + theme + other + theme, 64)
    assert planned.removeprefix(theme + other[:8]) == ("." * LONGEST + theme) * 2


def test_notes_after_the_last_bar_do_not_count() -> None:
    letters = "abcdefgh" + "ijklmnop" + "abcdefgh"
    whole = likely_returns(song(letters), len(letters), 8)
    assert likely_returns(song(letters + "zzzz"), len(letters), 8) == whole


@pytest.mark.parametrize("seed", range(6))
def test_the_distance_is_that_of_the_mean(seed: int) -> None:
    """The oracle tries every distance in turn."""
    random = np.random.default_rng(seed)
    num_bars = int(random.integers(2, 40))
    likeness = random.normal(size=(num_bars, num_bars)) * 1.5
    best, found = 1.25, None
    for distance in range(4, num_bars):
        pairs = [(bar, bar - distance) for bar in range(num_bars - LAST_BARS, num_bars) if bar >= distance]
        pairs = [(bar, before) for bar, before in pairs if bar >= 0]
        if len(pairs) >= LAST_BARS // 2 and np.mean([likeness[pair] for pair in pairs]) > best:
            best, found = float(np.mean([likeness[pair] for pair in pairs])), distance
    assert repeated_distance(likeness) == found
