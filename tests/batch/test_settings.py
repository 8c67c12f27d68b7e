"""The settings of `music-reformer generate`, and the requests that they stand for."""

from __future__ import annotations

from dataclasses import fields

import pytest

from music_reformer.batch.settings import GenerateConfig
from music_reformer.errors import UserError
from music_reformer.generation.request import Request


def test_every_field_of_a_request_is_typed_without_a_prefix() -> None:
    names = {each.name for each in fields(GenerateConfig)}
    assert {each.name for each in fields(Request)} < names


def test_a_request_has_the_given_seed_and_no_settings_of_the_batch() -> None:
    config = GenerateConfig(output="out", length="8bars", variations=3, seed=1, cut_bar=4, until_bar=6, seeds=[5, 6])
    request = config.request(seed=6, has_prompt=True)
    assert type(request) is Request
    assert (request.length, request.variations, request.seed) == ("8bars", 3, 6)
    assert (request.cut_bar, request.until_bar) == (4, 6)


def test_a_request_without_a_prompt_has_no_cut() -> None:
    request = GenerateConfig(output="out", cut_bar=4, until_bar=6).request(seed=1, has_prompt=False)
    assert (request.cut_bar, request.until_bar) == (None, None)


@pytest.mark.parametrize(
    ("rows", "variations", "best_of", "most"), [(0, 3, 1, 3), (2, 3, 1, 3), (64, 3, 1, 64), (0, 3, 4, 12)]
)
def test_a_step_of_the_model_takes_at_least_all_variations_of_a_prompt(
    rows: int, variations: int, best_of: int, most: int
) -> None:
    assert GenerateConfig(output="out", rows=rows, variations=variations, best_of=best_of).max_rows == most


def test_a_seed_given_twice_is_refused() -> None:
    with pytest.raises(UserError, match=r"^seeds \(\[1, 2, 1\]\) must be different from each other$"):
        GenerateConfig(output="out", seeds=[1, 2, 1])
