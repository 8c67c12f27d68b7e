"""Generated against human music: equal music overlaps fully, and a copy is found and reported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import symusic
from rich.progress import Progress

from helpers.example_store import example, write_example_store
from music_reformer.config import EvaluateConfig
from music_reformer.data.store import TokenStore
from music_reformer.errors import UserError
from music_reformer.evaluation.compare import mean_interval, overlap
from music_reformer.evaluation.generated import GROUPS, compare_generated
from music_reformer.evaluation.groups import Generated, piece_notes
from music_reformer.evaluation.musical import statistics
from music_reformer.evaluation.notes import Notes
from music_reformer.midi.examples import EXAMPLES

SECONDS = 8.0


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    return write_example_store(tmp_path_factory.mktemp("generated") / "store")


def compared(store: TokenStore, scores: list[symusic.Score]) -> dict:
    notes = [Notes.of(score) for score in scores]
    pieces = [Generated(f"{number}.mid", each, each.first_s) for number, each in enumerate(notes)]
    config = EvaluateConfig(data=str(store.path), generated="made", excerpt_seconds=SECONDS, split="validation")
    return compare_generated(config, store, pieces, ["it is damaged"], Progress(disable=True))


@pytest.fixture(scope="module")
def figures(store: TokenStore) -> dict:
    """Figures for the held-out pieces themselves, as if generated, and one piece of the training split."""
    held_out = [store.music_tokenizer.decode(store.tokens(piece)) for piece in store.split("validation")]
    return compared(store, [*held_out, example(next(iter(EXAMPLES)), 5)])


def test_figures_are_plain_json_with_what_was_refused(figures: dict) -> None:
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert figures["refused"] == ["it is damaged"]
    assert set(figures["groups"]) == set(GROUPS)
    assert figures["excerpt_seconds"] == SECONDS


def test_each_mean_is_that_of_the_values_of_its_group(store: TokenStore, figures: dict) -> None:
    group = figures["groups"]["held_out"]
    assert group["pieces"] == len(store.split("validation"))
    excerpts = [piece_notes(store, piece) for piece in store.split("validation")]
    excerpts = [each.between(each.first_s, each.first_s + SECONDS) for each in excerpts]
    for name, values in group["values"].items():
        expected = [value for value in (statistics(each)[name] for each in excerpts) if np.isfinite(value)]
        assert values == pytest.approx(expected), name
        assert group["statistics"][name] == pytest.approx(mean_interval(np.array(values)))


def test_the_held_out_music_as_generated_music_has_its_own_overlap(store: TokenStore) -> None:
    held_out = [store.music_tokenizer.decode(store.tokens(piece)) for piece in store.split("validation")]
    found = compared(store, held_out)
    for name, of in found["overlap"].items():
        generated, human = (np.array(found["groups"][group]["values"][name]) for group in ("generated", "held_out"))
        assert generated == pytest.approx(human), name
        assert of["generated"] == pytest.approx(overlap(human, human), abs=1e-6), name
    assert np.mean([of["generated"] - of["training"] for of in found["overlap"].values()]) > 0.1


def test_a_transposed_training_piece_is_reported_as_a_copy(store: TokenStore, figures: dict) -> None:
    copies = figures["originality"]["all_notes"]
    first = copies["longest"][0]
    assert first["file"] == "3.mid"
    assert first["notes"] > copies["held_out"]["largest"]
    assert first["source"].startswith(next(iter(EXAMPLES)))
    assert copies["generated"]["beyond"] == 1
    assert copies["generated"]["lengths"] == sorted(each["notes"] for each in copies["longest"])
    assert figures["originality"]["training_pieces"] == len(store.split("train"))


def test_likeness_at_lag_zero_is_one(figures: dict) -> None:
    for group in GROUPS:
        lags = figures["groups"][group]["likeness_by_lag"]
        assert lags[0] == pytest.approx(1)
        assert len(lags) <= int(SECONDS) * 2 // 3


def test_groups_that_are_too_small_to_compare_are_refused(store: TokenStore, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^generated \(made\) holds one piece; a distribution needs at least 2$"):
        compared(store, [example(next(iter(EXAMPLES)), 0)])
