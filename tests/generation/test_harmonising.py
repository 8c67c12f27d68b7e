"""Harmonising a melody, and accompanying chords, on new tracks with the existing ones locked."""

from __future__ import annotations

import numpy as np
import pytest
import symusic

from helpers.composing import run, stand_in
from music_reformer.generation.request import PartRequest, Request
from music_reformer.midi.lead_sheet import LeadSheet

BARS, BAR = 8, 4 * 480


def melody() -> symusic.Score:
    """A tune for the piano, alone."""
    score = symusic.Score(480)
    score.tracks.append(symusic.Track("tune", 0, False))
    for beat in range(4 * BARS):
        score.tracks[0].notes.append(symusic.Note(480 * beat, 480, 72 + (0, 4, 7, 5, 9, 2)[beat % 6], 80))
    return score


def chords() -> symusic.Score:
    """A triad in each bar, C F G C ..."""
    score = symusic.Score(480)
    score.tracks.append(symusic.Track("chords", 0, False))
    for bar in range(BARS):
        for step in (0, 4, 7):
            score.tracks[0].notes.append(symusic.Note(BAR * bar, BAR, 60 + (0, 5, 7, 0)[bar % 4] + step, 80))
    return score


def recomposed(score: symusic.Score, programs: list[int], **order: object) -> symusic.Score:
    """The piece with further instruments beside its only track, which is locked."""
    generator = stand_in("Parts")
    parts = [PartRequest(track=0, role="lock"), *(PartRequest(program=program) for program in programs)]
    session = generator.start(score, Request(cut_bar=0, until_bar=BARS, seed=2, parts=parts, **order))
    run(generator, session)
    result = session.scores[0]
    assert list(result.tracks[0].notes) == list(score.tracks[0].notes)
    assert [track.program for track in result.tracks[1:]] == [max(program, 0) for program in programs]
    return result


def test_a_melody_is_harmonised_in_the_requested_chords() -> None:
    """Also by the instrument that plays the melody, as another part."""
    sheet = "C | F | G7 | C | Am | Dm | G7 | C"
    result = recomposed(melody(), [0], chords=sheet)
    new = list(result.tracks[1].notes)
    assert {note.time // BAR for note in new} == set(range(BARS))  # in every bar
    inside = [note.pitch % 12 in LeadSheet.parse(sheet).of_bar(note.time // BAR)[0].pitch_classes for note in new]
    free = [
        note.pitch % 12 in LeadSheet.parse(sheet).of_bar(note.time // BAR)[0].pitch_classes
        for note in recomposed(melody(), [0]).tracks[1].notes
    ]
    assert sum(inside) / len(inside) > 0.8 > sum(free) / len(free)


@pytest.mark.parametrize("programs", [[33], [33, -1]])
def test_chords_are_accompanied_by_further_instruments(programs: list[int]) -> None:
    result = recomposed(chords(), programs, chords="piece")
    for track in result.tracks[1:]:
        assert len(track.notes) > BARS
        bars = sorted({note.time // BAR for note in track.notes})
        assert bars[0] == 0
        assert max(np.diff([*bars, BARS])) <= 3  # rests for two bars at most
    bass = list(result.tracks[1].notes)
    roots = [(0, 5, 7, 0)[note.time // BAR % 4] for note in bass]
    triads = [{root, (root + 4) % 12, (root + 7) % 12} for root in roots]
    assert sum(note.pitch % 12 in triad for note, triad in zip(bass, triads, strict=True)) > 0.7 * len(
        bass
    )  # by chance a quarter
