"""From logits to a token: every filter against a slow oracle, and independent random numbers per variation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from music_reformer.config import SamplingConfig
from music_reformer.errors import UserError
from music_reformer.generation.sampling import Sampler, candidates, draw, hand_over, lower_repeated

VOCABULARY = 60


def case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    noise = np.random.default_rng(seed)
    logits = (noise.standard_normal(VOCABULARY) * 3).astype(np.float32)
    allowed = noise.random(VOCABULARY) < 0.4
    allowed[noise.integers(VOCABULARY)] = True
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
    for seed in range(200):
        logits, allowed = case(seed)
        tokens, cumulative = candidates(logits, allowed, config)
        kept = slow_kept(logits.tolist(), allowed.tolist(), config)
        assert set(tokens.tolist()) == kept
        probability = slow_probabilities(logits.tolist(), allowed.tolist(), config.temperature)
        assert tokens.tolist() == sorted(kept, key=lambda i: -probability[i])
        np.testing.assert_allclose(cumulative, np.cumsum([probability[i] for i in tokens.tolist()]), atol=1e-9)


def test_top_p_keeps_p_and_not_one_minus_p() -> None:
    logits = np.log(np.array([0.6, 0.3, 0.06, 0.04], np.float32))
    for top_p, num_kept in ((0.9 - 1e-6, 2), (0.1, 1)):
        tokens, _ = candidates(logits, np.ones(4, dtype=bool), SamplingConfig(top_p=top_p))
        assert len(tokens) == num_kept


def test_draws_have_the_frequencies_of_the_distribution() -> None:
    logits, allowed = case(1)
    config = SamplingConfig(top_p=0.9, temperature=1.3)
    count = 20_000
    tokens = [draw(logits, allowed, (number + 0.5) / count, config) for number in range(count)]
    kept = slow_kept(logits.tolist(), allowed.tolist(), config)
    probability = slow_probabilities(logits.tolist(), allowed.tolist(), config.temperature)
    mass = sum(probability[i] for i in kept)
    for token in range(VOCABULARY):
        expected = probability[token] / mass if token in kept else 0.0
        assert tokens.count(token) / count == pytest.approx(expected, abs=2 / count)


def test_draws_at_the_ends_of_the_unit_interval_give_allowed_tokens() -> None:
    logits, allowed = case(2)
    for config in (SamplingConfig(), SamplingConfig(top_k=1), SamplingConfig(temperature=1e-6)):
        for point in (0.0, 1.0 - 2**-53):
            assert allowed[draw(logits, allowed, point, config)]


def test_forbidden_tokens_are_never_chosen() -> None:
    for config in (SamplingConfig(temperature=0), SamplingConfig(temperature=5, top_p=1), SamplingConfig()):
        sampler = Sampler(config, seed=1, num_variations=1, pitch_tokens=range(10))
        for seed in range(500):
            logits, allowed = case(seed)
            logits[7] = 1e4  # a forbidden favourite
            allowed[7] = False
            allowed[8] = True
            assert allowed[sampler.choose(logits, allowed, 0)]


def test_temperature_zero_is_greedy() -> None:
    sampler = Sampler(SamplingConfig(temperature=0), seed=1, num_variations=1, pitch_tokens=())
    for seed in range(5):
        logits, allowed = case(seed)
        expected = max((i for i in range(VOCABULARY) if allowed[i]), key=lambda i: logits[i])
        assert sampler.choose(logits, allowed, 0) == expected


def test_draws_of_a_variation_do_not_depend_on_the_number_of_variations() -> None:
    alone = Sampler(SamplingConfig(), seed=9, num_variations=3, pitch_tokens=())
    together = Sampler(SamplingConfig(), seed=9, num_variations=5, pitch_tokens=())
    for step in range(1200):  # more than are drawn at a time
        logits, allowed = case(step % 50)
        rows = [0, 1, 2, 3, 4] if step < 500 else [2, 4]  # others finish
        tokens = {row: together.choose(logits, allowed, row) for row in rows}
        assert alone.choose(logits, allowed, 2) == tokens[2]


def test_seeds_and_variations_differ() -> None:
    logits, allowed = np.zeros(VOCABULARY, np.float32), np.ones(VOCABULARY, dtype=bool)
    runs = set()
    for seed in (0, 1, -1):
        sampler = Sampler(SamplingConfig(), seed=seed, num_variations=4, pitch_tokens=())
        runs |= {tuple(sampler.choose(logits, allowed, number) for _ in range(30)) for number in range(4)}
    assert len(runs) == 12


def test_repetition_lowers_recent_pitches_only() -> None:
    config = SamplingConfig(temperature=0, repetition_penalty=1.5, repetition_window=2)
    sampler = Sampler(config, seed=0, num_variations=2, pitch_tokens=range(10, 20))
    logits, allowed = np.zeros(VOCABULARY, np.float32), np.ones(VOCABULARY, dtype=bool)
    logits[10], logits[11], logits[12] = 3.0, 2.9, 2.8
    # 10, then 11 while 10 is lowered, then 12 while both are; then 10 has left the window.
    assert [sampler.choose(logits, allowed, 0) for _ in range(6)] == [10, 11, 12, 10, 11, 12]
    assert sampler.choose(logits, allowed, 1) == 10  # its own history
    logits[5] = 4.0  # no pitch
    assert [sampler.choose(logits, allowed, 0) for _ in range(3)] == [5, 5, 5]


def test_the_prompt_counts_as_heard() -> None:
    config = SamplingConfig(temperature=0, repetition_penalty=1.5)
    sampler = Sampler(config, seed=0, num_variations=1, pitch_tokens=range(10, 20))
    sampler.hear(0, [3, 10, 4, 30])
    logits = np.zeros(VOCABULARY, np.float32)
    logits[10], logits[11] = 3.0, 2.9
    assert sampler.choose(logits, np.ones(VOCABULARY, dtype=bool), 0) == 11


def test_repeated_tokens_are_lowered_as_in_the_ctrl_paper() -> None:
    logits = np.array([2.0, -2.0, 1.0, 0.5], np.float32)
    assert lower_repeated(logits, [0, 1, 1], 2.0).tolist() == [1.0, -4.0, 1.0, 0.5]
    assert logits.tolist() == [2.0, -2.0, 1.0, 0.5], "the logits themselves stay"
    assert lower_repeated(logits, [], 2.0).tolist() == logits.tolist()


@pytest.mark.parametrize(
    ("setting", "name"),
    [({"temperature": -1}, "temperature"), ({"top_p": 0}, "top_p"), ({"min_p": 1}, "min_p"), ({"top_k": -1}, "top_k")],
)
def test_invalid_settings_of_sampling_are_named(setting: dict[str, float], name: str) -> None:
    with pytest.raises(UserError, match=f"sampling.{name}"):
        SamplingConfig(**setting)


@pytest.mark.parametrize("seed", range(3))
def test_hand_over_moves_the_probability_of_tokens_to_one_token(seed: int) -> None:
    logits, _ = case(seed)
    passing, token = [3, 17, 40], 8
    before = slow_probabilities(logits.tolist(), [True] * VOCABULARY, 1.0)
    hand_over(logits, passing, token)
    left = [number not in passing for number in range(VOCABULARY)]
    after = slow_probabilities(logits.tolist(), left, 1.0)
    expected = {number: before[number] for number in after}
    expected[token] += sum(before[number] for number in passing)
    assert after == pytest.approx(expected, rel=1e-4)
