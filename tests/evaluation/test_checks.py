"""The nine checks: each fault is found and named, and a piece that goes on as it was passes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import symusic

from music_reformer.evaluation.checks import BARS_BEFORE, Bars, failed_checks, key_scale

BAR, NEW = 1920, 8
C_MAJOR = (0, 2, 4, 5, 7, 9, 11)
Note = tuple[int, int, int, int]  # onset and duration in ticks, pitch, track: 0 piano, 1 bass, 2 drums


def bar_of(number: int) -> list[Note]:
    """A bar of a band in C major; no two in a row are the same."""
    start, random = number * BAR, np.random.default_rng(number)
    melody = [(start + 240 * i, 240, 60 + int(random.choice(C_MAJOR)), 0) for i in range(8)]
    bass = [(start + 960 * i, 960, 36 + int(random.choice((0, 5, 7))), 1) for i in range(2)]
    drums = [(start + 480 * i, 60, 36 if i % 2 == 0 else 38, 2) for i in range(4)]
    return melody + bass + drums


def piece(change: Callable[[Note], list[Note]] = lambda note: [note]) -> symusic.Score:
    """16 bars, and 8 new ones in which `change` replaces each note."""
    score = symusic.Score(480)
    score.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    for program, drum in ((0, False), (33, False), (0, True)):
        score.tracks.append(symusic.Track("", program, drum))
    for number in range(BARS_BEFORE + NEW):
        for note in bar_of(number):
            for time, duration, pitch, track in [note] if number < BARS_BEFORE else change(note):
                score.tracks[track].notes.append(symusic.Note(time, duration, pitch, 80))
    return score


def test_a_piece_that_goes_on_as_it_was_passes() -> None:
    assert failed_checks(piece(), BARS_BEFORE, NEW) == []


FAULTS: dict[str, Callable[[Note], list[Note]]] = {
    "key": lambda n: [(n[0], n[1], n[2] + (n[3] == 0 and n[2] % 12 in (0, 5, 7)), n[3])],
    "pitch classes": lambda n: [(n[0], n[1], n[2] if n[3] == 2 else 59 if n[3] == 0 else 47, n[3])],
    "density": lambda n: [n] if n[0] % BAR == 0 else [],
    "rhythm": lambda n: [(n[0] + 90, n[1], n[2], n[3])],
    "register": lambda n: [(n[0], n[1], n[2] + (24 if n[3] == 0 else 0), n[3])],
    "empty bars": lambda n: [] if n[0] // BAR == BARS_BEFORE + 3 else [n],
    "loops": lambda n: [(n[0], n[1], 60 + n[0] % BAR // 240, n[3]) if n[3] == 0 else (n[0], n[1], 36, n[3])],
    "instruments": lambda n: [] if n[3] == 1 else [n],
    "polyphony": lambda n: [(n[0], n[1], n[2] + k, n[3]) for k in ((0, 4, 7, 12, 16, 19) if n[3] == 1 else (0,))],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named(fault: str) -> None:
    assert fault in failed_checks(piece(FAULTS[fault]), BARS_BEFORE, NEW)


def test_nothing_new_at_all_fails() -> None:
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
