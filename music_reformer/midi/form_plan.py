"""Form plans: which bars of a piece come again in the new bars, as a composer types them.

    A | new 8 | 5-12'

Sections are divided by "|". "5-12" are those bars of the piece again, counted from 1, and "A" the first section with
that letter as `form.py` finds them; "new 8" is eight bars of something new. With "'" after it a section is varied.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from music_reformer.config import require
from music_reformer.midi.form import FoundSection

MAX_CHARACTERS, MAX_SECTIONS, MAX_NEW_BARS = 2_000, 64, 10_000
_NEW, _BARS, _LETTER = r"new (?P<new>\d{1,5})", r"(?P<first>\d{1,6})(?:-(?P<last>\d{1,6}))?", r"(?P<letter>[A-Z]{1,2})"
_SECTION = re.compile(f"{_NEW}|(?:{_BARS}|{_LETTER})(?P<varied>'?)")


@dataclass(frozen=True)
class PlannedSection:
    """Some of the new bars.

    Attributes:
        first_bar: of the bars that come again, from 0; None: the first section with `letter`, or something new.
        num_bars: how many; with `letter`, as many as that section has.
        letter: of a section of the piece.
        varied: whether the bars come again with changes.
    """

    first_bar: int | None = None
    num_bars: int = 0
    letter: str = ""
    varied: bool = False


@dataclass(frozen=True)
class RecalledBar:
    """A bar of the piece, from 0, that comes again; with changes if it is varied."""

    bar: int
    varied: bool = False


@dataclass(frozen=True)
class FormPlan:
    """Sections of the new bars, one after another; bars after the last section are left to the model."""

    sections: tuple[PlannedSection, ...]

    @classmethod
    def parse(cls, text: str) -> FormPlan:
        """Read a plan such as "A | new 8 | 5-12'".

        Raises:
            UserError: a section cannot be read.
        """
        require(len(text) <= MAX_CHARACTERS, f"form may have at most {MAX_CHARACTERS} characters, and has {len(text)}")
        written = [" ".join(each.split()) for each in text.strip(" |").split("|")]
        require(len(written) <= MAX_SECTIONS, f"form may have at most {MAX_SECTIONS} sections, and has {len(written)}")
        return cls(tuple(_read(each) for each in written))

    def bars(self, found: Sequence[FoundSection], num_bars: int) -> list[RecalledBar | None]:
        """What comes again in each new bar, as far as the plan goes; None is something new.

        Args:
            found: sections of the piece.
            num_bars: of the piece, those that can come again.

        Raises:
            UserError: the piece has no such bars or section.
        """
        planned: list[RecalledBar | None] = []
        for section in self.sections:
            first, count = section.first_bar, section.num_bars
            if section.letter:
                named = next((each for each in found if each.letter == section.letter), None)
                letters = ", ".join(dict.fromkeys(each.letter for each in found)) or "none"
                require(named is not None, f"form: the piece has no section {section.letter}; it has {letters}")
                assert named is not None
                first, count = named.first_bar, min(named.num_bars, num_bars - named.first_bar)
            if first is None:
                planned += [None] * count
                continue
            require(
                first + count <= num_bars,
                f"form: bars {first + 1}-{first + count} cannot come again, because there are {num_bars} bars",
            )
            planned += [RecalledBar(bar, section.varied) for bar in range(first, first + count)]
        return planned


def _read(written: str) -> PlannedSection:
    match = _SECTION.fullmatch(written)
    require(
        match is not None,
        f'form: {written!r:.40} is not a section; write bars such as 5-12, the letter of a section, or "new 8"',
    )
    assert match is not None
    varied = match["varied"] == "'"
    if match["new"]:
        count = int(match["new"])
        require(1 <= count <= MAX_NEW_BARS, f"form: new ({count}) must be followed by 1 to {MAX_NEW_BARS} bars")
        return PlannedSection(num_bars=count)
    if match["letter"]:
        return PlannedSection(letter=match["letter"], varied=varied)
    first, last = int(match["first"]), int(match["last"] or match["first"])
    require(1 <= first <= last, f"form: bars {first}-{last} must go upwards, from 1")
    return PlannedSection(first_bar=first - 1, num_bars=last - first + 1, varied=varied)
