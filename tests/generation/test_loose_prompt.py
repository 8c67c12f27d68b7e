"""Loosely played pieces: the model reads them as written, and new notes are played as loosely."""

from __future__ import annotations

import numpy as np
import pytest
import symusic

from helpers.composing import events_before, run, stand_in
from helpers.playing import played
from music_reformer.generation.request import Request
from music_reformer.midi.played import MOST_LATE, as_written
from music_reformer.midi.retiming import on_its_beats
from music_reformer.midi.score import bar_starts, read_score, seconds_at

DATA = played("evening")[0].dumps_midi()
PLAYED = on_its_beats(DATA, read_score(DATA), "the song")[1]
CUT = 6


@pytest.fixture(scope="module")
def continued() -> tuple[symusic.Score, int]:
    """The piece with two more bars, and the tick of the cut."""
    generator = stand_in("Parts")
    session = generator.start(PLAYED, Request(length="2bars", cut_bar=CUT, variations=1, seed=1))
    run(generator, session)
    return session.scores[0], session.prompt.cut_tick


def test_the_model_reads_a_played_prompt_like_a_written_one() -> None:
    generator, request = stand_in("Parts"), Request(length="2bars", cut_bar=CUT)
    prompt = generator.start(PLAYED, request).prompt
    assert prompt.past_ids == generator.start(as_written(PLAYED), request).prompt.past_ids


def test_the_music_before_the_cut_stays_event_for_event(continued: tuple[symusic.Score, int]) -> None:
    score, cut = continued
    before, after = events_before(PLAYED, cut), events_before(score, cut)
    # The tempo at the cut is that of the new bars.
    assert before.pop("tempos")[:-1] == after.pop("tempos")[:-1]
    assert before == after


def test_new_notes_are_beside_the_grid_but_for_drums(continued: tuple[symusic.Score, int]) -> None:
    score, cut = continued
    step = score.ticks_per_quarter / 24
    for track in score.tracks:
        places = np.array([note.time for note in track.notes if note.time >= cut]) / step
        misses = np.abs(places - np.rint(places))
        if track.is_drum:
            assert (misses == 0).all()
        elif len(places) > 3:
            assert misses.any()
            assert misses.max() <= MOST_LATE * 24


def test_the_music_goes_on_in_the_mean_tempo_of_the_last_quarters(continued: tuple[symusic.Score, int]) -> None:
    score, cut = continued
    begin = cut - 16 * score.ticks_per_quarter
    first, last = seconds_at(PLAYED, [begin, cut])
    tempos = [tempo for tempo in score.tempos if tempo.time >= cut]
    assert [tempo.time for tempo in tempos] == [cut]
    assert tempos[0].qpm == pytest.approx(60 * 16 / (last - first), rel=1e-3)


def test_streamed_notes_are_those_of_the_file() -> None:
    generator = stand_in("Parts")
    session = generator.start(PLAYED, Request(length="2bars", cut_bar=CUT, variations=1, seed=1))
    streamed = [note for report in generator.compose(session) for note in report.notes]
    score = session.scores[0]
    cut = bar_starts(PLAYED)[CUT]
    begins = sorted(
        float(seconds_at(score, note.time)) for track in score.tracks for note in track.notes if note.time >= cut
    )
    assert sorted(note.start_s for note in streamed) == pytest.approx(begins, abs=0.002)
