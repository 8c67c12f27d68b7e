"""Rotary positions: scores depend only on distances, far positions are exact, and rotating back is the inverse."""

from __future__ import annotations

import numpy as np
import torch

from music_reformer.model.attention.rotary import rotary_table, rotate

WIDTH = 16


def test_rotation_is_by_the_angles_of_the_paper() -> None:
    x, position = torch.randn(5, WIDTH), torch.tensor([0, 1, 7, 100, 5000])
    found = rotate(x, rotary_table(position, WIDTH))
    half = WIDTH // 2
    for row in range(5):
        for pair in range(half):
            number = complex(x[row, pair], x[row, half + pair])
            turned = number * np.exp(1j * int(position[row]) * 10_000.0 ** (-2 * pair / WIDTH))
            got = complex(found[row, pair], found[row, half + pair])
            assert abs(got - turned) < 1e-5
    assert torch.equal(found[0], x[0])


def test_scores_depend_on_the_distance_alone() -> None:
    query, key = torch.randn(2, WIDTH)
    scores = []
    for shift in (0, 13, 100_000, 1_000_000):
        rotated = [rotate(x, rotary_table(torch.tensor(place + shift), WIDTH)) for x, place in ((query, 20), (key, 3))]
        scores.append(rotated[0] @ rotated[1])
    torch.testing.assert_close(torch.stack(scores), scores[0].expand(4), atol=1e-4, rtol=0)


def test_rotating_back_undoes_it_in_place_too() -> None:
    x = torch.randn(6, WIDTH)
    cosine, sine = rotary_table(torch.arange(6), WIDTH)
    there = rotate(x, (cosine, sine))
    torch.testing.assert_close(rotate(there, (cosine, -sine)), x, atol=1e-5, rtol=0)
    out = torch.empty_like(x)
    assert rotate(x, (cosine, sine), out=out) is out
    torch.testing.assert_close(out, there, atol=1e-6, rtol=0)
