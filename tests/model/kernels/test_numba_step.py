"""The compiled decoding step equals the plain one, and a row's bits do not depend on the other rows.

`test_decoder.py` compares it with the parallel pass; here are models of other shapes, and its packing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from helpers.small_models import VOCABULARY, decoder, tokens
from music_reformer.model.attention.cache import DecodeState
from music_reformer.model.decoder import Decoder
from music_reformer.model.kernels import numba_kernels
from music_reformer.model.kernels.numba_step import NumbaStep


def prefilled(plain: Decoder, *lengths: int) -> DecodeState:
    """A row after a prompt of each length."""
    _, state = plain.prefill(tokens(1, lengths[0]))
    with torch.inference_mode():
        for length in lengths[1:]:
            state.admit(plain.prefill(tokens(1, length))[1])
    return state


@pytest.mark.parametrize(
    "changes",
    [
        {"num_rounds": 1, "num_buckets": [2], "window": 2},
        {"num_rounds": 4, "window": 5, "successor_values": False},
        {"num_buckets": [6, 160], "head_width": 6, "num_heads": 3, "width": 30},  # Buckets of two hashes.
        {"attention": ["full", "lsh"], "head_width": 70, "width": 90, "feed_forward_width": 130},
    ],
)
def test_a_compiled_step_equals_the_plain_one(changes: dict[str, Any]) -> None:
    plain = decoder(**changes)
    compiled = NumbaStep(plain.model)
    with torch.inference_mode():
        state = prefilled(plain, 3, 60, 1, 12, 30)
        same = state.select(range(5))
        for _ in range(100):
            x = tokens(5)
            torch.testing.assert_close(compiled.step(x, same), plain.step(x, state), atol=2e-5, rtol=2e-5)
        assert same.lengths == state.lengths
        for one, other in zip(same.select(range(5)).caches, state.select(range(5)).caches, strict=True):
            torch.testing.assert_close(one.pair, other.pair, atol=2e-5, rtol=2e-5)


def test_plain_and_compiled_steps_can_alternate() -> None:
    plain = decoder(attention=["local", "lsh", "full"], num_layers=3)
    compiled = NumbaStep(plain.model)
    with torch.inference_mode():
        state = prefilled(plain, 20, 7)
        same = state.select(range(2))
        for i in range(40):
            x = tokens(2)
            step = compiled.step if i % 2 else plain.step
            torch.testing.assert_close(step(x, same), plain.step(x, state), atol=2e-5, rtol=2e-5)


def test_a_row_is_bit_identical_whatever_rows_run_beside_it() -> None:
    compiled = decoder(compiled=True, attention=["local", "lsh", "full"], num_layers=3, width=40)
    x = tokens(30, 9)
    with torch.inference_mode():
        together = prefilled(compiled, 5, 9, 50, 3, 70, 8, 8, 20, 1)
        others = {rows: together.select(rows) for rows in [(0,), (3, 1), (8, 2, 4), (5, 6, 7, 0), (4, 3, 2, 1, 0)]}
        for i in range(30):
            logits = compiled.step(x[i], together)
            for rows, state in others.items():
                assert torch.equal(compiled.step(x[i, list(rows)], state), logits[list(rows)])


@pytest.mark.parametrize("trouble", ["differed from the plain form by", "failed"])
def test_if_the_compiled_step_fails_the_plain_step_is_used(trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(first: Any, second: Any, *others: Any) -> Any:
        if trouble == "failed":
            raise ValueError("no such instruction")
        return np.zeros((2, VOCABULARY), np.float32)

    monkeypatch.setattr(numba_kernels, "logits", wrong)
    plain = decoder()
    state, x = prefilled(plain, 6), tokens(1)
    expected = plain.step(x, state.select([0]))
    unsure = Decoder(plain.model, compile_step=True)
    with pytest.warns(UserWarning, match=f"the Numba decoding step {trouble}.*on this machine with numba"):
        unsure.prepare()
    assert not unsure.steps_are_compiled
    assert torch.equal(unsure.step(x, state), expected)
