"""The generate loop: its steps are those of the plain model, and sessions side by side equal sessions alone."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from operator import attrgetter

import numpy as np
import pytest
import symusic
import torch

from helpers.composing import ENCODINGS, new_notes, run, small_reformer, stand_in
from helpers.stand_in_model import StandIn, full_score
from music_reformer.config import SamplingConfig, TokenizerConfig
from music_reformer.generation import loop
from music_reformer.generation.generator import Generator
from music_reformer.generation.request import Request
from music_reformer.generation.session import Session
from music_reformer.generation.variation import NewNote
from music_reformer.midi.tokenizer import MusicTokenizer

TOKENIZER = MusicTokenizer(TokenizerConfig())


def notes(score: symusic.Score) -> Counter:
    return Counter(
        (track.program, note.time, note.duration, note.pitch, note.velocity)
        for track in score.tracks
        for note in track.notes
    )


def sessions(generator: Generator) -> list[Session]:
    """Sessions of different prompts, lengths and numbers of variations."""
    orders = [(2, "1bars", 1), (4, "6bars", 2), (3, "2bars", 3), (5, "1bars", 1), (2, "3bars", 2), (6, "2bars", 1)]
    return [
        generator.start(full_score(bars=bars), Request(length=length, variations=variations, seed=number))
        for number, (bars, length, variations) in enumerate(orders)
    ]


def compose_all(generator: Generator, some: list[Session], max_rows: int) -> list[Session]:
    """The sessions in the order in which they end."""
    together = generator.compose_together(some, max_rows=max_rows)
    return [session for session, _ in together if not session.num_rows]


@pytest.mark.parametrize("max_rows", [1, 2, 4, 100])
def test_sessions_composed_together_equal_sessions_composed_alone(max_rows: int) -> None:
    generator = Generator(StandIn(TOKENIZER), TOKENIZER)
    alone = sessions(generator)
    for session in alone:
        run(generator, session)
    together = sessions(generator)
    done = compose_all(generator, together, max_rows)
    assert sorted(map(id, done)) == sorted(map(id, together))
    for one, other in zip(alone, together, strict=True):
        assert [notes(score) for score in one.scores] == [notes(score) for score in other.scores]
        assert one.num_tokens == other.num_tokens


def test_sessions_share_steps_of_at_most_max_rows() -> None:
    generator = Generator(StandIn(TOKENIZER), TOKENIZER)
    compose_all(generator, sessions(generator), max_rows=4)
    widths = [len(tokens) for tokens in generator.decoder.steps]
    assert max(widths) == 4
    assert sum(widths) / len(widths) > 2


def test_a_stopped_session_leaves_the_others_alone() -> None:
    generator = Generator(StandIn(TOKENIZER), TOKENIZER)
    some = sessions(generator)
    some[1].stop()
    assert len(compose_all(generator, some, max_rows=6)) == len(some)
    (whole,) = sessions(generator)[4:5]
    run(generator, whole)
    assert [notes(score) for score in some[4].scores] == [notes(score) for score in whole.scores]


def test_no_sessions_give_no_reports() -> None:
    generator = Generator(StandIn(TOKENIZER), TOKENIZER)
    assert compose_all(generator, [], max_rows=4) == []


def test_sessions_of_different_rounds_never_share_a_step() -> None:
    generator = small_reformer()

    def some() -> list[Session]:
        score = full_score(bars=2)
        return [generator.start(score, Request(length="2bars", seed=seed, rounds=1 + seed % 2)) for seed in range(4)]

    alone, together = some(), some()
    for session in alone:
        run(generator, session)
    assert len(compose_all(generator, together, max_rows=8)) == 4
    for one, other in zip(alone, together, strict=True):
        assert [notes(score) for score in one.scores] == [notes(score) for score in other.scores]


def test_sessions_side_by_side_report_as_they_would_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_REPORTS", 0.0)
    generator = Generator(StandIn(TOKENIZER), TOKENIZER)
    told: dict[Session, list[NewNote]] = defaultdict(list)
    joined, together = [], sessions(generator)
    for session, progress in generator.compose_together(together, max_rows=4):
        told[session] += progress.notes
        if progress.done == [0.0] * len(progress.done) and session not in joined:
            joined.append(session)
    assert joined == together
    for session, alone in zip(together, sessions(generator), strict=True):
        key = attrgetter("variation", "start_s", "track", "pitch", "end_s", "velocity")
        assert sorted(told[session], key=key) == sorted(run(generator, alone), key=key)


@pytest.mark.parametrize(
    ("encoding", "length"), zip(ENCODINGS, ("2bars", "8bars", "16bars", "2bars", "20bars"), strict=True)
)
def test_cached_steps_are_the_plain_model(encoding: str, length: str) -> None:
    """The logits that the loop samples from, step by step, against one parallel pass over the result."""
    generator = small_reformer(encoding)
    no_guards = SamplingConfig(most_repeats=0, most_at_once=0, hold=0)
    request = Request(length=length, variations=3, seed=0, sampling=no_guards)
    session = generator.start(full_score(bars=3), request)
    ids, logits = list(session.prompt.ids), []
    inner = session._sampler.choose

    def choose(logits_V: np.ndarray, allowed_V: np.ndarray, variation: int) -> int:
        token = inner(logits_V, allowed_V, variation)
        if variation == 2:
            assert allowed_V[token]
            logits.append(torch.from_numpy(logits_V))
            ids.append(token)
        return token

    session._sampler.choose = choose
    run(generator, session)
    assert len(logits) > 10
    with torch.inference_mode():
        plain = generator.decoder.model(torch.tensor([ids[:-1]]))[0, -len(logits) :]
    torch.testing.assert_close(torch.stack(logits), plain, atol=2e-3, rtol=0)


def test_composing_ends_when_the_positions_are_full() -> None:
    generator = stand_in(max_length=600)
    session = generator.start(full_score(), Request(length="4000bars", variations=2))
    run(generator, session)
    assert len(generator.decoder.prompts[0]) + len(generator.decoder.steps) == 600
    assert new_notes(session.scores[1], session.prompt.cut_tick)


def test_composing_ends_when_the_positions_of_a_real_model_are_full() -> None:
    generator = small_reformer(axial_shape=[16, 32])
    session = generator.start(full_score(bars=4), Request(length="4000bars"))
    run(generator, session)
    assert session.scores[0].end() > session.prompt.cut_tick


def test_two_sessions_of_one_generator_do_not_disturb_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    generator, score = small_reformer(), full_score(bars=3)

    def session(seed: int, rounds: int) -> Session:
        return generator.start(score, Request(length="4bars", seed=seed, rounds=rounds, variations=2))

    alone = [session(1, 1), session(2, 4)]
    for one in alone:
        run(generator, one)
    # Turn and turn about, a token each.
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_REPORTS", 0.0)
    together = [session(1, 1), session(2, 4)]
    turns = [generator.compose(one) for one in together]
    while turns:
        turns = [turn for turn in turns if next(turn, None) is not None]
    for one, other in zip(alone, together, strict=True):
        assert [score.dumps_midi() for score in one.scores] == [score.dumps_midi() for score in other.scores]


def test_a_step_of_the_loop_takes_little_time() -> None:
    generator = stand_in()
    session = generator.start(full_score(), Request(length="9000bars", variations=4))
    began, steps = time.process_time(), generator.decoder.steps
    for _ in generator.compose(session):
        if len(steps) >= 600:
            session.stop()
    per_step = (time.process_time() - began) / len(steps)
    assert per_step < 2e-3, f"{per_step * 1e3:.2f} ms a step"  # 0.3 ms on a quiet machine
