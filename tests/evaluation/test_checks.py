"""The nine checks: each fault is found and named, and a faithful continuation passes."""

from __future__ import annotations

import numpy as np
import pytest
import symusic

from helpers.continued_piece import BAR, FAULTS, NEW, Note, piece
from music_reformer.evaluation.checks import BARS_BEFORE, Bars, failed_checks, key_scale


def test_a_faithful_continuation_passes() -> None:
    assert failed_checks(piece(), BARS_BEFORE, NEW) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named(fault: str) -> None:
    assert fault in failed_checks(piece(FAULTS[fault]), BARS_BEFORE, NEW)


def test_empty_new_bars_fail() -> None:
    failed = failed_checks(piece(lambda note: []), BARS_BEFORE, NEW)
    assert {"density", "empty bars", "instruments"} <= set(failed)


def test_drums_alone_are_not_judged_by_pitch() -> None:
    score = piece(lambda note: [(note[0], note[1], note[2] + 12, note[3])])
    for track in score.tracks[:2]:
        track.notes.clear()
    assert failed_checks(score, BARS_BEFORE, NEW) == []


def test_a_held_note_is_no_silence() -> None:
    def hold(note: Note) -> list[Note]:
        if note[0] // BAR == BARS_BEFORE + 4:
            return []
        last = note[0] == (BARS_BEFORE + 3) * BAR and note[3] == 0
        return [(note[0], 2 * BAR, note[2], note[3])] if last else [note]

    assert "empty bars" not in failed_checks(piece(hold), BARS_BEFORE, NEW)


@pytest.mark.parametrize(("tonic", "scale"), [(7, {7, 9, 11, 0, 2, 4, 6}), (2, {2, 4, 6, 7, 9, 11, 1})])
def test_the_key_is_found(tonic: int, scale: set[int]) -> None:
    triad_and_scale = np.bincount([(tonic + step) % 12 for step in (0, 0, 0, 4, 4, 7, 7, 2, 5, 9, 11)], minlength=12)
    assert set(key_scale(triad_and_scale.astype(float))) == scale


def test_bars_follow_the_metre() -> None:
    score = symusic.Score(480)
    score.time_signatures.append(symusic.TimeSignature(0, 3, 4))
    score.tracks.append(symusic.Track("", 5, False))
    for beat in range(12):
        score.tracks[0].notes.append(symusic.Note(480 * beat, 480, 60 + beat, 80))
    bars = Bars.of(score, 1, 2)
    assert bars.pitch.tolist() == [63, 64, 65, 66, 67, 68]
    np.testing.assert_allclose(bars.onset, np.arange(6) / 3)
    assert set(bars.program.tolist()) == {5}
