"""Locality-sensitive hashing of queries (Reformer, arXiv 2001.04451, section 2): h(x) = argmax [xR; -xR].

Shapes: B batch, L tokens, H heads, D head width, R rounds, K components of a rotated query (half as many as buckets),
G groups of batch rows that are hashed by the same rotations (1 or B).

Vectors that point the same way mostly fall into one bucket. Each round hashes with its own rotations, so that
vectors separated by a bucket border in one round may share a bucket in another.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from music_reformer.model.kernels.triton_attention import form_for, triton_hash
from music_reformer.model.precision import full_precision

# Components of rotated queries computed at a time: as many as fit in the cache of a core, or in 128 MB on a GPU.
ROTATED_AT_A_TIME, ROTATED_AT_A_TIME_ON_GPU = 1 << 18, 1 << 25
# More buckets than these are the product of two hashes.
LARGEST_SINGLE_HASH = 128


def bucket_factors(num_buckets: int) -> list[int]:
    """Buckets of the hashes that together make one: [num_buckets], or for many two even numbers with this product.

    A hash into n buckets costs n / 2 dot products, and a pair of hashes only the sum of both halves (the authors' code
    and Hugging Face's do so, too). Where the number has no two even factors, one hash has to do.
    """
    if num_buckets <= LARGEST_SINGLE_HASH:
        return [num_buckets]
    pairs = [[first, num_buckets // first] for first in range(2, math.isqrt(num_buckets) + 1, 2)]
    return max(([a, b] for a, b in pairs if a * b == num_buckets and b % 2 == 0), default=[num_buckets])


def stored_rotations(*, num_heads: int, head_width: int, num_buckets: int, max_rounds: int) -> Tensor:
    """Random rotations to be kept with a layer, float32 [R, H, D, K]; the factors of a hash stand side by side."""
    return torch.randn(max_rounds, num_heads, head_width, sum(bucket_factors(num_buckets)) // 2)


def drawn_rotations(row_seeds: range, *, like_RHDK: Tensor) -> Tensor:
    """Rotations of each batch row from its own seed, [B, R, H, D, K], on the device of `like_RHDK` and of its shape."""
    draws = [torch.randn(like_RHDK.shape, generator=torch.Generator().manual_seed(seed)) for seed in row_seeds]
    rotations_BRHDK, device = torch.stack(draws), like_RHDK.device
    if device.type != "cuda":
        return rotations_BRHDK.to(device)
    # From pinned memory they are copied to a GPU without waiting for its pending work.
    return rotations_BRHDK.pin_memory().to(device, non_blocking=True)


def hash_queries(query_BLHD: Tensor, rotations_GRHDK: Tensor, factors: list[int]) -> Tensor:
    """Bucket of every query in every round, by the form that suits the device: int16 [R, B, L, H].

    Args:
        query_BLHD: float32 or bfloat16.
        rotations_GRHDK: of each row (G = B), or of all rows alike (G = 1).
        factors: the buckets of each of the one or two hashes (`bucket_factors`).
    """
    form = form_for(query_BLHD.device, torch_hash, triton_hash, hash_example)
    return form(query_BLHD.detach(), rotations_GRHDK, factors)


def torch_hash(query_BLHD: Tensor, rotations_GRHDK: Tensor, factors: list[int]) -> Tensor:
    """`hash_queries` in plain torch."""
    groups, num_rounds, num_heads, _, columns = rotations_GRHDK.shape
    query_GHND = query_BLHD.float().reshape(groups, -1, *query_BLHD.shape[2:]).transpose(1, 2)
    rotation_GHDC = rotations_GRHDK.permute(0, 2, 3, 1, 4).flatten(3)  # C: the columns of all rounds
    parts = []
    # A part at a time, so that what was rotated is still in the cache when its largest component is looked for.
    at_a_time = ROTATED_AT_A_TIME if query_BLHD.device.type == "cpu" else ROTATED_AT_A_TIME_ON_GPU
    for query_GHnD in query_GHND.split(max(1, at_a_time // (groups * num_heads * num_rounds * columns)), dim=2):
        with full_precision(query_BLHD.device):
            rotated_GHnRK = (query_GHnD @ rotation_GHDC).unflatten(-1, (num_rounds, columns))
        of_factors = rotated_GHnRK.split([factor // 2 for factor in factors], dim=-1)
        bucket_GHnR1 = _largest(of_factors[0])
        for factor, of_factor_GHnRK in zip(factors[1:], of_factors[1:], strict=True):
            bucket_GHnR1 = _largest(of_factor_GHnRK).add_(bucket_GHnR1, alpha=factor)
        parts.append(bucket_GHnR1.to(torch.int16))
    bucket_GHNR1 = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
    return bucket_GHNR1.permute(3, 0, 2, 1, 4).reshape(num_rounds, *query_BLHD.shape[:3])


def _largest(rotated: Tensor) -> Tensor:
    """argmax [xR; -xR], given xR: the index of max abs(xR), plus K if that component is negative; [..., 1]."""
    largest = rotated.abs().argmax(dim=-1, keepdim=True)
    return torch.add(largest, rotated.gather(-1, largest) < 0, alpha=rotated.shape[-1])


def hash_example(device: torch.device) -> tuple[Tensor, Tensor, list[int]]:
    """Example arguments for comparing implementations of the hash: two factors, and rotations for each row."""
    noise = torch.Generator().manual_seed(0)
    query_BLHD = torch.randn(2, 150, 2, 64, generator=noise).to(device)
    return query_BLHD, torch.randn(2, 2, 2, 64, 12, generator=noise).to(device), [16, 8]
