"""Faults of a last bar that does not sound like an end."""

from __future__ import annotations

import pytest
import symusic

from music_reformer.evaluation.endings import ending_faults
from music_reformer.midi.key import Key

# (onset, duration, pitch), in quarters, of bars of 4/4.
BEFORE = [(0, 4, 48), (0, 1, 64), (1, 1, 65), (2, 2, 67), (4, 4, 55), (4, 4, 71)]


@pytest.mark.parametrize(
    ("last", "faults"),
    [
        ([(8, 4, 48), (8, 4, 64)], []),
        ([(8, 4, 48), (9, 1, 62), (9.5, 2.5, 64)], []),  # a figure above the held tonic
        ([(8, 1, 48), (8, 0.5, 64)], []),
        ([(8, 0.5, 48)], ["short"]),
        ([(8, 4, 43), (8, 4, 60)], ["tonic"]),
        ([(8, 4, 48), (11, 1, 64)], ["late"]),
        ([(8, 1, 48), (11.5, 0.5, 59)], ["late", "short", "tonic"]),
        ([], ["early"]),
    ],
)
def test_the_faults_of_a_last_bar(last: list[tuple[float, float, int]], faults: list[str]) -> None:
    score = symusic.Score(24)
    score.tracks.append(symusic.Track("Song", 0, False))
    for onset, duration, pitch in [*BEFORE, *last]:
        score.tracks[0].notes.append(symusic.Note(round(24 * onset), round(24 * duration), pitch, 80))
    drums = symusic.Track("Kit", 0, True)  # they make the bar, and no difference
    drums.notes.append(symusic.Note(24 * 11, 24, 36, 80))
    score.tracks.append(drums)
    assert ending_faults(score, 2, Key.parse("C major")) == faults
