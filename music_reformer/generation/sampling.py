"""From logits to tokens: temperature, top-k, top-p, min-p, repetition control, all under the grammar's mask.

Shapes: B rows (the variations that still run), V vocabulary, W repetition window.

Every variation throws its own dice, seeded by (seed, variation), one number a token. So what variation k draws does not
depend on how many others there are or when they stop. The number picks the point of the cumulative distribution that
it falls on: logits that differ in their last bits lead to the same choice, except where the number falls that close to
a border.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from music_reformer.config import SamplingConfig

_THROWS = 1024  # numbers drawn at a time


class Sampler:
    """Chooses the next token of every variation.

    Args:
        config: temperature and the rest.
        seed: of the whole request.
        num_variations: how many there are, numbered from 0.
        pitch_tokens: ids that repetition control counts and lowers (the beginnings of notes, not of drums).
    """

    def __init__(self, config: SamplingConfig, *, seed: int, num_variations: int, pitch_tokens: Sequence[int]) -> None:
        self.config = config
        self._dice = [_Dice(seed, variation) for variation in range(num_variations)]
        self._pitch_tokens = frozenset(pitch_tokens)
        self._controls_repetition = config.repetition_penalty != 1.0 and config.repetition_window > 0
        # The last pitches heard, a ring for each variation; -1: none yet.
        self._recent_NW = torch.full((num_variations, max(1, config.repetition_window)), -1, dtype=torch.long)
        self._num_heard = [0] * num_variations

    def hear(self, variation: int, tokens: Iterable[int]) -> None:
        """Note what a variation has already played, so that repetition control counts it."""
        if self._controls_repetition:
            for token in tokens:
                if token in self._pitch_tokens:
                    place = self._num_heard[variation] % self._recent_NW.shape[1]
                    self._recent_NW[variation, place] = token
                    self._num_heard[variation] += 1

    def choose(self, logits_BV: Tensor, allowed_BV: Tensor, variations: Sequence[int]) -> list[int]:
        """The next token of each of the given variations, one per row.

        Args:
            logits_BV: float32, on the CPU.
            allowed_BV: bool; at least one token of each row must be allowed.
            variations: which variation each row belongs to.
        """
        if self._controls_repetition:
            logits_BV = lower_repeated(logits_BV, self._recent_NW[list(variations)], self.config.repetition_penalty)
        if self.config.temperature == 0:
            tokens = torch.where(allowed_BV, logits_BV, -torch.inf).argmax(dim=-1)
        else:
            uniform_B = torch.tensor([self._dice[variation].throw() for variation in variations], dtype=torch.float64)
            tokens = draw(logits_BV, allowed_BV, uniform_B, self.config)
        chosen: list[int] = tokens.tolist()
        for variation, token in zip(variations, chosen, strict=True):
            self.hear(variation, (token,))
        return chosen


def draw(logits_BV: Tensor, allowed_BV: Tensor, uniform_B: Tensor, config: SamplingConfig) -> Tensor:
    """One token a row, int64 [B], at the points `uniform_B` (0 <= u < 1) of what `candidates` leaves."""
    order_BV, cumulative_BV, num_kept_B = candidates(logits_BV, allowed_BV, config)
    last_B1 = (num_kept_B - 1).unsqueeze(-1)
    point_B1 = uniform_B.unsqueeze(-1) * cumulative_BV.gather(-1, last_B1)
    place_B1 = torch.searchsorted(cumulative_BV, point_B1, right=True)
    return order_BV.gather(-1, torch.minimum(place_B1, last_B1)).squeeze(-1)


def candidates(logits_BV: Tensor, allowed_BV: Tensor, config: SamplingConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens from the likeliest down, their cumulative probabilities, and how many of them may be drawn.

    The probabilities are those of the allowed tokens at the temperature (above 0), in float64, because their sums are
    compared with top-p. A token must pass every filter, each of which looks at these same probabilities: it is among
    the `top_k` likeliest; it is in the smallest set of likeliest tokens whose mass reaches `top_p`; it has at least
    `min_p` times the likeliest one's probability. The likeliest always passes.

    Returns:
        Token ids [B, V], cumulative probabilities [B, V], number kept [B].
    """
    sorted_BV, order_BV = torch.where(allowed_BV, logits_BV, -torch.inf).sort(dim=-1, descending=True)
    probability_BV = (sorted_BV.double() / config.temperature).softmax(dim=-1)
    cumulative_BV = probability_BV.cumsum(dim=-1)
    kept_BV = probability_BV > 0
    if config.top_k:
        kept_BV[:, config.top_k :] = False
    if config.top_p < 1:
        kept_BV &= cumulative_BV - probability_BV < config.top_p
    if config.min_p:
        kept_BV &= probability_BV >= config.min_p * probability_BV[:, :1]
    # Every filter keeps a head of the sorted row, the first token at least.
    return order_BV, cumulative_BV, kept_BV.sum(dim=-1)


def lower_repeated(logits_BV: Tensor, recent_BW: Tensor, penalty: float) -> Tensor:
    """Logits in which every token of `recent_BW` (-1: none) is divided by `penalty`, or multiplied if negative.

    The rule of CTRL (arXiv 1909.05858, section 4.1); a token counts once, however often it was heard.
    """
    index_BW = recent_BW.clamp(min=0)
    logits_BW = logits_BV.gather(-1, index_BW)
    lowered_BW = torch.where(logits_BW > 0, logits_BW / penalty, logits_BW * penalty)
    heard_BV = torch.zeros_like(logits_BV, dtype=torch.bool)
    heard_BV.scatter_reduce_(-1, index_BW, recent_BW >= 0, reduce="amax")
    return torch.where(heard_BV, logits_BV.scatter(-1, index_BW, lowered_BW), logits_BV)


class _Dice:
    """Uniform numbers in [0, 1), a stream of its own for each (seed, variation)."""

    def __init__(self, seed: int, variation: int) -> None:
        digest = hashlib.sha256(f"{seed}/{variation}".encode()).digest()
        self._generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        self._numbers: list[float] = []

    def throw(self) -> float:
        if not self._numbers:
            drawn = torch.rand(_THROWS, generator=self._generator, dtype=torch.float64)
            self._numbers = drawn.flip(0).tolist()
        return self._numbers.pop()
