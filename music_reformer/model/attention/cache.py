"""What a model remembers between decoding steps: one cache per layer, all preallocated.

Shapes: B rows, L tokens, H heads, D head width, C = 2 D key and value, R rounds, K buckets, W window, Z rings (H R K of
each slot), N = B H R.

Key and value of a token stand side by side, so that one write stores both and one look-up reads both. Every step has
the same shapes: a bias, looked up by how far a ring is filled, hides places that are still empty. Rows may stand at
different positions. A state can be repeated (one prompt, many variations), lose rows (finished variations) and gain
rows (new prompts).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch
from torch import Tensor

from music_reformer.model.attention.rotary import Rotation, rotary_table
from music_reformer.model.kernels.torch_banded import MASKED

# A token's score with itself is lowered by this (paper, section 2): it counts when there is no other.
SELF_PENALTY = 1e5


@dataclass
class Moment:
    """The positions of all rows in one step; shared by all layers.

    Attributes:
        position_B: position of each row's token, int64.
        farthest: the largest of them.
    """

    position_B: Tensor
    farthest: int
    _rotary: dict[int, Rotation] = field(default_factory=dict)
    _recent: dict[tuple[int, int], tuple[Tensor, Tensor]] = field(default_factory=dict)

    def rotary(self, head_width: int) -> Rotation:
        """Cosines and sines of rotary positions, float32 [B, 1, 1, D / 2] each."""
        if head_width not in self._rotary:
            self._rotary[head_width] = rotary_table(self.position_B.view(-1, 1, 1), head_width)
        return self._rotary[head_width]

    def recent(self, num_heads: int, window: int) -> tuple[Tensor, Tensor]:
        """For rings of the last W tokens: where this step's tokens are written, and the bias of every place.

        Returns:
            Places of (B, H, W) flattened, [B H], and what to add to the scores, [B, 1, 1, W].
        """
        if (num_heads, window) not in self._recent:
            device = self.position_B.device
            ring_BH = torch.arange(len(self.position_B) * num_heads, device=device).view(-1, num_heads)
            place_BH = ring_BH * window + (self.position_B % window).unsqueeze(1)
            bias_B11W = torch.where(
                torch.arange(window, device=device) <= self.position_B.view(-1, 1, 1, 1), 0.0, MASKED
            )
            self._recent[num_heads, window] = place_BH.flatten(), bias_B11W
        return self._recent[num_heads, window]


@dataclass
class BucketCache:
    """For LSH attention: the last W keys and values of every bucket, in rings.

    Each row has its rings in a slot. Removing a row moves no memory; a new row takes a free slot.

    Attributes:
        pair: keys and values [Z, W, C], rings over (slots, H, R, K) flattened; the n-th member of a bucket is in
            place n % W.
        filled_Z: how far each ring is filled, int64: n below W are n members; W + p is a full ring whose next member
            comes to place p.
        last_N: place of each row's last token in each round, as an index of (Z, W) flattened, int64.
        slots: slot of each row.
        shape: (H, R, K).
    """

    pair: Tensor
    filled_Z: Tensor
    last_N: Tensor
    slots: list[int]
    shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        device = self.pair.device
        self.window = self.pair.shape[1]
        self._rings_of_slot = math.prod(self.shape)
        # Tables by how far a ring is filled: its state after one more member, and the bias as that member sees it.
        filled = torch.arange(2 * self.window, device=device)
        self._next_filled = torch.where(filled + 1 < 2 * self.window, filled + 1, self.window)
        self._place_W = torch.arange(self.window, device=device)
        self._bias_by_filled = torch.where(self._place_W <= filled.unsqueeze(1), 0.0, MASKED)
        self._bias_by_filled[filled, filled % self.window] = -SELF_PENALTY
        self._find_rings()

    def _find_rings(self) -> None:
        """Set the first ring of each (row, head, round), [N]; bucket k is k rings behind it."""
        heads, rounds, buckets = self.shape
        slot_B1 = torch.tensor(self.slots, dtype=torch.int64, device=self.pair.device).unsqueeze(1)
        ring = torch.arange(heads * rounds, device=self.pair.device) * buckets
        self.first_ring_N = (slot_B1 * self._rings_of_slot + ring).flatten()

    @classmethod
    def empty(
        cls, num_slots: int, *, window: int, width: int, shape: tuple[int, int, int], device: torch.device
    ) -> BucketCache:
        """A cache without rows that has room for `num_slots`; C is `width`."""
        num_rings = num_slots * math.prod(shape)
        room = (num_rings, window, width)
        return cls(
            # From numpy on the CPU: pages take no memory until they are written to; torch.zeros writes all at once.
            pair=torch.from_numpy(np.zeros(room, np.float32))
            if device.type == "cpu"
            else torch.zeros(room, device=device),
            filled_Z=torch.zeros(num_rings, dtype=torch.int64, device=device),
            last_N=torch.zeros(0, dtype=torch.int64, device=device),
            slots=[],
            shape=shape,
        )

    @classmethod
    def filled(
        cls, key_BLHD: Tensor, value_BLHD: Tensor, buckets_RBLH: Tensor, *, window: int, num_buckets: int
    ) -> BucketCache:
        """The cache after the given tokens."""
        batch, length, heads, width = key_BLHD.shape
        rounds = buckets_RBLH.shape[0]
        shape, device = (heads, rounds, num_buckets), key_BLHD.device
        cache = cls.empty(batch, window=window, width=2 * width, shape=shape, device=device)
        first_ring_BHR = torch.arange(batch * heads * rounds, device=device).view(batch, heads, rounds)
        ring_BHRL = buckets_RBLH.permute(1, 3, 0, 2).long() + first_ring_BHR.unsqueeze(-1) * num_buckets
        ring, order = torch.sort(ring_BHRL.flatten(), stable=True)
        count_Z = torch.bincount(ring, minlength=len(cache.pair))
        rank = torch.arange(ring.numel(), device=ring.device) - (count_Z.cumsum(0) - count_Z)[ring]
        kept = rank >= count_Z[ring] - window
        ring, order, rank = ring[kept], order[kept], rank[kept]
        place = ring * window + rank % window
        token = order % length
        row = order // (length * rounds)  # (B, H) flattened
        source = ((row // heads) * length + token) * heads + row % heads
        places = cache.pair.view(-1, 2 * width)
        places[place, :width] = key_BLHD.reshape(-1, width)[source]
        places[place, width:] = value_BLHD.reshape(-1, width)[source]
        cache.filled_Z = torch.where(count_Z < window, count_Z, window + count_Z % window)
        last_ring_N = ring_BHRL[..., -1].flatten()
        cache.last_N = last_ring_N * window + (count_Z[last_ring_N] - 1) % window
        cache.slots = list(range(batch))
        cache._find_rings()
        return cache

    def replace_last_value(self, value_BHD: Tensor) -> None:
        """Set the value that belongs to the last token's key, in the ring of each round."""
        values = self._places()[:, value_BHD.shape[-1] :]
        values.index_copy_(0, self.last_N, self._in_each_round(value_BHD))

    def append(self, key_BHD: Tensor, value_BHD: Tensor, bucket_BHR: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Add a token to its bucket of each round.

        Returns:
            The members of those buckets, keys and values [B, H, R W, D], and what to add to their scores
            [B, H, 1, R W]: very low where there is no member, low for the token itself.
        """
        ring_N = self.first_ring_N + bucket_BHR.flatten()
        filled_N = self.filled_Z.index_select(0, ring_N)
        self.filled_Z.index_copy_(0, ring_N, self._next_filled.index_select(0, filled_N))
        self.last_N = torch.add(filled_N % self.window, ring_N, alpha=self.window)
        self._places().index_copy_(0, self.last_N, self._in_each_round(torch.cat([key_BHD, value_BHD], dim=-1)))
        pair_NWC, bias_NW = self.pair.index_select(0, ring_N), self._bias_by_filled.index_select(0, filled_N)
        batch, heads, _ = key_BHD.shape
        key, value = pair_NWC.view(batch, heads, -1, pair_NWC.shape[2]).chunk(2, dim=-1)
        return key, value, bias_NW.view(batch, heads, 1, -1)

    def _places(self) -> Tensor:
        return self.pair.view(-1, self.pair.shape[2])

    def _in_each_round(self, x_BHC: Tensor) -> Tensor:
        rounds = self.shape[1]
        return x_BHC.flatten(0, 1).unsqueeze(1).expand(-1, rounds, -1).reshape(-1, x_BHC.shape[-1])

    def select(self, rows: Sequence[int]) -> BucketCache:
        """A copy of the given rows; one may be given more than once."""
        cache = self._with_slots(len(rows))
        cache._copy(self, rows)
        return cache

    def to(self, device: torch.device) -> BucketCache:
        """The same on another device."""
        return BucketCache(
            pair=self.pair.to(device),
            filled_Z=self.filled_Z.to(device),
            last_N=self.last_N.to(device),
            slots=self.slots,
            shape=self.shape,
        )

    def keep(self, rows: Sequence[int]) -> None:
        """Keep the given rows and drop the others; nothing is copied."""
        index = torch.tensor(rows, dtype=torch.int64, device=self.pair.device)
        self.last_N = self.last_N.view(len(self.slots), -1)[index].flatten()
        self.slots = [self.slots[row] for row in rows]
        self._find_rings()

    def admit(self, other: BucketCache) -> None:
        """Append copies of all rows of another cache."""
        rows, num_slots = range(len(other.slots)), len(self.filled_Z) // self._rings_of_slot
        if len(self.slots) + len(rows) > num_slots:
            wider = self._with_slots(max(2 * num_slots, len(self.slots) + len(rows)))
            wider._copy(self, range(len(self.slots)))
            self.pair, self.filled_Z, self.last_N, self.slots = wider.pair, wider.filled_Z, wider.last_N, wider.slots
        self._copy(other, rows)

    def _with_slots(self, num_slots: int) -> BucketCache:
        width, device = self.pair.shape[2], self.pair.device
        return BucketCache.empty(num_slots, window=self.window, width=width, shape=self.shape, device=device)

    def _copy(self, other: BucketCache, rows: Sequence[int]) -> None:
        """Copy rows of another cache into free slots. Only filled places are copied, mostly a small part."""
        device = self.pair.device
        free = (slot for slot in itertools.count() if slot not in self.slots)
        slots = list(itertools.islice(free, len(rows)))
        to = torch.tensor(slots, dtype=torch.int64, device=device)
        source = torch.tensor([other.slots[row] for row in rows], dtype=torch.int64, device=device)
        filled_Bn = other.filled_Z.view(-1, self._rings_of_slot)[source]
        self.filled_Z.view(-1, self._rings_of_slot)[to] = filled_Bn
        places = self._rings_of_slot * self.window
        number = (self._place_W < filled_Bn.unsqueeze(-1)).flatten().nonzero().squeeze(1)
        row, place = number // places, number % places
        brought = other._places().index_select(0, source[row] * places + place)
        self._places().index_copy_(0, to[row] * places + place, brought)
        last_BN = other.last_N.view(len(other.slots), -1)[torch.tensor(rows, dtype=torch.int64, device=device)]
        self.last_N = torch.cat([self.last_N, (last_BN + ((to - source) * places).unsqueeze(1)).flatten()])
        self.slots = self.slots + slots
        self._find_rings()


@dataclass
class _RowCache:
    """Keys and values whose first dimension is the row."""

    pair: Tensor

    def to(self, device: torch.device) -> Self:
        """The same on another device."""
        return type(self)(pair=self.pair.to(device))

    def select(self, rows: Sequence[int]) -> Self:
        """A copy of the given rows; one may be given more than once."""
        return type(self)(pair=self.pair[list(rows)])

    def keep(self, rows: Sequence[int]) -> None:
        """Keep the given rows and drop the others."""
        self.pair = self.pair[list(rows)]


@dataclass
class RecentCache(_RowCache):
    """For local attention: the last W rotated keys and the values, in a ring (their order does not matter).

    Attributes:
        pair: keys and values [B, H, W, C], a ring; token n is in place n % W.
    """

    @classmethod
    def filled(cls, key_BLHD: Tensor, value_BLHD: Tensor, *, window: int) -> RecentCache:
        """The cache after the given tokens."""
        batch, length, heads, width = key_BLHD.shape
        first = max(0, length - window)
        place = torch.arange(first, length, device=key_BLHD.device) % window
        pair = key_BLHD.new_zeros(batch, heads, window, 2 * width)
        pair[:, :, place] = torch.cat([key_BLHD[:, first:], value_BLHD[:, first:]], dim=-1).transpose(1, 2)
        return cls(pair=pair)

    def append(self, key_BHD: Tensor, value_BHD: Tensor, moment: Moment) -> tuple[Tensor, Tensor, Tensor]:
        """Add a token; returns the keys and values [B, H, W, D] and what to add to their scores [B, 1, 1, W]."""
        place_N, bias_B11W = moment.recent(self.pair.shape[1], self.pair.shape[2])
        places = self.pair.view(-1, self.pair.shape[3])
        places.index_copy_(0, place_N, torch.cat([key_BHD, value_BHD], dim=-1).flatten(0, 1))
        key_BHWD, value_BHWD = self.pair.chunk(2, dim=-1)
        return key_BHWD, value_BHWD, bias_B11W

    def admit(self, other: RecentCache) -> None:
        """Append copies of all rows of another cache."""
        self.pair = torch.cat([self.pair, other.pair])


@dataclass
class GrowingCache(_RowCache):
    """For full attention: all keys and values; room doubles when it runs out.

    Attributes:
        pair: keys and values [B, H, M, C], room for M tokens; token n is in place n.
    """

    @classmethod
    def filled(cls, key_BHLD: Tensor, value_BHLD: Tensor) -> GrowingCache:
        """The cache after the given tokens."""
        return cls(pair=torch.cat([key_BHLD, value_BHLD], dim=-1))

    def make_room(self, farthest: int) -> None:
        """Double the room until it has a place for this position."""
        while self.pair.shape[2] <= farthest:
            self.pair = torch.cat([self.pair, torch.zeros_like(self.pair)], dim=2)

    def append(self, key_BHD: Tensor, value_BHD: Tensor, moment: Moment) -> tuple[Tensor, Tensor, Tensor]:
        """Add a token; returns keys and values [B, H, n, D] and what to add to their scores [B, 1, 1, n]."""
        self.make_room(moment.farthest)
        row_B = torch.arange(len(moment.position_B), device=key_BHD.device)
        self.pair[row_B, :, moment.position_B] = torch.cat([key_BHD, value_BHD], dim=-1)
        place = torch.arange(moment.farthest + 1, device=key_BHD.device)
        bias = torch.where(place <= moment.position_B.view(-1, 1, 1, 1), 0.0, MASKED)
        key_BHMD, value_BHMD = self.pair[:, :, : moment.farthest + 1].chunk(2, dim=-1)
        return key_BHMD, value_BHMD, bias

    def admit(self, other: GrowingCache) -> None:
        """Append copies of all rows of another cache."""
        room = max(self.pair.shape[2], other.pair.shape[2])
        padded = [torch.nn.functional.pad(pair, (0, 0, 0, room - pair.shape[2])) for pair in (self.pair, other.pair)]
        self.pair = torch.cat(padded)


Cache = BucketCache | RecentCache | GrowingCache


@dataclass
class DecodeState:
    """The caches of all layers.

    Attributes:
        caches: one per layer.
        lengths: number of tokens that each row has read.
    """

    caches: list[Cache]
    lengths: list[int]

    def to(self, device: torch.device) -> DecodeState:
        """The same on another device."""
        return DecodeState(caches=[cache.to(device) for cache in self.caches], lengths=self.lengths)

    def select(self, rows: Sequence[int]) -> DecodeState:
        """A copy of the given rows; one may be given more than once."""
        return DecodeState(
            caches=[cache.select(rows) for cache in self.caches], lengths=[self.lengths[row] for row in rows]
        )

    def expand(self, num: int) -> DecodeState:
        """A copy with every row `num` times, side by side: one prompt for `num` variations."""
        return self.select([row for row in range(len(self.lengths)) for _ in range(num)])

    def keep(self, rows: Sequence[int]) -> None:
        """Keep the given rows and drop the others, in place."""
        for cache in self.caches:
            cache.keep(rows)
        self.lengths = [self.lengths[row] for row in rows]

    def admit(self, other: DecodeState) -> None:
        """Append copies of the rows of another state; they may stand at other positions."""
        for cache, coming in zip(self.caches, other.caches, strict=True):
            cache.admit(coming)  # type: ignore[arg-type]  # The layers of one model have caches of one kind.
        self.lengths = self.lengths + other.lengths

    def moment(self) -> Moment:
        """The positions of the next step."""
        return Moment(position_B=torch.tensor(self.lengths, device=self.device), farthest=max(self.lengths))

    @property
    def device(self) -> torch.device:
        """The device of the caches."""
        return self.caches[0].pair.device
