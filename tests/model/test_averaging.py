"""The mean of the weights of several trainings of one model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.small_models import save_smallest
from music_reformer.cli import main
from music_reformer.model.averaging import mean_of
from music_reformer.model.weights import TENSORS, load_weights


@pytest.fixture
def trained(tmp_path: Path) -> list[str]:
    """Three weights of one model, each tensor filled with 0, 1 and 4."""
    folders = []
    for number in (0, 1, 4):
        folder = save_smallest(tmp_path / f"trained {number}", can_infill=number > 0)
        tensors = load_file(folder / TENSORS)
        save_file({name: torch.full_like(tensor, number) for name, tensor in tensors.items()}, folder / TENSORS)
        folders.append(str(folder))
    return folders


def averaged(checkpoints: list[str], output: Path, *more: str) -> int:
    return main(["average", f"checkpoints=[{','.join(checkpoints)}]", f"output={output}", *more])


@pytest.mark.parametrize(
    ("shares", "expected"), [([], 5 / 3), (["shares=[1,2,1]"], 1.5), (["shares=[0.1,0.1,0.3]"], 2.6)]
)
def test_each_number_is_the_weighted_mean(
    trained: list[str], tmp_path: Path, shares: list[str], expected: float
) -> None:
    assert averaged(trained, tmp_path / "mean", *shares) == 0
    for tensor in load_weights(tmp_path / "mean").model.state_dict().values():
        assert torch.allclose(tensor, torch.full_like(tensor, expected))


def test_it_says_what_it_was_made_of_and_claims_what_all_can_do(trained: list[str], tmp_path: Path) -> None:
    averaged(trained[1:], tmp_path / "able", "shares=[1,3]")
    averaged(trained, tmp_path / "unable")
    able, unable = load_weights(tmp_path / "able"), load_weights(tmp_path / "unable")
    assert able.can_infill
    assert not unable.can_infill
    assert able.info.keys() == {"averaged"}  # no step and no loss of one of them
    parts = able.info["averaged"]
    assert [part["share"] for part in parts] == [0.25, 0.75]
    assert [part["fingerprint"] for part in parts] == [load_weights(path).fingerprint for path in trained[1:]]


def test_half_precision_takes_half_the_space_and_loads(trained: list[str], tmp_path: Path) -> None:
    averaged(trained, tmp_path / "whole")
    averaged(trained, tmp_path / "half", "half=true")
    sizes = [
        sum(tensor.nbytes for tensor in load_file(tmp_path / name / TENSORS).values()) for name in ("whole", "half")
    ]
    assert sizes[0] == 2 * sizes[1]
    assert next(load_weights(tmp_path / "half").model.parameters()).dtype == torch.float32


def test_one_sentence_says_why_not(trained: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wider = str(save_smallest(tmp_path / "wider", width=32))
    there = Path(trained[0])
    for checkpoints, output, more, reason in (
        (trained[:1], tmp_path / "out", [], "must be at least two"),
        (trained, tmp_path / "out", ["shares=[1,2]"], "must be as many as checkpoints"),
        ([trained[0], wider], tmp_path / "out", [], "not of the same model"),
        ([trained[0], str(tmp_path / "nowhere")], tmp_path / "out", [], "no checkpoint at"),
        (trained, there, [], "already holds weights"),
    ):
        before = (there / TENSORS).read_bytes()
        assert averaged(checkpoints, output, *more) == 2
        message = capsys.readouterr().err
        assert reason in message
        assert message.count("\n") == 1
        assert not (tmp_path / "out").exists()
        assert (there / TENSORS).read_bytes() == before


def test_another_tokenizer_is_refused(trained: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(trained[1]) / "tokenizer.json"
    settings = json.loads(path.read_text())
    settings["tokens"] = [*settings["tokens"][:-2], *settings["tokens"][:-3:-1]]
    path.write_text(json.dumps(settings))
    assert averaged(trained, tmp_path / "out") == 2
    assert "tokenizer" in capsys.readouterr().err


def test_a_mean_of_equals_is_the_same() -> None:
    state = {"matrix": torch.randn(5, 7)}
    assert torch.allclose(mean_of([state] * 3, [0.2, 0.3, 0.5])["matrix"], state["matrix"])
