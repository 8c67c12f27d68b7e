"""The index of known passages: training music is found in any key, and hardly anything else."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers.example_store import example, write_example_store
from helpers.small_models import save_smallest
from music_reformer.config import PassagesConfig, TokenizerConfig
from music_reformer.data.store import TokenStore
from music_reformer.errors import UserError
from music_reformer.evaluation.copies import top_line
from music_reformer.evaluation.notes import Notes
from music_reformer.evaluation.passages import FILE, RUN, SHORTEST, KnownPassages, index_passages, line_of
from music_reformer.midi.examples import EXAMPLES


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    return write_example_store(tmp_path_factory.mktemp("passages") / "store")


def test_passages_of_the_training_set_are_found_whole_and_in_other_keys_and_nothing_else(tmp_path: Path) -> None:
    dice = np.random.default_rng(1)
    lines = [dice.integers(1, 2**16, size=400) for _ in range(60)]
    known = KnownPassages.of(lines)
    known.write(tmp_path / "passages.npz")
    with np.load(tmp_path / "passages.npz") as content:
        known = KnownPassages(content["bits"], {})
    for notes in (RUN, RUN + 1, SHORTEST, 30, 200):
        query = np.concatenate(
            [dice.integers(1, 2**16, 50), lines[7][100 : 100 + notes - 1], dice.integers(1, 2**16, 50)]
        )
        found = known.longest(query)
        assert found >= notes if notes >= SHORTEST else found in (0, SHORTEST)
        assert found <= max(notes + 1, SHORTEST)
    assert [known.longest(dice.integers(1, 2**16, 200)) for _ in range(50)].count(0) >= 48
    assert known.longest(np.zeros(0, dtype=np.int64)) == 0


def test_the_training_split_is_indexed_and_nothing_else(store: TokenStore, tmp_path: Path) -> None:
    path = index_passages(PassagesConfig(data=str(store.path), output=str(tmp_path / "weights")))
    assert path == tmp_path / "weights" / FILE
    with np.load(path) as content:
        known = KnownPassages(content["bits"], {})
    first, *_, last = EXAMPLES
    trained = Notes.of(example(first, 1))  # in a key that is not in the store
    assert known.longest(line_of(trained)) == len(top_line(trained))
    assert known.longest(line_of(Notes.of(example(last, 0)))) < SHORTEST + 2


def test_the_index_is_stored_beside_the_weights_and_names_its_data(store: TokenStore, tmp_path: Path) -> None:
    weights = save_smallest(tmp_path / "weights")
    assert KnownPassages.load(weights) is None
    index_passages(PassagesConfig(data=str(store.path), output=str(weights)))
    known = KnownPassages.load(weights)
    assert known is not None
    assert known.about["data"] == "store"
    assert known.about["pieces"] == len(store.split("train"))


def packed(pack: Callable[..., None] = np.savez, **arrays: object) -> bytes:
    written = io.BytesIO()
    pack(written, **{"bits": np.ones(64, np.uint8), "about": np.array("{}"), **arrays})
    return written.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\3\4 and then nothing",
        b"no zip at all",
        packed()[:-30],
        packed(np.savez_compressed, bits=np.zeros(10_000_000, np.uint8)),
        packed(bits=np.ones(64)),
        packed(bits=np.ones((8, 8), np.uint8)),
        packed(bits=np.zeros(0, np.uint8)),
        packed(bits=np.array([None])),
        packed(about=np.array("[]")),
        packed(about=np.array('{"people": [1]}')),
        packed(about=np.array('{"people": {"piece": "long"}}')),
        packed(about=np.array("{")),
    ],
    ids=lambda content: f"{len(content)} bytes",
)
def test_an_invalid_index_is_named(tmp_path: Path, content: bytes) -> None:
    """Weights may come from anywhere."""
    weights = save_smallest(tmp_path / "weights")
    (weights / FILE).write_bytes(packed())
    assert KnownPassages.load(weights) is not None
    (weights / FILE).write_bytes(content)
    with pytest.raises(UserError, match=r"passages\.npz is not an index of passages; remove it, or write it again$"):
        KnownPassages.load(weights)


def test_music_without_beats_is_refused(tmp_path: Path) -> None:
    store = write_example_store(tmp_path / "store", config=TokenizerConfig(encoding="Performance"))
    with pytest.raises(
        UserError, match=r"^data \(.*store\) has an encoding without beats, by which passages are compared"
    ):
        index_passages(PassagesConfig(data=str(store.path), output=str(tmp_path)))
