"""The probability of leaving a part is that of the model, whichever ways out are forbidden."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.composing import stand_in
from helpers.stand_in_model import full_score
from music_reformer.config import SamplingConfig
from music_reformer.generation.leaving import Leaving
from music_reformer.generation.request import Request
from music_reformer.midi.parts import MAX_PARTS, part_order


@pytest.mark.parametrize("wanted", [("EOS", None), ("Bar", (7, 8)), ("Program", 12), ("Program", -1)])
def test_a_model_that_would_leave_by_a_forbidden_way_takes_an_allowed_one(
    wanted: tuple[str, object],
) -> None:
    """And not the likeliest remaining note."""
    generator = stand_in("Parts")
    request = Request(length="4bars", programs=[33, 0], sampling=SamplingConfig(hold=0))
    session = generator.start(full_score(), request)
    ids, (row,) = generator.tokenizer.vocabulary.ids, session._variations
    for kind, value in (("Program", 33), ("Position", 48), ("Velocity", 79), ("Duration", 12), ("Pitch", 40)):
        row.take(ids[kind, value])
    logits = np.random.default_rng(1).normal(size=len(generator.tokenizer.vocabulary)).astype(np.float32)
    logits[ids[wanted]] = 12.0
    ways = [ids["Bar", row.state.metre], ids["Program", 0]]
    others = np.setdiff1d(np.arange(len(logits)), [*ways, ids[wanted]])
    before = logits.copy()
    allowed = row.allowed(session._permitted_V)
    row.lean(logits, allowed)
    assert np.where(allowed, logits, -np.inf).argmax() in ways
    assert logits[ways[0]] - logits[ways[1]] == pytest.approx(before[ways[0]] - before[ways[1]], abs=1e-4)
    assert (logits[others] == before[others])[allowed[others]].all()


@pytest.mark.parametrize("order", [("Program", 0), ("Program", 33), ("Program", 127)])
def test_the_probability_of_leaving_is_the_sum_over_all_ways_out(order: tuple[str, int]) -> None:
    """By the definition: of the bar lines, the end, and the programs that can come after the current part."""
    vocabulary = stand_in("Parts").tokenizer.vocabulary
    leaving = Leaving(vocabulary, metre=(4, 4))
    leaving.take(vocabulary.ids[order])
    here = part_order(order[1])
    ways = [
        token
        for token, (kind, value) in enumerate(zip(vocabulary.kinds, vocabulary.values, strict=True))
        if kind in ("Bar", "EOS") or (kind == "Program" and part_order(value, MAX_PARTS) > here)
    ]
    random = np.random.default_rng(3)
    logits = random.normal(size=len(vocabulary)).astype(np.float32)
    allowed = random.random(len(vocabulary)) < 0.3
    before = np.exp(logits.astype(np.float64))
    leaving.keep(logits, allowed)
    after = np.exp(logits.astype(np.float64))
    open_ways = [way for way in ways if allowed[way]]
    assert after[open_ways].sum() == pytest.approx(before[ways].sum(), rel=1e-4)
    assert after[open_ways] / after[open_ways].sum() == pytest.approx(
        before[open_ways] / before[open_ways].sum(), rel=1e-4
    )
    others = np.setdiff1d(np.arange(len(vocabulary)), ways)
    assert (after[others] == before[others]).all()


def test_before_the_first_part_logits_are_unchanged() -> None:
    vocabulary = stand_in("Parts").tokenizer.vocabulary
    leaving = Leaving(vocabulary, metre=(4, 4))
    logits = np.random.default_rng(4).normal(size=len(vocabulary)).astype(np.float32)
    before = logits.copy()
    leaving.keep(logits, np.arange(len(vocabulary)) % 3 == 0)
    assert (logits == before).all()
