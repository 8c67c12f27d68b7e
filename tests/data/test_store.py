"""The token store: views, splits, and messages about unusable stores."""

from __future__ import annotations

import json
import pickle
import resource
import time
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


def test_pieces_are_read_lazily(tmp_path: Path) -> None:
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


# A stranger's store: checked before memory is taken.

WEIRD = [-1, 10**9, 10**15, 2**63, 10**30, 0.5, float("nan"), float("inf"), None, True, "", "x", "x" * 200_000, [], {}]


def refused(folder: Path) -> str | None:
    """The sentence with which a store is refused, by opening it or by looking at its music; None if it is read."""
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        store = TokenStore.open(folder)
        assert sum(len(store.tokens(piece)) for piece in store.pieces) <= store.info["num_tokens"]
        assert store.tokenizer.vocab_size > 0
        sentence = None
    except UserError as error:
        sentence = str(error)
        assert "\n" not in sentence
        assert len(sentence) < 1000
    assert time.monotonic() - begun < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024
    return sentence


def test_an_index_may_hold_anything(tmp_path: Path) -> None:
    """A length of 1e15 used to fill the memory."""
    write_store(tmp_path, num_pieces=6)
    index = tmp_path / "index.jsonl"
    lines = index.read_text().splitlines()
    num_refused = num_changes = 0
    for name in json.loads(lines[0]):
        for value in WEIRD:
            place = num_changes % len(lines)
            changed = [*lines]
            changed[place] = json.dumps(json.loads(lines[place]) | {name: value})
            index.write_text("\n".join(changed) + "\n")
            num_refused += refused(tmp_path) is not None
            num_changes += 1
    assert num_changes > 150
    assert num_refused > 120
    for text in ("{" * 50_000, "[" * 50_000, "3", "null", "{}", json.dumps({"length": 1})):
        index.write_text(text + "\n")
        assert "is damaged" in (refused(tmp_path) or "")
    index.write_text("\n".join(reversed(lines)) + "\n")
    assert "is damaged" in (refused(tmp_path) or ""), "pieces that are not where the index says"
    index.write_text("\n".join([lines[0], lines[0]]) + "\n")
    assert "is damaged" in (refused(tmp_path) or "")


def test_pieces_must_lie_within_the_tokens(tmp_path: Path) -> None:
    store = write_store(tmp_path, num_pieces=3)
    index = tmp_path / "index.jsonl"
    lines = [json.loads(line) for line in index.read_text().splitlines()]
    lines[-1]["length"] += 1
    index.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "piece 2 is not where the index says" in (refused(tmp_path) or "")
    assert store.info["num_tokens"] == lines[-1]["offset"] + lines[-1]["length"] - 1


def test_settings_of_a_store_may_hold_anything(tmp_path: Path) -> None:
    write_store(tmp_path, num_pieces=3)
    settings = tmp_path / "store.json"
    info = json.loads(settings.read_text())
    for name in info:
        for value in WEIRD:
            settings.write_text(json.dumps(info | {name: value}))
            assert refused(tmp_path) is not None
    for text in ("", "{", "[" * 50_000, "[]", "3", "{}"):
        settings.write_text(text)
        assert refused(tmp_path) is not None


def test_tokens_beyond_the_vocabulary_are_noticed(tmp_path: Path) -> None:
    write_store(tmp_path, num_pieces=3)
    content = bytearray((tmp_path / "tokens.bin").read_bytes())
    content[20:22] = b"\xff\xff"
    (tmp_path / "tokens.bin").write_bytes(content)
    assert "holds token 65535, and its tokenizer has 517" in (refused(tmp_path) or "")
