"""From logits to tokens: temperature, top-k, top-p, min-p, repetition control, all under the grammar's mask.

Shapes: V vocabulary, A tokens that are allowed.

Every variation has its own random numbers, seeded by (seed, variation), one per token. So the draws of variation k do
not depend on how many others there are or when they stop. A random number selects a point of the cumulative
distribution: logits that differ in their last bits give the same token, unless the number falls equally close to the
border between two tokens.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Collection, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from music_reformer.config import SamplingConfig

_NUMBERS_AT_ONCE = 1024  # drawn from the generator


class Sampler:
    """Chooses the next token of every variation.

    Args:
        config: temperature, filters and repetition control.
        seed: seed of the whole request.
        num_variations: number of variations; they are numbered from 0.
        pitch_tokens: tokens that repetition control counts and lowers (those that begin notes, except drums).
    """

    def __init__(self, config: SamplingConfig, *, seed: int, num_variations: int, pitch_tokens: Sequence[int]) -> None:
        self.config = config
        self._random = [_RandomNumbers(seed, variation) for variation in range(num_variations)]
        self._pitch_tokens = frozenset(pitch_tokens)
        self._controls_repetition = config.repetition_penalty != 1.0 and config.repetition_window > 0
        # By variation: its last pitches.
        self._recent: list[deque[int]] = [deque(maxlen=config.repetition_window) for _ in range(num_variations)]

    def hear(self, variation: int, tokens: Iterable[int]) -> None:
        """Let repetition control count tokens that a variation has played."""
        if self._controls_repetition:
            self._recent[variation].extend(token for token in tokens if token in self._pitch_tokens)

    def choose(self, logits_V: np.ndarray, allowed_V: np.ndarray, variation: int) -> int:
        """The next token of a variation.

        Args:
            logits_V: float32.
            allowed_V: bool; at least one token must be allowed.
            variation: its number.
        """
        if self._controls_repetition:
            logits_V = lower_repeated(logits_V, self._recent[variation], self.config.repetition_penalty)
        if self.config.temperature == 0:
            token = int(np.where(allowed_V, logits_V, -np.inf).argmax())
        else:
            token = draw(logits_V, allowed_V, self._random[variation].next(), self.config)
        self.hear(variation, (token,))
        return token


def draw(logits_V: np.ndarray, allowed_V: np.ndarray, uniform: float, config: SamplingConfig) -> int:
    """The token at point `uniform` (0 <= u < 1) of the candidates' cumulative distribution; arguments: `candidates`."""
    tokens, cumulative = candidates(logits_V, allowed_V, config)
    place = cumulative.searchsorted(uniform * cumulative[-1], side="right")
    return int(tokens[min(place, len(tokens) - 1)])


def candidates(logits_V: np.ndarray, allowed_V: np.ndarray, config: SamplingConfig) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that may be drawn, in order of falling probability, and their cumulative probabilities.

    Probabilities are those of the allowed tokens at the given temperature (above 0), in float64, because their sums are
    compared with top-p. A token must pass every filter: it is among the `top_k` likeliest; it is in the smallest set of
    likeliest tokens whose mass reaches `top_p`; it has at least `min_p` times the probability of the likeliest. All
    filters use the same probabilities. The likeliest token always passes.

    Args:
        logits_V: float32.
        allowed_V: bool; at least one token must be allowed.
        config: temperature and filters.
    """
    tokens_A = allowed_V.nonzero()[0]
    logits_A = logits_V[tokens_A]
    order_A = (-logits_A).argsort(kind="stable")
    probability_A = logits_A[order_A].astype(np.float64)
    probability_A -= probability_A[0]
    probability_A /= config.temperature
    np.exp(probability_A, out=probability_A)
    probability_A /= probability_A.sum()
    cumulative_A = probability_A.cumsum()
    # Every filter keeps the beginning of the sorted tokens, at least the first.
    kept_A = probability_A > 0
    if config.top_k:
        kept_A[config.top_k :] = False
    if config.top_p < 1:
        kept_A &= cumulative_A - probability_A < config.top_p
    if config.min_p:
        kept_A &= probability_A >= config.min_p * probability_A[0]
    num_kept = np.count_nonzero(kept_A)
    return tokens_A[order_A[:num_kept]], cumulative_A[:num_kept]


def lower_repeated(logits_V: np.ndarray, recent: Collection[int], penalty: float) -> np.ndarray:
    """Divide the logits of every token in `recent` by `penalty`, or multiply them if they are negative.

    The rule of CTRL (arXiv 1909.05858, section 4.1); a token counts once, however often it was played.
    """
    tokens = list(set(recent))
    heard = logits_V[tokens]
    logits_V = logits_V.copy()
    logits_V[tokens] = np.where(heard > 0, heard / penalty, heard * penalty)
    return logits_V


def hand_over(logits_V: NDArray[np.float32], passing: Sequence[int] | NDArray[np.int64], token: int) -> None:
    """Add, in place, the probability of tokens that would skip a required event to that of the token that leads to it.

    If such tokens were merely forbidden when the model wants to move on, the likeliest remaining ones would often be
    notes that it does not want: clusters at the end of the bar.

    Args:
        logits_V: changed in place.
        passing: tokens that would skip the event.
        token: the token that leads to it.
    """
    logits_V[token] = np.logaddexp.reduce(logits_V[[token, *passing]])


class _RandomNumbers:
    """Uniform numbers in [0, 1): a separate stream for each (seed, variation)."""

    def __init__(self, seed: int, variation: int) -> None:
        digest = hashlib.sha256(f"{seed}/{variation}".encode()).digest()
        self._generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        self._numbers: list[float] = []

    def next(self) -> float:
        """The next number."""
        if not self._numbers:
            drawn = torch.rand(_NUMBERS_AT_ONCE, generator=self._generator, dtype=torch.float64)
            self._numbers = drawn.flip(0).tolist()
        return self._numbers.pop()
