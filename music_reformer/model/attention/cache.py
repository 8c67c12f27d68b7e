"""Caches for decoding, one per layer, preallocated.

Shapes: B rows, L tokens, H heads, D head width, C = 2 D key and value, R rounds, K buckets of all rounds, W window, N
places of a pool, Y their links, M places per row.

A token's key and value are stored side by side, so that one write stores both and one look-up reads both. Every step
has the same shapes: a bias masks empty places. Rows may be at different positions. A state can be repeated (one prompt,
many variations), lose rows (finished variations) and gain rows (new prompts).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch
from torch import Tensor

from music_reformer.model.attention.rotary import Rotation, rotary_table
from music_reformer.model.kernels.torch_banded import MASKED

# Lowers a token's score with itself, so that it attends to itself only if it sees no other (paper, section 2).
SELF_PENALTY = 1e5
# Tokens per page of a `BucketCache`, and empty pages that a new one has for further tokens.
PAGE, SPARE_PAGES = 128, 32


@dataclass
class Moment:
    """The positions of all rows in one step; shared by all layers.

    Attributes:
        position_B: position of each row's token, int64.
        farthest: the largest position.
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
        """For ring buffers of the last W tokens: where this step's tokens are written, and the bias of every place.

        Returns:
            Indices into (B, H, W) flattened, [B H], and the bias to add to the scores, [B, 1, 1, W].
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


class BucketCache:
    """Cache for LSH attention: every key and value once, and for each bucket a linked list of its members.

    Tokens are stored in pages of `PAGE` places from a pool. A place holds the token's key and value and, for each
    round, a link to the previous member of its bucket; a table holds the newest member of every bucket. Keys and values
    are not repeated for buckets or rounds, so thousands of buckets cost little. Copies of a row share all pages but the
    last. A full page is never written to, except for the value of its last token while that is the row's newest, and
    the page of a row's newest token is never shared.

    A link is place * (H R) + head * R + round. Place 0 holds no token: its links point to themselves and end every
    chain.

    Attributes:
        pair: the pool of keys and values, float32 [N, H, C].
        link_Y: links of all (N, H, R), flattened, int32.
        newest_BHK: for each row and head, links to the newest members of the buckets of round 0, then those of round 1
            and so on, int32; K is the sum of the rounds' buckets.
        pages: page numbers of each row, oldest first.
        lengths: number of tokens of each row.
        window: W.
        num_buckets: buckets of each round.
    """

    def __init__(
        self,
        *,
        pair: Tensor,
        link_Y: Tensor,
        newest_BHK: Tensor,
        pages: list[list[int]],
        lengths: list[int],
        window: int,
        num_buckets: Sequence[int],
    ) -> None:
        self.pair, self.link_Y, self.newest_BHK = pair, link_Y, newest_BHK
        self.pages, self.lengths = pages, lengths
        self.window, self.num_buckets = window, list(num_buckets)
        device, self.num_heads = pair.device, pair.shape[1]
        first_bucket = list(itertools.accumulate(self.num_buckets[:-1], initial=0))
        self.first_bucket_R = torch.tensor(first_bucket, device=device)
        self._chain_HR = torch.arange(self._links_of_place, device=device).view(self.num_heads, -1)
        self._set_last_places()

    @property
    def num_rounds(self) -> int:
        """R, the number of hash rounds."""
        return len(self.num_buckets)

    @property
    def _links_of_place(self) -> int:
        return self.num_heads * self.num_rounds

    @classmethod
    def empty(
        cls, num_pages: int, *, window: int, heads: int, width: int, num_buckets: Sequence[int], device: torch.device
    ) -> BucketCache:
        """A cache without rows and with room for `num_pages` pages; C is `width`."""
        num_places = (1 + num_pages) * PAGE
        cache = cls(
            pair=_zeros((num_places, heads, width), torch.float32, device),
            link_Y=_zeros((num_places * heads * len(num_buckets),), torch.int32, device),
            newest_BHK=torch.zeros(0, heads, sum(num_buckets), dtype=torch.int32, device=device),
            pages=[],
            lengths=[],
            window=window,
            num_buckets=num_buckets,
        )
        cache.link_Y[: cache._links_of_place] = cache._chain_HR.flatten()
        return cache

    @classmethod
    def filled(
        cls,
        key_BLHD: Tensor,
        value_BLHD: Tensor,
        buckets_RBLH: Tensor,
        *,
        window: int,
        num_buckets: Sequence[int],
    ) -> BucketCache:
        """The cache after the given tokens."""
        batch, length, heads, width = key_BLHD.shape
        device, of_row = key_BLHD.device, -(-length // PAGE)
        cache = cls.empty(
            batch * of_row + SPARE_PAGES,
            window=window,
            heads=heads,
            width=2 * width,
            num_buckets=num_buckets,
            device=device,
        )
        place_BL = (torch.arange(batch * of_row * PAGE, device=device) + PAGE).view(batch, -1)[:, :length]
        for row in range(batch):
            places = slice(int(place_BL[row, 0]), int(place_BL[row, 0]) + length)
            cache.pair[places, :, :width] = key_BLHD[row]
            cache.pair[places, :, width:] = value_BLHD[row]
        newest_BHK = cache._no_members(batch)
        for round_, bucket_BLH in enumerate(buckets_RBLH):
            link_BHL = (place_BL * cache._links_of_place).unsqueeze(1) + cache._chain_HR[:, round_].view(-1, 1)
            segment_BHL = bucket_BLH.transpose(1, 2).long() + cache.first_bucket_R[round_]
            segment_BHL += torch.arange(batch * heads, device=device).view(batch, heads, 1) * newest_BHK.shape[2]
            segment_M, order_M = torch.sort(segment_BHL.flatten(), stable=True)
            link_M = link_BHL.flatten()[order_M]
            follows = segment_M[1:] == segment_M[:-1]
            before_M = cache._chain_HR[:, round_].view(1, -1, 1).expand_as(link_BHL).flatten()[order_M]
            before_M[1:] = torch.where(follows, link_M[:-1], before_M[1:])
            cache.link_Y[link_M] = before_M.int()
            is_newest = torch.ones_like(segment_M, dtype=torch.bool)
            is_newest[:-1] = ~follows
            newest_BHK.view(-1)[segment_M[is_newest]] = link_M[is_newest].int()
        cache.newest_BHK = newest_BHK
        cache.pages = [list(range(1 + row * of_row, 1 + (row + 1) * of_row)) for row in range(batch)]
        cache.lengths = [length] * batch
        cache._set_last_places()
        return cache

    def _no_members(self, rows: int) -> Tensor:
        """`newest_BHK` of rows without tokens."""
        chain_HR = self._chain_HR.int()
        return torch.repeat_interleave(chain_HR, torch.tensor(self.num_buckets, device=chain_HR.device), dim=1).repeat(
            rows, 1, 1
        )

    def _set_last_places(self) -> None:
        """Recompute the place of each row's last token, int64 [B]."""
        last = [pages[-1] * PAGE + (length - 1) % PAGE for pages, length in zip(self.pages, self.lengths, strict=True)]
        self.last_place_B = torch.tensor(last, dtype=torch.int64, device=self.pair.device)

    def replace_last_value(self, value_BHD: Tensor) -> None:
        """Replace the value stored with the last token's key."""
        self.pair[self.last_place_B, :, value_BHD.shape[-1] :] = value_BHD

    def next_places(self) -> Tensor:
        """Give each row a place for one more token; returns these places, int64 [B], now also `last_place_B`."""
        starts = [row for row, length in enumerate(self.lengths) if length % PAGE == 0]
        for row, page in zip(starts, self._free_pages(len(starts)), strict=True):
            self.pages[row].append(page)
        self.lengths = [length + 1 for length in self.lengths]
        if starts:
            self._set_last_places()
        else:
            self.last_place_B = self.last_place_B + 1
        return self.last_place_B

    def append(self, key_BHD: Tensor, value_BHD: Tensor, bucket_BHR: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Add a token to each row, and to its bucket in each round.

        Args:
            key_BHD, value_BHD: of the token.
            bucket_BHR: its bucket in each round, from 0, int64.

        Returns:
            Keys and values [B, H, 1 + R (W - 1), D] of the token itself and of up to W - 1 earlier members of each of
            its buckets, and the bias to add to their scores, [B, H, 1, 1 + R (W - 1)]: `MASKED` where there is no
            member, -`SELF_PENALTY` for the token itself.
        """
        place_B = self.next_places()
        self.pair[place_B] = torch.cat([key_BHD, value_BHD], dim=-1)
        bucket_BHR = bucket_BHR + self.first_bucket_R
        link_BHR = self.newest_BHK.gather(2, bucket_BHR)
        own_BHR = place_B.view(-1, 1, 1) * self._links_of_place + self._chain_HR
        self.link_Y[own_BHR] = link_BHR
        self.newest_BHK.scatter_(2, bucket_BHR, own_BHR.int())
        links = [link_BHR.flatten()]
        for _ in range(self.window - 2):
            links.append(self.link_Y.index_select(0, links[-1]))
        batch, heads, rounds = link_BHR.shape
        place_BHN = (torch.stack(links, dim=-1) // self._links_of_place).view(batch, heads, rounds * len(links))
        bias_BHN = torch.where(place_BHN > 0, 0.0, MASKED)
        place_BHN = torch.cat([place_B.view(-1, 1, 1).expand(batch, heads, 1), place_BHN], dim=-1)
        bias_BHN = torch.nn.functional.pad(bias_BHN, (1, 0), value=-SELF_PENALTY)
        head = torch.arange(heads, device=place_BHN.device).view(-1, 1)
        key, value = self.pair[place_BHN, head].chunk(2, dim=-1)
        return key, value, bias_BHN.unsqueeze(2)

    def select(self, rows: Sequence[int]) -> BucketCache:
        """A copy of the given rows; a row may be given more than once."""
        num_pages = len({page for row in rows for page in self.pages[row]}) + len(rows) + SPARE_PAGES
        cache = self._empty_like(num_pages)
        cache._copy(self, rows)
        return cache

    def to(self, device: torch.device) -> BucketCache:
        """A copy on another device."""
        return BucketCache(
            pair=self.pair.to(device),
            link_Y=self.link_Y.to(device),
            newest_BHK=self.newest_BHK.to(device),
            pages=[list(pages) for pages in self.pages],
            lengths=self.lengths,
            window=self.window,
            num_buckets=self.num_buckets,
        )

    def keep(self, rows: Sequence[int]) -> None:
        """Keep the given rows and drop the others, in place; repetitions of a row share all pages but the last."""
        again = [row in rows[:number] for number, row in enumerate(rows)]
        free = iter(self._free_pages(sum(again)))
        new_page = torch.arange(len(self.pair) // PAGE, device=self.pair.device)
        made = [
            self._copy_row(self, row, next(free), new_page) if is_again else (self.newest_BHK[row], self.pages[row])
            for row, is_again in zip(rows, again, strict=True)
        ]
        self.newest_BHK = torch.stack([newest_HK for newest_HK, _ in made])
        self.pages = [pages for _, pages in made]
        self.lengths = [self.lengths[row] for row in rows]
        self._set_last_places()

    def admit(self, other: BucketCache) -> None:
        """Append copies of all rows of another cache."""
        self._copy(other, range(len(other.lengths)))

    def _empty_like(self, num_pages: int) -> BucketCache:
        return BucketCache.empty(
            num_pages,
            window=self.window,
            heads=self.num_heads,
            width=self.pair.shape[2],
            num_buckets=self.num_buckets,
            device=self.pair.device,
        )

    def _free_pages(self, count: int) -> list[int]:
        """Unused pages; the pool grows by half if there are too few."""
        if not count:
            return []
        used = {page for pages in self.pages for page in pages}
        num_pages = len(self.pair) // PAGE
        free = [page for page in range(1, num_pages) if page not in used][:count]
        if len(free) < count:
            more = max(count, num_pages // 2)
            self.pair = _grown(self.pair, more * PAGE)
            self.link_Y = _grown(self.link_Y, more * PAGE * self._links_of_place)
            free += range(num_pages, num_pages + count - len(free))
        return free

    def _copy(self, other: BucketCache, rows: Sequence[int]) -> None:
        """Append copies of rows of another cache; the copies share pages as the rows did, except their last pages."""
        shared = list(dict.fromkeys(page for row in rows for page in other.pages[row][:-1]))
        free = self._free_pages(len(shared) + len(rows))
        new_page = torch.zeros(len(other.pair) // PAGE, dtype=torch.int64, device=self.pair.device)
        new_page[shared] = torch.tensor(free[: len(shared)], dtype=torch.int64, device=self.pair.device)
        self._copy_pages(other, shared, new_page)
        made = [self._copy_row(other, row, page, new_page) for row, page in zip(rows, free[len(shared) :], strict=True)]
        self.newest_BHK = torch.cat([self.newest_BHK, *(newest_HK.unsqueeze(0) for newest_HK, _ in made)])
        self.pages += [pages for _, pages in made]
        self.lengths = self.lengths + [other.lengths[row] for row in rows]
        self._set_last_places()

    def _copy_row(self, other: BucketCache, row: int, page: int, new_page: Tensor) -> tuple[Tensor, list[int]]:
        """Copy the last page of a row of another cache to `page`; returns the copy's newest members and pages.

        Args:
            new_page: for each page of the other cache, its number in this one, [pages]; the last page is entered here.
        """
        last = other.pages[row][-1]
        new_page[last] = page
        self._copy_pages(other, [last], new_page)
        return self._moved(other.newest_BHK[row], new_page), new_page[other.pages[row]].tolist()

    def _copy_pages(self, other: BucketCache, pages: Sequence[int], new_page: Tensor) -> None:
        index = torch.tensor(pages, dtype=torch.int64, device=self.pair.device)
        for mine, theirs in ((self.pair, other.pair), (self.link_Y, other.link_Y)):
            of_pages = theirs.view(len(other.pair) // PAGE, -1)[index]
            if mine is self.link_Y:
                of_pages = self._moved(of_pages, new_page)
            mine.view(len(self.pair) // PAGE, -1)[new_page[index]] = of_pages

    def _moved(self, link: Tensor, new_page: Tensor) -> Tensor:
        """Links translated to the pages' new numbers; links to place 0, which end chains, stay."""
        links_of_page = PAGE * self._links_of_place
        return ((new_page[link // links_of_page] * links_of_page) + link % links_of_page).int()


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros; on the CPU from NumPy, whose memory the system provides only as it is written to."""
    if device.type == "cpu":
        return torch.from_numpy(np.zeros(shape, np.float32 if dtype == torch.float32 else np.int32))
    return torch.zeros(shape, dtype=dtype, device=device)


def _grown(x: Tensor, count: int) -> Tensor:
    """A copy with `count` zeros appended along the first dimension."""
    grown = _zeros((len(x) + count, *x.shape[1:]), x.dtype, x.device)
    grown[: len(x)] = x
    return grown


@dataclass
class _RowCache:
    """Keys and values whose first dimension is the row."""

    pair: Tensor

    def to(self, device: torch.device) -> Self:
        """A copy on another device."""
        return type(self)(pair=self.pair.to(device))

    def select(self, rows: Sequence[int]) -> Self:
        """A copy of the given rows; a row may be given more than once."""
        return type(self)(pair=self.pair[list(rows)])

    def keep(self, rows: Sequence[int]) -> None:
        """Keep the given rows and drop the others, in place; a row may be given more than once."""
        self.pair = self.pair[list(rows)]


@dataclass
class RecentCache(_RowCache):
    """Cache for local attention: the last W keys, rotated, and values, in a ring buffer (their order does not matter).

    Attributes:
        pair: keys and values [B, H, W, C]; token n is in place n % W.
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
        """Add a token to each row; returns keys and values [B, H, W, D] and the bias of their scores [B, 1, 1, W]."""
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
    """Cache for full attention: all keys, rotated, and values; its room doubles when it is full.

    Attributes:
        pair: keys and values [B, H, M, C], with room for M tokens; token n is in place n.
    """

    @classmethod
    def filled(cls, key_BHLD: Tensor, value_BHLD: Tensor) -> GrowingCache:
        """The cache after the given tokens."""
        return cls(pair=torch.cat([key_BHLD, value_BHLD], dim=-1))

    def make_room(self, farthest: int) -> None:
        """Double the room until there is a place for position `farthest`."""
        while self.pair.shape[2] <= farthest:
            self.pair = torch.cat([self.pair, torch.zeros_like(self.pair)], dim=2)

    def append(self, key_BHD: Tensor, value_BHD: Tensor, moment: Moment) -> tuple[Tensor, Tensor, Tensor]:
        """Add a token to each row; returns keys and values [B, H, n, D] and the bias of their scores [B, 1, 1, n].

        n is `moment.farthest` + 1.
        """
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
        """A copy on another device."""
        return DecodeState(caches=[cache.to(device) for cache in self.caches], lengths=self.lengths)

    def select(self, rows: Sequence[int]) -> DecodeState:
        """A copy of the given rows; a row may be given more than once."""
        return DecodeState(
            caches=[cache.select(rows) for cache in self.caches], lengths=[self.lengths[row] for row in rows]
        )

    def expand(self, num: int) -> DecodeState:
        """A copy with every row `num` times, side by side: one prompt for `num` variations."""
        return self.select([row for row in range(len(self.lengths)) for _ in range(num)])

    def keep(self, rows: Sequence[int]) -> None:
        """Keep the given rows and drop the others, in place; a row may be given more than once."""
        for cache in self.caches:
            cache.keep(rows)
        self.lengths = [self.lengths[row] for row in rows]

    def admit(self, other: DecodeState) -> None:
        """Append copies of the rows of another state, which may be at other positions."""
        for cache, coming in zip(self.caches, other.caches, strict=True):
            cache.admit(coming)  # type: ignore[arg-type]  # In one model, the caches of a layer are of one kind.
        self.lengths = self.lengths + other.lengths

    def moment(self) -> Moment:
        """The positions of the next step."""
        return Moment(position_B=torch.tensor(self.lengths, device=self.device), farthest=max(self.lengths))

    @property
    def device(self) -> torch.device:
        """The device of the caches."""
        return self.caches[0].pair.device
