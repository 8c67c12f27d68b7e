"""Form plans, as composers type them."""

from __future__ import annotations

import pytest

from music_reformer.errors import UserError
from music_reformer.midi.form import FoundSection
from music_reformer.midi.form_plan import FormPlan, RecalledBar

SECTIONS = [FoundSection(0, 2, "A"), FoundSection(2, 3, "B"), FoundSection(5, 2, "A")]


def bars(text: str, num_bars: int = 12) -> list[int | str | None]:
    """The bar of the piece that returns in each new bar, with "'" if varied; None: something new."""
    planned = FormPlan.parse(text).bars(SECTIONS, num_bars)
    return [each and (f"{each.bar}'" if each.varied else each.bar) for each in planned]


def test_a_form_names_bars_sections_and_new_bars() -> None:
    assert bars("5-7") == [4, 5, 6]
    assert bars("12") == [11]
    assert bars(" A |  new   2|3-4' | B'") == [0, 1, None, None, "2'", "3'", "2'", "3'", "4'"]
    assert bars("| A |") == [0, 1]
    assert FormPlan.parse("7").bars([], 7) == [RecalledBar(6)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a section"),
        ("A | | B", "'' is not a section"),
        ("verse", "'verse' is not a section"),
        ("new", "'new' is not a section"),
        ("new 0", r"new \(0\) must be followed by 1 to"),
        ("new 99999", "must be followed by 1 to"),
        ("0-4", "must go upwards, from 1"),
        ("8-5", "bars 8-5 must go upwards"),
        ("1-2''", "is not a section"),
        ("-3", "is not a section"),
        ("A|" * 100, "at most 64 sections, and has 100"),
        ("A" * 5000, "at most 2000 characters, and has 5000"),
    ],
)
def test_unreadable_sections_are_named(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as refusal:
        FormPlan.parse(text)
    assert len(str(refusal.value)) < 200


def test_bars_and_sections_that_the_piece_lacks_are_named() -> None:
    with pytest.raises(UserError, match="has no section C; it has A, B"):
        bars("C")
    with pytest.raises(UserError, match="has no section A; it has none"):
        FormPlan.parse("A").bars([], 4)
    with pytest.raises(UserError, match="bars 11-13 cannot come again, because there are 12 bars"):
        bars("A | 11-13")
