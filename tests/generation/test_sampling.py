"""From logits to a token: every filter against a slow oracle, and dice that belong to their variation."""

from __future__ import annotations

import math

import pytest
import torch

from music_reformer.config import SamplingConfig
from music_reformer.errors import UserError
from music_reformer.generation.sampling import Sampler, candidates, draw, lower_repeated

VOCABULARY = 60


def case(seed: int, rows: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, VOCABULARY, generator=generator) * 3
    allowed = torch.rand(rows, VOCABULARY, generator=generator) < 0.4
    allowed[torch.arange(rows), torch.randint(VOCABULARY, (rows,), generator=generator)] = True
    return logits, allowed


def slow_probabilities(logits: list[float], allowed: list[bool], temperature: float) -> dict[int, float]:
    tempered = {i: x / temperature for i, x in enumerate(logits) if allowed[i]}
    top = max(tempered.values())
    weights = {i: math.exp(x - top) for i, x in tempered.items()}
    return {i: weight / sum(weights.values()) for i, weight in weights.items()}


def slow_kept(logits: list[float], allowed: list[bool], config: SamplingConfig) -> set[int]:
    """The definition, word by word."""
    probability = slow_probabilities(logits, allowed, config.temperature)
    likeliest = sorted(probability, key=lambda i: -probability[i])
    kept = set(likeliest[: config.top_k] if config.top_k else likeliest)
    if config.top_p < 1:
        sizes = range(1, len(likeliest) + 1)
        size = next(n for n in sizes if sum(probability[i] for i in likeliest[:n]) >= config.top_p)
        kept &= set(likeliest[:size])
    return {i for i in kept if probability[i] >= config.min_p * probability[likeliest[0]]}


@pytest.mark.parametrize(
    "config",
    [
        SamplingConfig(top_p=1.0),
        SamplingConfig(top_p=0.95),
        SamplingConfig(top_p=0.5, temperature=1.7),
        SamplingConfig(top_p=0.01),
        SamplingConfig(top_p=1.0, top_k=3),
        SamplingConfig(top_p=1.0, top_k=1000),
        SamplingConfig(top_p=1.0, min_p=0.1, temperature=0.6),
        SamplingConfig(top_p=0.8, top_k=4, min_p=0.2),
    ],
    ids=str,
)
def test_candidates_are_the_definition(config: SamplingConfig) -> None:
    for seed in range(40):
        logits, allowed = case(seed)
        order, cumulative, num_kept = candidates(logits, allowed, config)
        for row in range(len(logits)):
            kept = set(order[row, : num_kept[row]].tolist())
            assert kept == slow_kept(logits[row].tolist(), allowed[row].tolist(), config)
            probability = slow_probabilities(logits[row].tolist(), allowed[row].tolist(), config.temperature)
            mass = sum(probability[i] for i in kept)
            assert float(cumulative[row, num_kept[row] - 1]) == pytest.approx(mass, abs=1e-9)


def test_top_p_keeps_p_and_not_one_minus_p() -> None:
    logits = torch.tensor([[0.6, 0.3, 0.06, 0.04]]).log()
    _, _, num_kept = candidates(logits, torch.ones(1, 4, dtype=torch.bool), SamplingConfig(top_p=0.9 - 1e-6))
    assert num_kept.item() == 2
    _, _, num_kept = candidates(logits, torch.ones(1, 4, dtype=torch.bool), SamplingConfig(top_p=0.1))
    assert num_kept.item() == 1


def test_draws_have_the_frequencies_of_the_distribution() -> None:
    logits, allowed = case(1, rows=1)
    config = SamplingConfig(top_p=0.9, temperature=1.3)
    count = 20_000
    uniform = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    tokens = draw(logits.expand(count, -1), allowed.expand(count, -1), uniform, config)
    kept = slow_kept(logits[0].tolist(), allowed[0].tolist(), config)
    probability = slow_probabilities(logits[0].tolist(), allowed[0].tolist(), config.temperature)
    mass = sum(probability[i] for i in kept)
    for token in range(VOCABULARY):
        expected = probability[token] / mass if token in kept else 0.0
        assert (tokens == token).double().mean().item() == pytest.approx(expected, abs=2 / count)


def test_the_borders_of_the_dice() -> None:
    logits, allowed = case(2)
    for config in (SamplingConfig(), SamplingConfig(top_k=1), SamplingConfig(temperature=1e-6)):
        for point in (0.0, 1.0 - 2**-53):
            tokens = draw(logits, allowed, torch.full((len(logits),), point, dtype=torch.float64), config)
            assert allowed.gather(1, tokens.unsqueeze(1)).all()


def test_nothing_forbidden_is_ever_chosen() -> None:
    for config in (SamplingConfig(temperature=0), SamplingConfig(temperature=5, top_p=1), SamplingConfig()):
        sampler = Sampler(config, seed=1, num_variations=5, pitch_tokens=range(10))
        for seed in range(100):
            logits, allowed = case(seed)
            logits[:, 7] = 1e4  # a forbidden favourite
            allowed[:, 7] = False
            tokens = sampler.choose(logits, allowed, range(5))
            assert all(allowed[row, token] for row, token in enumerate(tokens))


def test_temperature_zero_is_greedy() -> None:
    logits, allowed = case(3)
    sampler = Sampler(SamplingConfig(temperature=0), seed=1, num_variations=5, pitch_tokens=())
    expected = [max((i for i in range(VOCABULARY) if allowed[r, i]), key=lambda i: logits[r, i]) for r in range(5)]
    assert sampler.choose(logits, allowed, range(5)) == expected


def test_a_variation_throws_the_same_dice_whoever_else_plays() -> None:
    alone = Sampler(SamplingConfig(), seed=9, num_variations=3, pitch_tokens=())
    together = Sampler(SamplingConfig(), seed=9, num_variations=5, pitch_tokens=())
    for step in range(1200):  # more than are drawn at a time
        logits, allowed = case(step % 50)
        rows = [0, 1, 2, 3, 4] if step < 500 else [2, 4]  # others finish
        tokens = together.choose(logits[rows], allowed[rows], rows)
        assert alone.choose(logits[2:3], allowed[2:3], [2]) == [tokens[rows.index(2)]]


def test_seeds_and_variations_differ() -> None:
    logits, allowed = torch.zeros(4, VOCABULARY), torch.ones(4, VOCABULARY, dtype=torch.bool)
    runs = []
    for seed in (0, 1, -1):
        sampler = Sampler(SamplingConfig(), seed=seed, num_variations=4, pitch_tokens=())
        steps = [sampler.choose(logits, allowed, range(4)) for _ in range(30)]
        runs += [tuple(column) for column in zip(*steps, strict=True)]
    assert len(set(runs)) == 12


def test_repetition_lowers_recent_pitches_only() -> None:
    config = SamplingConfig(temperature=0, repetition_penalty=1.5, repetition_window=2)
    sampler = Sampler(config, seed=0, num_variations=2, pitch_tokens=range(10, 20))
    allowed = torch.ones(1, VOCABULARY, dtype=torch.bool)
    logits = torch.zeros(1, VOCABULARY)
    logits[0, 10], logits[0, 11], logits[0, 12] = 3.0, 2.9, 2.8
    # 10, then 11 while 10 is lowered, then 12 while both are; then 10 has left the window.
    assert [sampler.choose(logits, allowed, [0])[0] for _ in range(6)] == [10, 11, 12, 10, 11, 12]
    assert sampler.choose(logits, allowed, [1]) == [10]  # its own history
    logits[0, 5] = 4.0  # no pitch
    assert [sampler.choose(logits, allowed, [0])[0] for _ in range(3)] == [5, 5, 5]


def test_the_prompt_counts_as_heard() -> None:
    config = SamplingConfig(temperature=0, repetition_penalty=1.5)
    sampler = Sampler(config, seed=0, num_variations=1, pitch_tokens=range(10, 20))
    sampler.hear(0, [3, 10, 4, 30])
    logits = torch.zeros(1, VOCABULARY)
    logits[0, 10], logits[0, 11] = 3.0, 2.9
    assert sampler.choose(logits, torch.ones(1, VOCABULARY, dtype=torch.bool), [0]) == [11]


def test_lowering_is_the_rule_of_ctrl() -> None:
    logits = torch.tensor([[2.0, -2.0, 1.0, 0.5]])
    lowered = lower_repeated(logits, torch.tensor([[0, 1, 1, -1]]), 2.0)
    assert lowered.tolist() == [[1.0, -4.0, 1.0, 0.5]]
    assert lower_repeated(logits, torch.full((1, 4), -1), 2.0).tolist() == logits.tolist()


@pytest.mark.parametrize(
    ("setting", "name"),
    [({"temperature": -1}, "temperature"), ({"top_p": 0}, "top_p"), ({"min_p": 1}, "min_p"), ({"top_k": -1}, "top_k")],
)
def test_settings_that_make_no_sense_are_named(setting: dict[str, float], name: str) -> None:
    with pytest.raises(UserError, match=f"sampling.{name}"):
        SamplingConfig(**setting)
