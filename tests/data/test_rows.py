from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.small_store import write_store
from music_reformer.config import AugmentConfig, MixtureConfig, TokenizerConfig
from music_reformer.data.mixture import Mixture
from music_reformer.data.rows import (
    IGNORED,
    Span,
    TrainingBatches,
    ValidationBatches,
    fill_row,
    pack,
    padding_share,
)
from music_reformer.data.store import TokenStore
from music_reformer.errors import UserError
from music_reformer.midi.tokenizer import MusicTokenizer

VOCABULARY = MusicTokenizer(TokenizerConfig()).vocabulary
NO_CHANGE = AugmentConfig(transpose=0, tempo=0.0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    return write_store(tmp_path_factory.mktemp("store"), num_pieces=30)


def training(store: TokenStore, **changes: object) -> TrainingBatches:
    settings = {
        "store": store,
        "pieces": store.split("train"),
        "row_tokens": 128,
        "rows_per_batch": 2,
        "max_length": 4096,
        "augment": AugmentConfig(),
        "seed": 3,
    }
    return TrainingBatches(**{**settings, **changes})  # type: ignore[arg-type]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("row_tokens", [16, 100, 1000])
def test_packing_covers_every_input_once_and_in_order(row_tokens: int) -> None:
    random = np.random.default_rng(1)
    lengths = random.integers(2, 400, 200).tolist()
    rows = pack(lengths, row_tokens=row_tokens, order=random.permutation(200).tolist())
    assert all(sum(span.length for span in row) <= row_tokens for row in rows)
    spans = sorted((span for row in rows for span in row), key=lambda span: (span.piece, span.begin))
    reached = [0] * 200
    for span in spans:
        assert span.begin == reached[span.piece]
        assert span.length >= 1
        reached[span.piece] += span.length
    assert reached == [length - 1 for length in lengths]
    number_of_spans = Counter(span.piece for span in spans)
    assert all(number_of_spans[i] == 1 for i, length in enumerate(lengths) if length - 1 <= row_tokens)


def test_packed_rows_have_little_padding() -> None:
    random = np.random.default_rng(2)
    lengths = random.lognormal(9, 0.5, 500).astype(int).tolist()  # Median 8,100 tokens, as in POP909.
    for row_tokens, limit in ((2048, 0.01), (8192, 0.08), (32768, 0.04)):
        rows = pack(lengths, row_tokens=row_tokens, order=range(500))
        assert padding_share(rows, row_tokens=row_tokens) < limit


def test_row_holds_documents_apart() -> None:
    one, two = np.arange(1, 8, dtype=np.uint16), np.arange(20, 24, dtype=np.uint16)
    row = fill_row(
        [(one, Span(0, 2, 4), 100), (two, Span(1, 0, 3), 0)], row_tokens=9, max_length=200, vocabulary=VOCABULARY
    )
    assert row["tokens"].tolist() == [3, 4, 5, 6, 20, 21, 22, 0, 0]
    assert row["targets"].tolist() == [4, 5, 6, 7, 21, 22, 23, IGNORED, IGNORED]
    assert row["documents"].tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2]
    assert row["positions"].tolist()[:7] == [102, 103, 104, 105, 0, 1, 2]


def test_marks_of_holes_are_read_but_not_predicted() -> None:
    tokens = np.array([1, 5, 0, 6, 1, 7, 2], dtype=np.uint16)
    row = fill_row([(tokens, Span(0, 0, 6), 0)], row_tokens=6, max_length=200, vocabulary=VOCABULARY)
    assert row["tokens"].tolist() == [1, 5, 0, 6, 1, 7]
    assert row["targets"].tolist() == [5, IGNORED, 6, 1, 7, 2]


def test_positions_stay_in_the_table(store: TokenStore) -> None:
    batches = training(store, max_length=200, augment=AugmentConfig(position_offset=True))
    seen = torch.cat([batches[number]["positions"].flatten() for number in range(60)])
    assert int(seen.min()) >= 0
    assert 190 < int(seen.max()) < 200  # The offset reaches the end of the table, and no further.


def test_every_epoch_shows_every_target_but_those_of_the_rows_left_out(store: TokenStore) -> None:
    batches = training(store, augment=NO_CHANGE, rows_per_batch=1)
    rows = len(batches.plan(0))
    shown = Counter()
    for number in range(rows):
        batch = batches[number]
        shown.update(batch["targets"][batch["targets"] != IGNORED].tolist())
    expected = Counter()
    for piece in store.split("train"):
        expected.update(store.tokens(piece)[1:].tolist())
    assert shown == expected


def test_batch_is_a_function_of_its_number(store: TokenStore) -> None:
    in_order = training(store)
    batches = [in_order[number] for number in range(100)]
    for number in (99, 0, 57, 58, 3):
        assert same(training(store)[number], batches[number])  # A fresh object that has seen nothing.
        assert same(in_order[number], batches[number])
    assert not same(training(store, seed=4)[0], batches[0])


def test_epochs_before_the_known_one_are_not_planned(store: TokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    in_order = training(store)
    number = next(number for number in range(1000) if in_order[number]["epoch"][0] == 3) + 1
    epoch, first = in_order[number]["epoch"].tolist()
    assert in_order[first]["epoch"].tolist() == [epoch, first]
    assert in_order[first - 1]["epoch"][0] == 2
    planned: set[int] = set()
    plan = TrainingBatches.plan
    monkeypatch.setattr(TrainingBatches, "plan", lambda self, epoch: planned.add(epoch) or plan(self, epoch))
    again = training(store, known=(epoch, first))
    assert same(again[number], in_order[number])
    assert same(again[number + 100], in_order[number + 100])
    assert min(planned) == 3
    assert same(again[first - 1], in_order[first - 1])  # Of one before it is right as well.


def test_epochs_differ(store: TokenStore) -> None:
    batches = training(store, augment=NO_CHANGE)
    assert batches.plan(0) != batches.plan(1)


def test_every_epoch_cuts_long_pieces_elsewhere(store: TokenStore) -> None:
    """Short rows begin anywhere in a piece: over the epochs, at all places of a row."""
    row_tokens = 64
    pieces = [piece for piece in store.split("train") if piece.length > 3 * row_tokens]
    assert len(pieces) > 5
    batches = training(store, pieces=pieces, augment=NO_CHANGE, row_tokens=row_tokens)
    cuts = [span.begin % row_tokens for epoch in range(40) for row in batches.plan(epoch) for span in row if span.begin]
    spread, _ = np.histogram(cuts, bins=8, range=(0, row_tokens))
    assert spread.min() > len(cuts) / 8 / 3
    of_one = {
        tuple(span.begin for row in batches.plan(epoch) for span in row if span.piece == 0) for epoch in range(40)
    }
    assert len(of_one) > 20


def test_processes_share_the_rows_of_one_larger_batch(store: TokenStore) -> None:
    whole = training(store, rows_per_batch=4)
    halves = [training(store, rows_per_batch=2, rank=rank, world_size=2) for rank in range(2)]
    for number in range(12):
        parts = [half[number]["tokens"] for half in halves]
        # Process r has rows r, r + 2 of the larger batch.
        assert torch.equal(torch.stack(parts, dim=1).flatten(0, 1), whole[number]["tokens"])


def test_a_batch_is_full_even_with_fewer_rows(store: TokenStore) -> None:
    batch = training(store, row_tokens=4096, rows_per_batch=5)[3]
    assert batch["tokens"].shape == (5, 4096)


def test_pieces_whose_length_augmentation_changes_are_packed_by_their_new_length(tmp_path: Path) -> None:
    from music_reformer.config import TokenizerConfig

    store = write_store(tmp_path, config=TokenizerConfig(encoding="Performance"))
    batches = training(store, augment=AugmentConfig(tempo=0.3), rows_per_batch=1)
    assert not batches.augmenter.keeps_length
    ends = 0
    for number in range(len(batches.plan(0))):
        ends += int((batches[number]["targets"] == store.tokenizer.eos_id).sum())
    assert ends == len(store.split("train"))


def test_the_next_epoch_is_planned_during_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one of three loader workers, which need not augment every piece at the beginning of the epoch."""
    from music_reformer.config import TokenizerConfig

    store = write_store(tmp_path, config=TokenizerConfig(encoding="Performance"))
    batches, at_once = (training(store, augment=AugmentConfig(tempo=0.3), rows_per_batch=1) for _ in range(2))
    first_of_next = len(batches.plan(0))
    for number in range(0, first_of_next, 3):
        batches[number]
    with monkeypatch.context() as patch:
        patch.setattr(batches, "_augmented", lambda piece, epoch: pytest.fail("measured too late"))
        batches.plan(1)
    assert same(batches[first_of_next], at_once[first_of_next])


def test_validation_rows_are_always_the_same_and_are_shared(store: TokenStore) -> None:
    def batches(**changes: int) -> ValidationBatches:
        settings = {"row_tokens": 128, "rows_per_batch": 1, "max_length": 4096, **changes}
        return ValidationBatches(store=store, pieces=store.split("validation"), **settings)

    whole = [batches()[i] for i in range(len(batches()))]
    assert all(same(one, batches()[i]) for i, one in enumerate(whole))
    targets = sum(int((batch["targets"] != IGNORED).sum()) for batch in whole)
    assert targets == sum(piece.length - 1 for piece in store.split("validation"))
    for i, one in enumerate(whole):
        assert same(batches(rank=i % 2, world_size=2)[i // 2], one)
    assert len(batches(max_rows=3)) == 3
    with pytest.raises(IndexError):
        batches()[len(batches())]


@pytest.fixture(scope="module")
def mixed_store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    folder = tmp_path_factory.mktemp("mixed")
    return write_store(folder, num_pieces=40, num_validation=12, corpora=("a", "b", "b", "b"))


def mixed(store: TokenStore, **changes: object) -> TrainingBatches:
    pieces = store.split("train")
    mixture = Mixture.of(pieces.corpora, pieces.corpus_of, pieces.lengths, MixtureConfig(power=0.0))
    return training(store, mixture=mixture, **changes)


def test_an_epoch_of_a_mixture_has_every_target_of_its_visits(mixed_store: TokenStore) -> None:
    batches = mixed(mixed_store, augment=NO_CHANGE, rows_per_batch=1)
    visits, pieces = batches.visits(0), mixed_store.split("train")
    shown, expected = Counter[int](), Counter[int]()
    for number in range(len(batches.plan(0))):
        targets = batches[number]["targets"]
        shown.update(targets[targets != IGNORED].tolist())
    for visited in visits.pieces.tolist():
        expected.update(mixed_store.tokens(pieces[visited])[1:].tolist())
    assert shown == expected
    times = Counter(visits.pieces.tolist())
    assert {times[i] for i in range(len(pieces)) if pieces[i].corpus == "a"} <= {1, 2, 3}
    assert {times[i] for i in range(len(pieces)) if pieces[i].corpus == "b"} <= {0, 1}


def test_a_mixed_batch_is_a_function_of_its_number(mixed_store: TokenStore) -> None:
    in_order = mixed(mixed_store)
    batches = [in_order[number] for number in range(100)]
    for number in (99, 0, 57, 58, 3):
        assert same(mixed(mixed_store)[number], batches[number])
        assert same(in_order[number], batches[number])
    epoch, first = batches[70]["epoch"].tolist()
    assert epoch > 0
    assert same(mixed(mixed_store, known=(epoch, first))[99], batches[99])
    halves = [mixed(mixed_store, rows_per_batch=1, rank=rank, world_size=2) for rank in range(2)]
    for number in (0, 40):
        parts = [half[number]["tokens"] for half in halves]
        assert torch.equal(torch.cat(parts), batches[number]["tokens"])


def test_two_visits_of_a_piece_in_one_epoch_are_augmented_apart(mixed_store: TokenStore) -> None:
    batches = mixed(mixed_store, augment=AugmentConfig(transpose=6, tempo=0.0), row_tokens=512, rows_per_batch=1)
    visits = batches.visits(0)
    twice = [piece for piece, times in Counter(visits.pieces.tolist()).items() if times > 1]
    assert twice
    copies = [
        batches._augmented(batches.pieces[piece], int(number)).tolist()
        for piece in twice
        for number in visits.passes[visits.pieces == piece]
    ]
    assert len({tuple(copy) for copy in copies}) > len(twice)


@pytest.mark.parametrize("rows_per_batch", [1, 3])
def test_validation_batches_hold_one_corpus_each(mixed_store: TokenStore, rows_per_batch: int) -> None:
    pieces = mixed_store.split("validation")

    def batches(**changes: int) -> ValidationBatches:
        settings = {"row_tokens": 128, "rows_per_batch": rows_per_batch, "max_length": 4096, **changes}
        return ValidationBatches(store=mixed_store, pieces=pieces, **settings)

    whole = batches()
    assert whole.corpora == ["a", "b"]
    targets, notes = Counter[int](), Counter[int]()
    for batch in (whole[i] for i in range(len(whole))):
        targets[int(batch["corpus"])] += int((batch["targets"] != IGNORED).sum())
        notes[int(batch["corpus"])] += float(batch["notes"])
    for number, corpus in enumerate(whole.corpora):
        of_corpus = [piece for piece in pieces if piece.corpus == corpus]
        assert targets[number] == sum(piece.length - 1 for piece in of_corpus)
        assert notes[number] == pytest.approx(sum(piece.num_notes for piece in of_corpus))
    few = batches(max_rows=4)
    assert sum(len(few[i]["tokens"]) for i in range(len(few))) == 4
    assert sum(len(few[i]["tokens"]) for i in range(len(few)) if few[i]["corpus"] == 0) == 2


def test_mistakes_are_named(store: TokenStore) -> None:
    with pytest.raises(UserError, match=r"row_tokens \(128\) must not exceed the 64 positions"):
        training(store, max_length=64)
    with pytest.raises(UserError, match="training split of this token store is empty"):
        training(store, pieces=[])
