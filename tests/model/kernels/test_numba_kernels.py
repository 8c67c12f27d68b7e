"""The functions of the compiled decoding step against NumPy or torch."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from music_reformer.model.kernels import numba_kernels, numba_step
from music_reformer.model.kernels.numba_step import pack


def test_products_with_packed_matrices_equal_those_of_torch() -> None:
    noise = torch.Generator().manual_seed(0)
    for rows, width, columns in [(1, 1, 1), (2, 7, 64), (3, 64, 65), (4, 30, 200), (5, 16, 3), (9, 256, 517)]:
        weight, x = torch.randn(columns, width, generator=noise), torch.randn(rows, width, generator=noise)
        (packed,) = pack([weight])
        assert packed.ctypes.data % numba_step.CACHE_LINE == 0
        found = torch.from_numpy(numba_kernels.product(x.numpy(), packed, columns))
        torch.testing.assert_close(found, x @ weight.t(), atol=1e-4, rtol=1e-5)


def test_the_exponential_is_right_to_two_units_in_the_last_place() -> None:
    x = np.concatenate([np.linspace(-87, 87, 20_001), np.linspace(-1, 1, 2_001)]).astype(np.float32)
    found = np.array([numba_kernels._exp(value) for value in x])
    expected = np.exp(x.astype(np.float64))
    assert np.abs(found / expected - 1).max() < 2 * np.finfo(np.float32).eps
    assert numba_kernels._exp(np.float32(-1e30)) < 1e-37
    assert numba_kernels._exp(np.float32(0.0)) == 1.0


def test_the_norm_is_that_of_torch() -> None:
    norm = nn.LayerNorm(50)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = 3 + 10 * torch.randn(4, 50)
    found = numba_kernels.normed(x.numpy(), *(p.detach().numpy() for p in (norm.weight, norm.bias)))
    torch.testing.assert_close(torch.from_numpy(found), norm(x).detach(), atol=1e-5, rtol=1e-5)


def test_a_bucket_is_the_largest_component_of_the_rotation_and_its_opposite() -> None:
    rotated = np.random.default_rng(0).standard_normal((50, 4 + 6)).astype(np.float32)
    for row in rotated:
        first, second = (int(np.concatenate([part, -part]).argmax()) for part in (row[:4], row[4:]))
        assert numba_kernels._bucket(row, np.array([8, 12])) == first * 12 + second


def test_a_single_hash_ends_with_a_zero() -> None:
    rotated = np.array([0.5, -2.0, 1.0, 9.0], np.float32)
    assert numba_kernels._bucket(rotated, np.array([6, 0])) == 3 + 1


def test_a_chain_is_followed_to_its_end_or_until_the_buffer_is_full() -> None:
    """Two heads of two rounds: places 5, 3 and 2 are one chain of head 1, round 0; place 0 ends it."""
    links_of_place, chain = 4, 2
    link_Y = np.full(10 * links_of_place, -1, np.int32)
    for place, before in ((5, 3), (3, 2), (2, 0)):
        link_Y[place * links_of_place + chain] = before * links_of_place + chain
    noise = np.random.default_rng(0)
    query = noise.standard_normal(4).astype(np.float32)
    pair = noise.standard_normal((10, 2, 2, 4)).astype(np.float32)
    for room, newest, expected in ((8, 5, [5, 3, 2]), (3, 5, [5, 3, 2]), (2, 5, [5, 3]), (3, 0, [])):
        places, scores, link = np.zeros(room, np.int64), np.zeros(room, np.float32), newest * links_of_place + chain
        count = numba_kernels._score_chain(query, pair, 1, np.int32(link), link_Y, links_of_place, places, scores)
        assert places[:count].tolist() == expected
        np.testing.assert_allclose(scores[:count], pair[expected, 1, 0] @ query / 2, rtol=1e-5, atol=1e-6)
