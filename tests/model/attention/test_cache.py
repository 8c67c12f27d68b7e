"""Caches against lists of their expected content, token by token; rows are copied, dropped and admitted."""

from __future__ import annotations

import pytest
import torch

from helpers.small_models import decoder, tokens
from music_reformer.model.attention import cache as cache_module
from music_reformer.model.attention.cache import BucketCache, DecodeState, GrowingCache, Moment, RecentCache
from music_reformer.model.kernels.torch_banded import MASKED

HEADS, WIDTH, WINDOW, BUCKETS = 2, 4, 3, [4, 6]
ROUNDS = len(BUCKETS)


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
    """The expected content of a bucket cache: the last W members of each row, head, round and bucket, by number.

    Members refer to `pairs`, the tokens of their row, so that a value may change after it was added.
    """

    def __init__(self, rows: int) -> None:
        self.pairs: list[list[torch.Tensor]] = [[] for _ in range(rows)]
        self.members: list[dict[tuple[int, int, int], list[int]]] = [{} for _ in range(rows)]

    def append(self, key_BHD: torch.Tensor, value_BHD: torch.Tensor, bucket_BHR: torch.Tensor) -> None:
        for row, members in enumerate(self.members):
            number = len(self.pairs[row])
            self.pairs[row].append(torch.cat([key_BHD[row], value_BHD[row]], dim=-1))
            for head in range(HEADS):
                for round_ in range(ROUNDS):
                    ring = members.setdefault((head, round_, int(bucket_BHR[row, head, round_])), [])
                    ring.append(number)
                    del ring[:-WINDOW]

    def replace_last_value(self, value_BHD: torch.Tensor) -> None:
        for pairs, value_HD in zip(self.pairs, value_BHD, strict=True):
            pairs[-1] = torch.cat([pairs[-1][:, :WIDTH], value_HD], dim=-1)

    def seen(self, row: int, head: int, bucket_R: torch.Tensor) -> set[tuple[float, ...]]:
        rings = [self.members[row][head, round_, int(bucket)] for round_, bucket in enumerate(bucket_R)]
        return {tuple(self.pairs[row][number][head].tolist()) for ring in rings for number in ring}

    def select(self, rows: list[int]) -> _Lists:
        found = _Lists(len(rows))
        found.pairs = [list(self.pairs[row]) for row in rows]
        found.members = [{place: list(ring) for place, ring in self.members[row].items()} for row in rows]
        return found

    def admit(self, other: _Lists) -> None:
        self.pairs += other.select(list(range(len(other.pairs)))).pairs
        self.members += other.select(list(range(len(other.pairs)))).members


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pages, which are often full, and few spare ones."""
    monkeypatch.setattr(cache_module, "PAGE", 5)
    monkeypatch.setattr(cache_module, "SPARE_PAGES", 1)


def random_buckets(*shape: int) -> torch.Tensor:
    """[..., H, R]."""
    return torch.stack([torch.randint(0, number, (*shape, HEADS)) for number in BUCKETS], dim=-1)


def filled(keys: torch.Tensor, values: torch.Tensor, buckets_BLHR: torch.Tensor) -> tuple[BucketCache, _Lists]:
    """The cache and the lists, after the same tokens."""
    lists = _Lists(len(keys))
    for place in range(keys.shape[1]):
        lists.append(keys[:, place], values[:, place], buckets_BLHR[:, place])
    buckets_RBLH = buckets_BLHR.permute(3, 0, 1, 2)
    return BucketCache.filled(keys, values, buckets_RBLH, window=WINDOW, num_buckets=BUCKETS), lists


def step(cache: BucketCache, lists: _Lists) -> None:
    """Change the value of the last token and append another, in both; they must show the same."""
    rows = len(lists.pairs)
    (key_BHD, value_BHD), (_, later_BHD) = noise(rows), noise(rows)
    bucket_BHR = random_buckets(rows)
    cache.replace_last_value(later_BHD)
    lists.replace_last_value(later_BHD)
    found = cache.append(key_BHD, value_BHD, bucket_BHR)
    lists.append(key_BHD, value_BHD, bucket_BHR)
    for row in range(rows):
        for head in range(HEADS):
            assert seen(*found, row, head) == lists.seen(row, head, bucket_BHR[row, head])


@pytest.mark.parametrize("length", [1, 4, 5, 30])
def test_a_bucket_cache_holds_the_last_members_of_every_bucket(length: int) -> None:
    cache, lists = filled(*noise(2, length), random_buckets(2, length))
    for _ in range(40):
        step(cache, lists)


def test_a_token_attends_to_itself_only_if_it_has_no_other_key() -> None:
    buckets = torch.zeros(1, 1, HEADS, ROUNDS, dtype=torch.int64)
    cache, _ = filled(*noise(1, 1), buckets)
    key_BHD, value_BHD = noise(1)
    _, values, bias = cache.append(key_BHD, value_BHD, buckets[:, 0] + 1)
    share = torch.softmax(bias.expand(1, HEADS, 1, -1), dim=-1)
    torch.testing.assert_close((share @ values).squeeze(2), value_BHD)
    _, values, bias = cache.append(*noise(1), buckets[:, 0] + 1)
    share = torch.softmax(bias.expand(1, HEADS, 1, -1), dim=-1)
    torch.testing.assert_close((share @ values).squeeze(2), value_BHD, msg="the one before it is all that it sees")


@pytest.mark.parametrize("length", [10, 12])
def test_rows_of_a_bucket_cache_are_copied_leave_and_come(length: int) -> None:
    """Rows whose last page is full, and rows whose last page is not."""
    cache, lists = filled(*noise(3, length), random_buckets(3, length))
    other, other_lists = filled(*noise(2, length + 7), random_buckets(2, length + 7))
    copy, copied = cache.select([2, 0, 2]), lists.select([2, 0, 2])
    cache.keep([2, 1])
    lists = lists.select([2, 1])
    cache.admit(other)
    lists.admit(other_lists)
    for _ in range(8):
        step(cache, lists)
        step(copy, copied)
        step(other, other_lists)
    again, again_lists = copy.select([1, 1, 0, 2]), copied.select([1, 1, 0, 2])
    copy.keep([0])
    copied = copied.select([0])
    copy.admit(again)
    copied.admit(again_lists)
    for _ in range(8):
        step(again, again_lists)
        step(copy, copied)


def test_variations_share_the_pages_of_their_prompt() -> None:
    cache, lists = filled(*noise(1, 503), random_buckets(1, 503))
    many, of_many = cache.select([0] * 10), lists.select([0] * 10)
    assert len(many.pair) < 1.2 * len(cache.pair)
    for _ in range(20):
        step(many, of_many)


@pytest.mark.parametrize("length", [500, 503])
def test_keep_repeats_a_row_in_place(length: int) -> None:
    """Whether its last page is full or not."""
    cache, lists = filled(*noise(2, length), random_buckets(2, length))
    cache.keep([1, 1, 0, 1])
    lists = lists.select([1, 1, 0, 1])
    assert len({page for pages in cache.pages for page in pages}) == 2 * len(cache.pages[0]) + 2
    for _ in range(20):
        step(cache, lists)
    cache.keep([3, 0, 3])
    lists = lists.select([3, 0, 3])
    for _ in range(20):
        step(cache, lists)


def test_the_pool_grows_for_long_rows_and_reuses_pages_of_dropped_ones() -> None:
    cache, lists = filled(*noise(2, 3), random_buckets(2, 3))
    for _ in range(100):
        step(cache, lists)
    places = len(cache.pair)
    assert places < 2 * 2 * 103, "it grows by half"
    cache.keep([1])
    lists = lists.select([1])
    for _ in range(90):
        step(cache, lists)
    assert len(cache.pair) == places


@pytest.mark.parametrize("kind", ["lsh", "local", "full"])
def test_a_copy_shares_no_memory_with_its_original(kind: str) -> None:
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
