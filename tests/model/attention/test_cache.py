"""Caches against lists of what they should hold, token by token; rows that are copied, leave, and come."""

from __future__ import annotations

import pytest
import torch

from helpers.small_models import decoder, tokens
from music_reformer.model.attention.cache import BucketCache, DecodeState, GrowingCache, Moment, RecentCache
from music_reformer.model.kernels.torch_banded import MASKED

HEADS, WIDTH, WINDOW, ROUNDS, BUCKETS = 2, 4, 3, 2, 4


def moment(position: list[int]) -> Moment:
    return Moment(position_B=torch.tensor(position), farthest=max(position))


def seen(key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor, row: int, head: int) -> set[tuple[float, ...]]:
    """Keys and values that are not hidden from a row."""
    bias = bias.expand(len(key), key.shape[1], 1, key.shape[2])[row, head, 0]
    pairs = torch.cat([key, value], dim=-1)[row, head]
    return {tuple(pair.tolist()) for pair, hidden in zip(pairs, bias <= MASKED, strict=True) if not hidden}


def noise(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(*shape, HEADS, WIDTH), torch.randn(*shape, HEADS, WIDTH)


@pytest.mark.parametrize("length", [1, 2, 3, 8])
def test_a_recent_cache_holds_the_last_tokens(length: int) -> None:
    keys, values = noise(2, length + 6)
    cache = RecentCache.filled(keys[:, :length], values[:, :length], window=WINDOW)
    for place in range(length, length + 6):
        found = cache.append(keys[:, place], values[:, place], moment([place, place]))
        for row in range(2):
            for head in range(HEADS):
                first = max(0, place + 1 - WINDOW)
                pairs = torch.cat([keys, values], dim=-1)[row, first : place + 1, head]
                assert seen(*found, row, head) == {tuple(pair.tolist()) for pair in pairs}


def test_a_growing_cache_holds_all_tokens_and_makes_room() -> None:
    keys, values = noise(2, 20)
    cache = GrowingCache.filled(keys[:, :3].transpose(1, 2), values[:, :3].transpose(1, 2))
    for place in range(3, 20):
        found = cache.append(keys[:, place], values[:, place], moment([place, place]))
        pairs = torch.cat([keys, values], dim=-1)[1, : place + 1, 0]
        assert seen(*found, 1, 0) == {tuple(pair.tolist()) for pair in pairs}


class _Lists:
    """What a bucket cache should hold: for each row, head, round and bucket the last W keys and values."""

    def __init__(self, rows: int) -> None:
        self.rings: list[dict[tuple[int, int, int], list[torch.Tensor]]] = [{} for _ in range(rows)]

    def append(self, key_BHD: torch.Tensor, value_BHD: torch.Tensor, bucket_BHR: torch.Tensor) -> None:
        for row, rings in enumerate(self.rings):
            for head in range(HEADS):
                for round_ in range(ROUNDS):
                    ring = rings.setdefault((head, round_, int(bucket_BHR[row, head, round_])), [])
                    ring.append(torch.cat([key_BHD[row, head], value_BHD[row, head]]))
                    del ring[:-WINDOW]

    def seen(self, row: int, head: int, bucket_R: torch.Tensor) -> set[tuple[float, ...]]:
        rings = [self.rings[row][head, round_, int(bucket)] for round_, bucket in enumerate(bucket_R)]
        return {tuple(pair.tolist()) for ring in rings for pair in ring}


def filled(keys: torch.Tensor, values: torch.Tensor, buckets_BLHR: torch.Tensor) -> tuple[BucketCache, _Lists]:
    """Both after the same tokens."""
    lists = _Lists(len(keys))
    for place in range(keys.shape[1]):
        lists.append(keys[:, place], values[:, place], buckets_BLHR[:, place])
    buckets_RBLH = buckets_BLHR.permute(3, 0, 1, 2)
    return BucketCache.filled(keys, values, buckets_RBLH, window=WINDOW, num_buckets=BUCKETS), lists


def step(cache: BucketCache, lists: _Lists, rows: int) -> None:
    """One token more for both: they show the same."""
    key_BHD, value_BHD = noise(rows)
    bucket_BHR = torch.randint(0, BUCKETS, (rows, HEADS, ROUNDS))
    found = cache.append(key_BHD, value_BHD, bucket_BHR)
    lists.append(key_BHD, value_BHD, bucket_BHR)
    for row in range(rows):
        for head in range(HEADS):
            assert seen(*found, row, head) == lists.seen(row, head, bucket_BHR[row, head])


@pytest.mark.parametrize("length", [1, 4, 30])
def test_a_bucket_cache_holds_the_last_members_of_every_bucket(length: int) -> None:
    cache, lists = filled(*noise(2, length), torch.randint(0, BUCKETS, (2, length, HEADS, ROUNDS)))
    for _ in range(40):
        step(cache, lists, 2)


def test_the_token_itself_counts_only_where_there_is_no_other() -> None:
    buckets = torch.zeros(1, 1, HEADS, ROUNDS, dtype=torch.int64)
    cache, _ = filled(*noise(1, 1), buckets)
    key_BHD, value_BHD = noise(1)
    _, values, bias = cache.append(key_BHD, value_BHD, buckets[:, 0] + 1)
    share = torch.softmax(bias.expand(1, HEADS, 1, -1), dim=-1)
    torch.testing.assert_close((share @ values).squeeze(2), value_BHD)
    _, values, bias = cache.append(*noise(1), buckets[:, 0] + 1)
    share = torch.softmax(bias.expand(1, HEADS, 1, -1), dim=-1)
    torch.testing.assert_close((share @ values).squeeze(2), value_BHD, msg="the one before it is all that it sees")


def test_the_value_of_the_last_token_may_be_replaced_wherever_it_is_kept() -> None:
    keys, values = noise(2, 9)
    buckets = torch.randint(0, BUCKETS, (2, 9, HEADS, ROUNDS))
    later = values.clone()
    later[:, -1] = torch.randn(2, HEADS, WIDTH)
    cache, _ = filled(keys, values, buckets)
    cache.replace_last_value(later[:, -1])
    expected, _ = filled(keys, later, buckets)
    assert torch.equal(cache.pair, expected.pair)


def test_rows_of_a_bucket_cache_are_copied_leave_and_come() -> None:
    caches = [filled(*noise(rows, 12), torch.randint(0, BUCKETS, (rows, 12, HEADS, ROUNDS))) for rows in (3, 2)]
    (cache, lists), (other, other_lists) = caches
    copy = cache.select([2, 0, 2])
    copied = _Lists(3)
    copied.rings = [{ring: list(members) for ring, members in lists.rings[row].items()} for row in (2, 0, 2)]
    cache.keep([2, 1])
    lists.rings = [lists.rings[2], lists.rings[1]]
    cache.admit(other)  # One goes to the slot that was left, for the other there has to be made room.
    lists.rings += [{ring: list(members) for ring, members in rings.items()} for rings in other_lists.rings]
    assert len(set(cache.slots)) == 4
    for _ in range(15):
        step(cache, lists, 4)
        step(copy, copied, 3)
        step(other, other_lists, 2)


@pytest.mark.parametrize("kind", ["lsh", "local", "full"])
def test_a_copy_shares_no_memory_with_what_it_was_copied_from(kind: str) -> None:
    decode = decoder(attention=[kind])
    _, state = decode.prefill(tokens(1, 30))
    with torch.inference_mode():
        copies = [state.select([0]) for _ in range(2)]
        for _ in range(5):
            decode.step(tokens(1), copies[0])
    x = tokens(1)
    assert torch.equal(decode.step(x, copies[1]), decode.step(x, state))


def test_a_state_knows_how_far_each_row_is() -> None:
    decode = decoder(attention=["local", "lsh", "full"], num_layers=3)
    _, state = decode.prefill(tokens(2, 10))
    assert isinstance(state, DecodeState)
    with torch.inference_mode():
        state.admit(decode.prefill(tokens(1, 25))[1])
        decode.step(tokens(3), state)
        assert state.lengths == [11, 11, 26]
        assert (state.moment().position_B.tolist(), state.moment().farthest) == ([11, 11, 26], 26)
        state.keep([2, 0])
        assert state.expand(2).lengths == [26, 26, 11, 11]
