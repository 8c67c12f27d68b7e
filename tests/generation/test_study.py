"""Studying a piece: never worse on held-out music, reproducible, and without changing the generator."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import symusic
import torch
from torch import nn

from helpers.composing import run, small_reformer
from helpers.stand_in_model import full_score
from music_reformer.evaluation.judging import NewMusic, judge
from music_reformer.generation.generator import Generator
from music_reformer.generation.request import Request
from music_reformer.generation.study import BETAS, FEWEST, Adam, Lesson, Study, certain_gain
from music_reformer.midi.score import bar_starts, read_score

STEPS = 8


@pytest.fixture(scope="module", params=[pytest.param("REMI", marks=pytest.mark.slow), "Parts"])
def generator(request: pytest.FixtureRequest) -> Generator:
    return small_reformer(request.param)


def studied(generator: Generator, score: symusic.Score, **settings: int) -> Study:
    study = generator.study(score, Request(study=STEPS, **settings))
    for _ in study:
        pass
    return study


def test_held_out_music_becomes_likelier_and_the_generator_is_unchanged(generator: Generator) -> None:
    before = {name: tensor.clone() for name, tensor in generator.decoder.model.state_dict().items()}
    score = full_score(bars=60)
    lesson = studied(generator, score).lesson
    assert lesson.after < lesson.before - 0.01
    assert 0 < lesson.steps <= STEPS
    after = generator.decoder.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    # The taught generator has what was promised, but for the rounding of the changes.
    taught = generator.taught(lesson)
    again = taught.study(score, Request(study=1))
    next(iter(again))
    assert again.lesson.before == pytest.approx(lesson.after, abs=0.02)


def test_the_same_piece_gives_the_same_lesson_and_the_same_notes(generator: Generator) -> None:
    score = full_score(bars=60)
    first, second = (studied(generator, score).lesson for _ in range(2))
    assert first.changes.keys() == second.changes.keys()
    assert all(torch.equal(first.changes[name], second.changes[name]) for name in first.changes)
    taught = generator.taught(first)
    request = Request(length="4bars", seed=3)
    plain = run(generator, generator.start(score, request))
    notes = run(taught, taught.start(score, request))
    assert notes == run(taught, taught.start(score, request))
    assert notes != plain


def test_music_after_the_cut_is_not_studied(generator: Generator) -> None:
    score, other = full_score(bars=60), full_score(bars=60)
    cut = 40 * 3 * 384
    for track in other.tracks:
        for note in track.notes:
            if note.time >= cut:
                note.pitch = 60
    lessons = [studied(generator, each, cut_bar=40).lesson for each in (score, other)]
    assert all(torch.equal(lessons[0].changes[name], lessons[1].changes[name]) for name in lessons[0].changes)


def test_a_short_piece_is_not_studied(generator: Generator) -> None:
    score = full_score(bars=3)
    study = studied(generator, score)
    assert len(generator.start(score, Request()).prompt.ids) < FEWEST
    assert study.lesson.changes == {}
    assert math.isnan(study.lesson.after)
    assert generator.taught(study.lesson) is generator


def test_a_study_ended_early_keeps_its_best_lesson(generator: Generator) -> None:
    study = generator.study(full_score(bars=60), Request(study=400))
    num_steps = 0
    for _ in study:
        num_steps += 1
        if study.lesson.changes:
            break
    assert num_steps < 100
    assert study.lesson.after < study.lesson.before


def test_a_lesson_is_smaller_than_25_megabytes_for_the_shipped_size() -> None:
    from music_reformer.config import ModelConfig
    from music_reformer.model.reformer import ReformerLM

    model = ReformerLM(ModelConfig(vocab_size=512))
    matrices = [p for name, p in model.named_parameters() if name.startswith("stack.") and p.dim() == 2]
    assert 2 * sum(p.numel() for p in matrices) < 25e6
    assert isinstance(Lesson({}, 0, 0.0, 0.0).applied(model), ReformerLM)


def test_adam_is_that_of_torch() -> None:
    ours = [nn.Parameter(torch.linspace(-1, 1, 12).view(3, 4)), nn.Parameter(torch.linspace(2, 3, 6).view(2, 3))]
    theirs = [nn.Parameter(parameter.detach().clone()) for parameter in ours]
    adam, oracle = Adam(ours), torch.optim.AdamW(theirs, betas=BETAS, weight_decay=0.0)
    for step in range(1, 6):
        rate = oracle.param_groups[0]["lr"] = 0.01 * step
        for parameters in (ours, theirs):
            sum((parameter - step).pow(3).sum() for parameter in parameters).backward()
        adam.step(rate)
        oracle.step()
        oracle.zero_grad()
        assert all(parameter.grad is None for parameter in ours)
        for parameter, same in zip(ours, theirs, strict=True):
            torch.testing.assert_close(parameter, same, atol=1e-6, rtol=0)


def test_only_a_gain_of_nearly_all_parts_counts() -> None:
    """The same mean gain: spread evenly, by chance, or in a single part."""
    assert certain_gain(np.full(16, 0.1)) == pytest.approx(0.1)
    assert certain_gain(np.array([1.7, -1.5] * 8)) < 0
    assert certain_gain(np.array([1.6] + [0.0] * 15)) < 0
    assert 0 < certain_gain(0.1 + np.tile([0.05, -0.05], 8)) < 0.1


@pytest.mark.slow
def test_studied_weights_copy_shorter_passages_than_the_piece_repeats(corpora: Path) -> None:
    """A quartet that repeats a long section after the cut; no piece was found that is changed more by studying."""
    file = corpora / "open" / "openscore-stringquartets" / "sq8853405.mid"
    if not file.is_file():
        pytest.skip(f"{file} is missing: the OpenScore String Quartets are not among the corpora")
    piece, cut, num_bars = read_score(file), 131, 16
    generator = Generator.load("pretrained", "cpu")
    request = Request(length=f"{num_bars}bars", cut_bar=cut, study=6)
    study = generator.study(piece, request)
    for _ in study:
        pass
    assert study.lesson.changes
    taught = generator.taught(study.lesson)
    session = taught.start(piece, request)
    run(taught, session)

    def longest(score: symusic.Score) -> int:
        lines = bar_starts(score)
        end = lines[cut + num_bars]
        return judge([score.clip(0, end, True)], NewMusic(lines[cut], end))[0].longest_in_piece

    assert longest(session.scores[0]) < longest(piece)
