"""Sessions: lengths, ends, stopping and reports."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

import pytest
import symusic

from helpers.composing import ENCODINGS, new_notes, run, stand_in
from helpers.stand_in_model import full_score
from music_reformer.generation.request import Request
from music_reformer.midi.score import seconds_at


@pytest.mark.parametrize("metre", [(4, 4), (3, 4), (6, 8), (7, 8)])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_bars_are_bars_of_the_metre_at_the_cut(encoding: str, metre: tuple[int, int]) -> None:
    """7/8 has no token, but bars are still those of the upload."""
    score = full_score(metre=metre, ticks=480)
    generator = stand_in(encoding)
    session = generator.start(score, Request(length="3bars", variations=6))
    run(generator, session)
    bar = 480 * 4 * metre[0] // metre[1]
    cut = session.prompt.cut_tick
    assert cut == 8 * bar
    starts = [start for result in session.scores for _, start, _, _, _ in new_notes(result, cut)]
    assert cut <= min(starts)
    assert cut + 2 * bar <= max(starts) < cut + 3 * bar


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_lengths_in_seconds_are_in_the_time_of_the_upload(encoding: str) -> None:
    score = full_score()
    generator = stand_in(encoding)
    session = generator.start(score, Request(length="7.5s", variations=4))
    told = run(generator, session)
    cut = float(seconds_at(score, session.prompt.cut_tick))
    assert session.prompt.cut_seconds == pytest.approx(cut)
    grid = 60 / 77 / session.prompt.state.vocabulary.ticks_per_beat
    assert cut <= min(note.start_s for note in told)
    assert cut + 5 < max(note.start_s for note in told) < cut + 7.5 + grid
    assert all(note.end_s > note.start_s for note in told)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_finished_variations_compose_no_more(encoding: str) -> None:
    generator = stand_in(encoding)
    session = generator.start(full_score(), Request(length="2bars", variations=6, seed=3))
    finished = [False] * 6
    for progress in generator.compose(session):
        assert not any(finished[note.variation] for note in progress.notes)
        assert all(now or not before for now, before in zip(progress.finished, finished, strict=True))
        finished = progress.finished
    assert finished == [True] * 6
    assert progress.done == [1.0] * 6
    sizes = [len(step) for step in generator.decoder.steps]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 6
    assert sizes[-1] < 6, "none left early; choose another seed"


def test_stopping_keeps_complete_notes() -> None:
    for encoding in ENCODINGS:
        generator = stand_in(encoding)
        session = generator.start(full_score(), Request(length="4000bars", variations=2))
        notes = []
        for progress in generator.compose(session):
            notes += progress.notes
            if len(notes) > 20:
                session.stop()
        assert progress.finished == [True, True]
        assert max(progress.done) < 0.5
        for number, score in enumerate(session.scores):
            written = new_notes(score, session.prompt.cut_tick)
            assert all(end > start for _, start, end, _, _ in written)
            assert 0 < len(written) <= sum(note.variation == number for note in notes)
            symusic.Score.from_midi(score.dumps_midi())


def test_stopping_from_another_thread() -> None:
    stop = threading.Event()
    generator = stand_in()
    session = generator.start(None, Request(length="9000bars"), stop=stop)
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    run(generator, session)
    assert time.monotonic() - began < 3


def test_an_abandoned_session_keeps_its_notes() -> None:
    generator = stand_in()
    session = generator.start(full_score(), Request(length="4000bars"))
    for progress in generator.compose(session):
        if progress.notes:
            break
    assert new_notes(session.scores[0], session.prompt.cut_tick)


def test_progress_comes_twice_a_second() -> None:
    generator = stand_in()
    inner = generator.decoder.step
    generator.decoder.step = lambda *args: (time.sleep(0.01), inner(*args))[1]
    session = generator.start(full_score(), Request(length="12bars", variations=2))
    seen = [(time.monotonic(), progress) for progress in generator.compose(session)]
    assert len(seen) >= 4
    assert max(b[0] - a[0] for a, b in pairwise(seen[1:])) < 1.0  # 0.2 s where nothing else runs
    done = [progress.done[0] for _, progress in seen]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0.0, 1.0)
    middle = seen[len(seen) // 2][1]
    assert middle.tokens_per_second > 10
    assert middle.seconds_left is not None
