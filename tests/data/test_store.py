"""The token store: views, splits, and what is said of one that cannot be used."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from helpers.small_store import write_store
from music_reformer.data.store import Piece, TokenStore
from music_reformer.errors import UserError


def test_pieces_are_views_of_the_file(tmp_path: Path) -> None:
    store = write_store(tmp_path)
    everything = np.fromfile(tmp_path / "tokens.bin", dtype=np.uint16)
    assert np.array_equal(np.concatenate([store.tokens(piece) for piece in store.pieces]), everything)
    view = store.tokens(store.pieces[3])
    assert view.dtype == np.uint16
    assert np.shares_memory(view, store.tokens(store.pieces[3]))
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 0


def test_splits_share_out_the_pieces(tmp_path: Path) -> None:
    store = write_store(tmp_path, num_pieces=10, num_validation=3)
    assert [piece.piece_id for piece in store.split("validation")] == [0, 1, 2]
    assert [piece.piece_id for piece in store.split("train")] == list(range(3, 10))
    assert len(store.split("test")) == 0
    with pytest.raises(UserError, match=r"split \('dev'\) must be one of train, validation, test"):
        store.split("dev")


def test_pieces_are_read_when_asked_for(tmp_path: Path) -> None:
    store = write_store(tmp_path, num_pieces=10, num_validation=3)
    lines = [Piece(**json.loads(line)) for line in (tmp_path / "index.jsonl").read_text().splitlines()]
    assert list(store.pieces) == lines
    train = pickle.loads(pickle.dumps(store.split("train")))  # as a data loader's worker gets it
    assert (train[0], train[-1], train[2:4]) == (lines[3], lines[9], lines[5:7])
    with pytest.raises(IndexError):
        train[7]


def test_a_folder_without_a_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no prepared data"):
        TokenStore.open(tmp_path / "nowhere")
    (tmp_path / "partial").mkdir()
    with pytest.raises(UserError, match="is not finished; run the same"):
        TokenStore.open(tmp_path)


def test_damage_is_noticed(tmp_path: Path) -> None:
    write_store(tmp_path)
    info = json.loads((tmp_path / "store.json").read_text())

    def refuses(name: str, content: bytes, message: str) -> None:
        before = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=message):
            TokenStore.open(tmp_path)
        (tmp_path / name).write_bytes(before)

    tokens = (tmp_path / "tokens.bin").read_bytes()
    refuses("tokens.bin", tokens[:-2], f"has {len(tokens) - 2} bytes instead of {len(tokens)}")
    refuses("index.jsonl", (tmp_path / "index.jsonl").read_bytes()[:-10], "is damaged")
    refuses("index.jsonl", b'{"piece": 1}\n', "is damaged")
    refuses("store.json", b"[]", "is damaged")
    refuses("store.json", json.dumps({**info, "version": 99}).encode(), "version 99 of the format")
    TokenStore.open(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"tokenizer.*cannot be read"):
        _ = TokenStore.open(tmp_path).tokenizer
