"""The reasons for a rank, in words: each audible fault is named, and so are kept properties."""

from __future__ import annotations

import pytest

from helpers.continued_piece import BAR, FAULTS, NEW, piece
from music_reformer.evaluation.checks import BARS_BEFORE
from music_reformer.evaluation.reasons import reasons

SPAN = {"cut_tick": BARS_BEFORE * BAR, "end_tick": (BARS_BEFORE + NEW) * BAR}


def test_a_faithful_continuation_keeps_everything() -> None:
    assert reasons(piece(), **SPAN) == ["keeps the key, the rhythm, the density and the register"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("key", "leaves the key"),
        ("pitch classes", "dwells on other notes than the piece"),
        ("density", "is sparser"),
        ("rhythm", "has another rhythm"),
        ("register", "lies higher"),
        ("empty bars", "is silent in bar 20"),
        ("loops", "repeats itself"),
        ("instruments", "loses instruments"),
        ("polyphony", "sounds more notes at once"),
    ],
)
def test_a_fault_is_named(fault: str, words: str) -> None:
    assert words in reasons(piece(FAULTS[fault]), **SPAN)


def test_resting_instruments_are_named_with_their_bars() -> None:
    without_bass = piece(lambda note: [] if note[3] == 1 and note[0] // BAR in (17, 19) else [note])
    assert reasons(without_bass, **SPAN)[-1] == "Electric Bass (finger) rests in bars 18 and 20"
    without_drums = piece(lambda note: [] if note[3] == 2 and note[0] // BAR == 17 else [note])
    assert reasons(without_drums, **SPAN)[-1] == "Drums rest in bar 18"


def test_a_piece_from_nothing_has_no_reasons() -> None:
    assert reasons(piece(), cut_tick=0, end_tick=8 * BAR) == []
