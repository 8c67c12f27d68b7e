"""`music-reformer finetune`: held-out loss before and after, for every choice of trainable parameters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import symusic
import torch

from helpers.small_models import save_smallest
from music_reformer.config import FinetuneConfig
from music_reformer.errors import UserError
from music_reformer.model.weights import load_weights
from music_reformer.training.finetune import finetune

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = {"width": 32, "head_width": 16, "feed_forward_width": 64, "window": 8, "axial_shape": [64, 64]}
    return save_smallest(tmp_path_factory.mktemp("initial") / "weights", **shape)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty scales, each from another key."""
    folder = tmp_path_factory.mktemp("files")
    for number in range(20):
        score = symusic.Score(480)
        track = symusic.Track("piano", 0, False)
        track.notes.extend(
            [symusic.Note(240 * step, 240, 48 + number + step % 12, 80 - number) for step in range(60 + number)]
        )
        score.tracks.append(track)
        score.dump_midi(folder / f"{number}.mid")
    return folder


def config(weights: Path, files: Path, output: Path, **changes: object) -> FinetuneConfig:
    settings: dict = {
        "files": str(files),
        "output": str(output),
        "checkpoint": str(weights),
        "steps": 30,
        "row_tokens": 256,
        "learning_rate": 3e-3,
        "threads": 1,
    }
    return FinetuneConfig(**(settings | changes))


@pytest.mark.parametrize(
    "trainable", ["all", *(pytest.param(name, marks=pytest.mark.slow) for name in ("last", "lora"))]
)
def test_files_held_out_become_more_likely(
    weights: Path, files: Path, tmp_path: Path, trainable: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = config(weights, files, tmp_path / "mine", trainable=trainable, last_layers=1)
    new = finetune(settings)
    report = json.loads((tmp_path / "mine" / "finetune.json").read_text())
    assert report["nats_per_token_after"] < report["nats_per_token_before"]
    assert 1 <= len(report["held_out_pieces"]) < 20
    assert "before" in capsys.readouterr().err
    before, after = load_weights(weights).model.state_dict(), load_weights(new).model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    if trainable != "all":
        assert not any("embedding" in name for name in changed)
    if trainable == "last":
        assert not any(name.startswith("stack.blocks.0") for name in changed)
    again = finetune(settings)  # finished: nothing is trained again
    assert json.loads((tmp_path / "mine" / "finetune.json").read_text()) == report
    assert load_weights(again).fingerprint == load_weights(new).fingerprint


def test_a_single_or_missing_file_is_refused(weights: Path, files: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"files \(.*0\.mid\) is one file; name the folder"):
        finetune(config(weights, files / "0.mid", tmp_path / "mine"))
    with pytest.raises(UserError, match=r"files \(.*nowhere\) is not there"):
        finetune(config(weights, files / "nowhere", tmp_path / "mine"))
    assert not (tmp_path / "mine").exists()


def test_too_few_files_are_refused(weights: Path, files: Path, tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.mkdir()
    (one / "0.mid").write_bytes((files / "0.mid").read_bytes())
    with pytest.raises(UserError, match="give more files, or another held_out"):
        finetune(config(weights, one, tmp_path / "mine"))
    assert not (tmp_path / "mine" / "weights").exists()
