"""Buckets against their definition, argmax [xR; -xR]; rotations of each row; many buckets from two hashes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from music_reformer.model.attention import hashing
from music_reformer.model.attention.hashing import (
    across,
    bucket_factors,
    drawn_rotations,
    factors_of_rounds,
    fixed_rotations,
    hash_queries,
)

HEADS, WIDTH, ROUNDS = 2, 8, 3


def rotations(*num_buckets: int, seed: int = 0) -> Tensor:
    factors = factors_of_rounds(num_buckets, ROUNDS)
    return fixed_rotations(factors, num_heads=HEADS, head_width=WIDTH, seed=seed)


def by_definition(query_BLHD: Tensor, rotations_RHDK: Tensor, factors: list[list[int]]) -> Tensor:
    """Buckets by the definition, one query, head, round and factor at a time; int64 [R, B, L, H]."""
    batch, length, heads, _ = query_BLHD.shape
    buckets_RBLH = torch.zeros(len(rotations_RHDK), batch, length, heads, dtype=torch.int64)
    for place in torch.cartesian_prod(*(torch.arange(size) for size in buckets_RBLH.shape)).tolist():
        round_, b, i, h = place
        rotated = query_BLHD[b, i, h] @ rotations_RHDK[round_, h]
        bucket, halves = 0, [factor // 2 for factor in factors[round_]]
        for factor, part in zip(factors[round_], rotated[: sum(halves)].split(halves), strict=True):
            bucket = bucket * factor + int(torch.cat([part, -part]).argmax())
        buckets_RBLH[round_, b, i, h] = bucket
    return buckets_RBLH


@pytest.mark.parametrize("num_buckets", [[2], [16], [320], [6, 320], [1024, 4, 8]], ids=str)
def test_buckets_are_the_definition(num_buckets: list[int]) -> None:
    query_BLHD, rotations_RHDK = torch.randn(2, 20, HEADS, WIDTH), rotations(*num_buckets)
    factors = factors_of_rounds(num_buckets, ROUNDS)
    found = hash_queries(query_BLHD, rotations_RHDK.unsqueeze(0), factors)
    assert found.dtype == torch.int16
    assert torch.equal(found.long(), by_definition(query_BLHD, rotations_RHDK, factors))
    for bucket_BLH, number in zip(found, [*num_buckets, *num_buckets, *num_buckets], strict=False):
        assert bucket_BLH.unique().numel() > 1
        assert 0 <= int(bucket_BLH.min()) <= int(bucket_BLH.max()) < number


def test_each_row_may_have_rotations_of_its_own() -> None:
    query_BLHD = torch.randn(1, 30, HEADS, WIDTH).expand(3, -1, -1, -1)
    of_rows = torch.stack([rotations(16, seed=seed) for seed in range(3)])
    factors = [[16]] * ROUNDS
    found = hash_queries(query_BLHD, of_rows, factors)
    for row in range(3):
        assert torch.equal(
            found[:, row : row + 1].long(), by_definition(query_BLHD[row : row + 1], of_rows[row], factors)
        )
    assert not torch.equal(found[:, 0], found[:, 1])


def test_parts_of_a_long_sequence_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    query_BLHD, rotations_GRHDK = torch.randn(2, 50, HEADS, WIDTH), rotations(16).unsqueeze(0)
    whole = hash_queries(query_BLHD, rotations_GRHDK, [[16]] * ROUNDS)
    monkeypatch.setattr(hashing, "ROTATED_AT_A_TIME", HEADS * ROUNDS * 8 * 7)
    assert torch.equal(hash_queries(query_BLHD, rotations_GRHDK, [[16]] * ROUNDS), whole)


def test_similar_vectors_share_a_bucket_and_opposite_ones_do_not() -> None:
    query_BLHD = torch.randn(1, 200, HEADS, WIDTH)
    matrix = rotations(32).unsqueeze(0)
    hashed = [hash_queries(x, matrix, [[32]] * ROUNDS) for x in (query_BLHD, 7 * query_BLHD, -query_BLHD)]
    assert torch.equal(hashed[0], hashed[1])
    assert (hashed[0] != hashed[2]).all()


def test_drawn_rotations_depend_on_the_seed_of_each_row_alone() -> None:
    like_RHDK = rotations(16)
    drawn = drawn_rotations(range(5, 14, 3), like_RHDK=like_RHDK)
    assert drawn.shape == (3, *like_RHDK.shape)
    for row, seed in enumerate((5, 8, 11)):
        assert torch.equal(drawn[row], torch.randn(like_RHDK.shape, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize(
    ("num_buckets", "factors"), [(2, [2]), (128, [128]), (130, [130]), (512, [16, 32]), (16384, [128, 128])]
)
def test_bucket_factors_are_even_and_of_similar_size(num_buckets: int, factors: list[int]) -> None:
    assert bucket_factors(num_buckets) == factors


def test_rounds_repeat_the_pattern_of_the_first_ones() -> None:
    assert factors_of_rounds([64, 512], 5) == [[64], [16, 32], [64], [16, 32], [64]]


def test_fixed_rotations_of_a_round_depend_on_no_other_round() -> None:
    one, two = rotations(16), rotations(16, 320)
    assert torch.equal(one[0], two[0, ..., :8])
    assert not torch.equal(one[0], one[1])
    assert not torch.equal(one, rotations(16, seed=1))


def test_the_common_direction_is_removed_from_fine_hashes_only() -> None:
    """Queries that differ only along one direction share all buckets of a fine round."""
    factors, common_HD = [[16], [16, 20]], torch.randn(HEADS, WIDTH)
    matrix = fixed_rotations(factors, num_heads=HEADS, head_width=WIDTH, seed=0)
    query_BLHD = torch.randn(1, 1, HEADS, WIDTH) + torch.linspace(-9, 9, 50).view(1, -1, 1, 1) * common_HD
    coarse, fine = hash_queries(query_BLHD, across(matrix, common_HD, factors).unsqueeze(0), factors)
    assert (fine == fine[:, :1]).all()
    assert (coarse != coarse[:, :1]).any()
    assert torch.equal(coarse, hash_queries(query_BLHD, matrix.unsqueeze(0), factors)[0])
