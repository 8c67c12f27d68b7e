"""What a model remembers between decoding steps: one cache per layer, all preallocated.

Shapes: B rows, L tokens, H heads, D head width, R rounds, K buckets, W window, Z = B H R K rings.

Each cache can be repeated (one prompt, many variations) and narrowed to some of its rows (finished variations leave).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass
class BucketCache:
    """For LSH attention: the last W keys and values of every bucket, in rings.

    Attributes:
        key_ZWD, value_ZWD: the rings, over (B, H, R, K) flattened; the n-th member of a bucket is in place n % W.
        count_Z: members that each bucket has had, int64.
        last_BHR: bucket of the last token, int64.
        shape: (B, H, R, K).
    """

    key_ZWD: Tensor
    value_ZWD: Tensor
    count_Z: Tensor
    last_BHR: Tensor
    shape: tuple[int, int, int, int]

    def __post_init__(self) -> None:
        batch, heads, rounds, buckets = self.shape
        device = self.key_ZWD.device
        self.places = torch.arange(self.key_ZWD.shape[1], device=device)
        self._first_ring_BHR = torch.arange(batch * heads * rounds, device=device).view(batch, heads, rounds) * buckets

    @classmethod
    def filled(
        cls, key_BLHD: Tensor, value_BLHD: Tensor, buckets_RBLH: Tensor, *, window: int, num_buckets: int
    ) -> BucketCache:
        """The cache after the given tokens."""
        batch, length, heads, width = key_BLHD.shape
        rounds = buckets_RBLH.shape[0]
        shape = (batch, heads, rounds, num_buckets)
        num_rings = batch * heads * rounds * num_buckets
        first_ring_BHR = torch.arange(batch * heads * rounds, device=key_BLHD.device).view(batch, heads, rounds)
        ring_BHRL = buckets_RBLH.permute(1, 3, 0, 2).long() + first_ring_BHR.unsqueeze(-1) * num_buckets
        ring, order = torch.sort(ring_BHRL.flatten(), stable=True)
        count_Z = torch.bincount(ring, minlength=num_rings)
        rank = torch.arange(ring.numel(), device=ring.device) - (count_Z.cumsum(0) - count_Z)[ring]
        last = rank >= count_Z[ring] - window
        ring, order, rank = ring[last], order[last], rank[last]
        token = order % length
        row = order // (length * rounds)  # (B, H) flattened
        source = ((row // heads) * length + token) * heads + row % heads
        key_ZWD = key_BLHD.new_zeros(num_rings, window, width)
        value_ZWD = torch.zeros_like(key_ZWD)
        key_ZWD[ring, rank % window] = key_BLHD.reshape(-1, width)[source]
        value_ZWD[ring, rank % window] = value_BLHD.reshape(-1, width)[source]
        last_BHR = buckets_RBLH[:, :, -1].permute(1, 2, 0).long()
        return cls(key_ZWD=key_ZWD, value_ZWD=value_ZWD, count_Z=count_Z, last_BHR=last_BHR, shape=shape)

    def replace_last_value(self, value_BHD: Tensor) -> None:
        """Set what the last token's key brings, wherever it is kept."""
        ring_BHR = self._first_ring_BHR + self.last_BHR
        place_BHR = (self.count_Z[ring_BHR] - 1) % self.places.numel()
        self.value_ZWD[ring_BHR, place_BHR] = value_BHD.unsqueeze(2)

    def append(self, key_BHD: Tensor, value_BHD: Tensor, bucket_BHR: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Add a token to its bucket of each round.

        Returns:
            The ring of that bucket, keys and values [B, H, R, W, D]; the token's own place in it [B, H, R]; and how
            many members the bucket had before it [B, H, R].
        """
        ring_BHR = self._first_ring_BHR + bucket_BHR
        count_BHR = self.count_Z[ring_BHR]
        place_BHR = count_BHR % self.places.numel()
        self.key_ZWD[ring_BHR, place_BHR] = key_BHD.unsqueeze(2)
        self.value_ZWD[ring_BHR, place_BHR] = value_BHD.unsqueeze(2)
        self.count_Z[ring_BHR] = count_BHR + 1
        self.last_BHR = bucket_BHR
        return self.key_ZWD[ring_BHR], self.value_ZWD[ring_BHR], place_BHR, count_BHR

    def select(self, rows: Tensor) -> BucketCache:
        """The given rows only; a row may be given more than once."""

        def pick(x: Tensor) -> Tensor:
            return x.view(self.shape[0], -1, *x.shape[1:])[rows].flatten(0, 1)

        return BucketCache(
            key_ZWD=pick(self.key_ZWD),
            value_ZWD=pick(self.value_ZWD),
            count_Z=pick(self.count_Z),
            last_BHR=self.last_BHR[rows],
            shape=(rows.numel(), *self.shape[1:]),
        )


@dataclass
class RecentCache:
    """For local attention: the last W rotated keys and the values, in a ring (their order does not matter).

    Attributes:
        key_BHWD, value_BHWD: the ring; token n is in place n % W.
        length: tokens seen.
    """

    key_BHWD: Tensor
    value_BHWD: Tensor
    length: int

    @classmethod
    def filled(cls, key_BLHD: Tensor, value_BLHD: Tensor, *, window: int) -> RecentCache:
        """The cache after the given tokens."""
        batch, length, heads, width = key_BLHD.shape
        first = max(0, length - window)
        place = torch.arange(first, length, device=key_BLHD.device) % window
        rings = []
        for x_BLHD in (key_BLHD, value_BLHD):
            ring_BHWD = x_BLHD.new_zeros(batch, heads, window, width)
            ring_BHWD[:, :, place] = x_BLHD[:, first:].transpose(1, 2)
            rings.append(ring_BHWD)
        return cls(key_BHWD=rings[0], value_BHWD=rings[1], length=length)

    def append(self, key_BHD: Tensor, value_BHD: Tensor) -> tuple[Tensor, Tensor]:
        """Add a token; returns the keys and values that it sees, itself included, [B, H, at most W, D]."""
        window = self.key_BHWD.shape[2]
        self.key_BHWD[:, :, self.length % window] = key_BHD
        self.value_BHWD[:, :, self.length % window] = value_BHD
        self.length += 1
        filled = min(self.length, window)
        return self.key_BHWD[:, :, :filled], self.value_BHWD[:, :, :filled]

    def select(self, rows: Tensor) -> RecentCache:
        """The given rows only; a row may be given more than once."""
        return replace(self, key_BHWD=self.key_BHWD[rows], value_BHWD=self.value_BHWD[rows])


@dataclass
class GrowingCache:
    """For full attention: all keys and values; room doubles when it runs out.

    Attributes:
        key_BHCD, value_BHCD: room for C tokens, of which the first `length` are filled.
        length: tokens seen.
    """

    key_BHCD: Tensor
    value_BHCD: Tensor
    length: int

    @classmethod
    def filled(cls, key_BHLD: Tensor, value_BHLD: Tensor) -> GrowingCache:
        """The cache after the given tokens."""
        return cls(key_BHCD=key_BHLD.contiguous(), value_BHCD=value_BHLD.contiguous(), length=key_BHLD.shape[2])

    def append(self, key_BHD: Tensor, value_BHD: Tensor) -> tuple[Tensor, Tensor]:
        """Add a token; returns all keys and values, [B, H, length, D]."""
        room = self.key_BHCD.shape[2]
        if self.length == room:
            self.key_BHCD = torch.cat([self.key_BHCD, torch.empty_like(self.key_BHCD)], dim=2)
            self.value_BHCD = torch.cat([self.value_BHCD, torch.empty_like(self.value_BHCD)], dim=2)
        self.key_BHCD[:, :, self.length] = key_BHD
        self.value_BHCD[:, :, self.length] = value_BHD
        self.length += 1
        return self.key_BHCD[:, :, : self.length], self.value_BHCD[:, :, : self.length]

    def select(self, rows: Tensor) -> GrowingCache:
        """The given rows only; a row may be given more than once."""
        return replace(self, key_BHCD=self.key_BHCD[rows], value_BHCD=self.value_BHCD[rows])


Cache = BucketCache | RecentCache | GrowingCache


@dataclass
class DecodeState:
    """The caches of all layers, and how many tokens they have seen."""

    caches: list[Cache]
    length: int
    num_rows: int

    def select(self, rows: Tensor) -> DecodeState:
        """The given rows only, int64 [n]; a row may be given more than once."""
        return DecodeState(
            caches=[cache.select(rows) for cache in self.caches], length=self.length, num_rows=rows.numel()
        )

    def expand(self, num: int) -> DecodeState:
        """Every row `num` times, side by side: one prompt for `num` variations."""
        return self.select(torch.arange(self.num_rows).repeat_interleave(num))
