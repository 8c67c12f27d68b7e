"""Locality-sensitive hashing of queries (Reformer, arXiv 2001.04451, section 2): h(x) = argmax [xR; -xR].

Shapes: B batch, L tokens, H heads, D head width, R rounds, K components of a rotated query (half the number of
buckets), G groups of batch rows that are hashed by the same rotations (1 or B).

Vectors of similar direction mostly fall into one bucket. Each round hashes with its own rotations, so that vectors
separated by a bucket border in one round may share a bucket in another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from music_reformer.model.kernels.triton_attention import form_for, triton_hash
from music_reformer.model.precision import full_precision

# Components of rotated queries computed at a time: they fit in the cache of a core, or in 128 MB on a GPU.
ROTATED_AT_A_TIME, ROTATED_AT_A_TIME_ON_GPU = 1 << 18, 1 << 25
# Beyond this number of buckets, a hash is the product of two.
LARGEST_SINGLE_HASH = 128
# Seeds of fixed rotations reserved for each layer; a round uses one.
SEEDS_OF_LAYER = 1024


def bucket_factors(num_buckets: int) -> list[int]:
    """Numbers of buckets of the hashes whose product has `num_buckets`: that number alone, or two even factors.

    A hash into n buckets costs n / 2 dot products; a pair of hashes costs only the sum of their halves (as in the
    authors' code and Hugging Face's). A number without two even factors is left to a single hash.
    """
    if num_buckets <= LARGEST_SINGLE_HASH:
        return [num_buckets]
    pairs = [[first, num_buckets // first] for first in range(2, math.isqrt(num_buckets) + 1, 2)]
    return max(([a, b] for a, b in pairs if a * b == num_buckets and b % 2 == 0), default=[num_buckets])


def factors_of_rounds(num_buckets: Sequence[int], num_rounds: int) -> list[list[int]]:
    """The factors of each round; `num_buckets` gives the first rounds' buckets and repeats over the others."""
    return [bucket_factors(num_buckets[number % len(num_buckets)]) for number in range(num_rounds)]


def fixed_rotations(factors: Sequence[Sequence[int]], *, num_heads: int, head_width: int, seed: int) -> Tensor:
    """Random rotations determined by the seed, float32 [R, H, D, K]; a round's do not depend on the other rounds.

    Columns of a round's two hashes are side by side; zeros fill up rounds that need fewer columns than others.
    """
    columns = [sum(of_round) // 2 for of_round in factors]
    rotations_RHDK = torch.zeros(len(factors), num_heads, head_width, max(columns))
    for number, used in enumerate(columns):
        generator = torch.Generator().manual_seed(SEEDS_OF_LAYER * seed + number)
        rotations_RHDK[number, ..., :used] = torch.randn(num_heads, head_width, used, generator=generator, device="cpu")
    return rotations_RHDK


def drawn_rotations(row_seeds: range, *, like_RHDK: Tensor) -> Tensor:
    """Rotations of each batch row, drawn from its own seed: [B, R, H, D, K], on the device of `like_RHDK`."""
    draws = [torch.randn(like_RHDK.shape, generator=torch.Generator().manual_seed(seed)) for seed in row_seeds]
    rotations_BRHDK, device = torch.stack(draws), like_RHDK.device
    if device.type != "cuda":
        return rotations_BRHDK.to(device)
    # The copy from pinned memory to a GPU does not wait for its pending work.
    return rotations_BRHDK.pin_memory().to(device, non_blocking=True)


def across(rotations_RHDK: Tensor, common_HD: Tensor, factors: Sequence[Sequence[int]]) -> Tensor:
    """Rotations [..., R, H, D, K] whose fine rounds ignore one direction of each head; coarse rounds are unchanged.

    If all queries share a direction, a hash sees little else. That suits a coarse round, whose largest bucket then
    holds the recent past, but defeats a fine round, whose purpose is to tell the distant past apart.

    Args:
        rotations_RHDK: rotations; may have further leading dimensions.
        common_HD: the direction; its length does not matter.
        factors: of each round; a fine round has two.
    """
    fine_R = torch.tensor([len(of_round) > 1 for of_round in factors], device=rotations_RHDK.device)
    direction_H1D = torch.nn.functional.normalize(common_HD.float(), dim=-1).unsqueeze(-2)
    with full_precision(rotations_RHDK.device):
        along = direction_H1D @ rotations_RHDK
    return rotations_RHDK - fine_R.view(-1, 1, 1, 1) * direction_H1D.transpose(-1, -2) * along


def hash_queries(query_BLHD: Tensor, rotations_GRHDK: Tensor, factors: Sequence[Sequence[int]]) -> Tensor:
    """Bucket of every query in every round, in Triton or plain torch as suits the device: int16 [R, B, L, H].

    Args:
        query_BLHD: float32 or bfloat16.
        rotations_GRHDK: one set per row of the batch (G = B), or one for all rows (G = 1).
        factors: for each round, the number of buckets of each of its one or two hashes (`bucket_factors`).
    """
    form = form_for(query_BLHD.device, torch_hash, triton_hash, hash_example)
    return form(query_BLHD.detach(), rotations_GRHDK, factors)


def torch_hash(query_BLHD: Tensor, rotations_GRHDK: Tensor, factors: Sequence[Sequence[int]]) -> Tensor:
    """`hash_queries` in plain torch."""
    groups, num_heads = len(rotations_GRHDK), rotations_GRHDK.shape[2]
    query_GHND = query_BLHD.float().reshape(groups, -1, *query_BLHD.shape[2:]).transpose(1, 2)
    halves = [[factor // 2 for factor in of_round] for of_round in factors]
    # C: the columns that the rounds use, side by side.
    used = [rotations_GRHDK[:, number, ..., : sum(half)] for number, half in enumerate(halves)]
    rotation_GHDC = torch.cat(used, dim=-1)
    parts = []
    # A part at a time, so that rotated queries are still in the cache when their largest component is looked for.
    at_a_time = ROTATED_AT_A_TIME if query_BLHD.device.type == "cpu" else ROTATED_AT_A_TIME_ON_GPU
    for query_GHnD in query_GHND.split(max(1, at_a_time // (groups * num_heads * rotation_GHDC.shape[-1])), dim=2):
        with full_precision(query_BLHD.device):
            rotated_GHnC = query_GHnD @ rotation_GHDC
        of_rounds = rotated_GHnC.split([sum(half) for half in halves], dim=-1)
        parts.append(torch.stack([_bucket(x, half) for x, half in zip(of_rounds, halves, strict=True)]))
    bucket_RGHN = parts[0] if len(parts) == 1 else torch.cat(parts, dim=3)
    return bucket_RGHN.transpose(2, 3).reshape(len(factors), *query_BLHD.shape[:3])


def _bucket(rotated: Tensor, halves: Sequence[int]) -> Tensor:
    """The bucket of rotated queries [..., C] in one round, int16 [...]."""
    first, *others = rotated.split(list(halves), dim=-1)
    bucket = _largest(first)
    for half, x in zip(halves[1:], others, strict=True):
        bucket = _largest(x).add_(bucket, alpha=2 * half)
    return bucket.squeeze(-1).to(torch.int16)


def _largest(rotated: Tensor) -> Tensor:
    """argmax [xR; -xR], given xR: the index of max abs(xR), plus K if that component is negative; [..., 1]."""
    largest = rotated.abs().argmax(dim=-1, keepdim=True)
    return torch.add(largest, rotated.gather(-1, largest) < 0, alpha=rotated.shape[-1])


def hash_example(device: torch.device) -> tuple[Tensor, Tensor, list[list[int]]]:
    """Example arguments for comparing implementations of the hash: rounds of one and two hashes, rotations by row."""
    noise = torch.Generator().manual_seed(0)
    query_BLHD = torch.randn(2, 150, 2, 64, generator=noise).to(device)
    return query_BLHD, torch.randn(2, 2, 2, 64, 12, generator=noise).to(device), [[20], [16, 8]]
