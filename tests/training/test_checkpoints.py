"""The last checkpoint and the one before it: damage is noticed, and after a kill at least one is intact."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest
import torch

from music_reformer.errors import UserError
from music_reformer.training.checkpoints import Checkpoints


def keep(folder: Path, step: int, *, best: bool = False, checkpoints: Checkpoints | None = None) -> None:
    """Keep the checkpoint of a step as a training run does, by default in a process of its own."""
    folder.mkdir(exist_ok=True)
    file = folder / "last.ckpt.tmp"
    torch.save({"global_step": step, "state": torch.full((500,), float(step))}, file)
    (checkpoints or Checkpoints(folder)).keep(file, best=best)


def found(folder: Path) -> tuple[str, int, str]:
    """Name and step of the checkpoint to resume from, and the messages."""
    lines: list[str] = []
    result = Checkpoints(folder).find(lines.append)
    assert result is not None
    return result[0].name, result[1], " ".join(lines)


def flip_byte(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoints"
    for step in (1, 2, 3):
        keep(folder, step, best=step == 1)
    return folder


def test_the_last_two_and_the_best_are_kept(folder: Path) -> None:
    assert found(folder) == ("last.ckpt", 3, "")
    steps = {path.name: torch.load(path)["global_step"] for path in folder.glob("*.ckpt")}
    assert steps == {"last.ckpt": 3, "previous.ckpt": 2, "best.ckpt": 1}
    assert sorted(path.name for path in folder.iterdir()) == ["best.ckpt", "last.ckpt", "previous.ckpt", "sums.json"]


def test_any_flipped_byte_is_noticed_and_the_one_before_is_used(folder: Path) -> None:
    size = (folder / "last.ckpt").stat().st_size
    for place in range(0, size, size // 40):
        flip_byte(folder / "last.ckpt", place)
        name, step, said = found(folder)
        assert (name, step) == ("previous.ckpt", 2)
        assert "last.ckpt is damaged; resuming from the checkpoint before it" in said
        flip_byte(folder / "last.ckpt", place)
    assert found(folder) == ("last.ckpt", 3, "")


@pytest.mark.parametrize("length", [0, 1, 1000])
def test_a_truncated_checkpoint_is_noticed(folder: Path, length: int) -> None:
    (folder / "last.ckpt").write_bytes((folder / "last.ckpt").read_bytes()[:length])
    assert found(folder)[:2] == ("previous.ckpt", 2)


def test_a_missing_checkpoint_is_skipped(folder: Path) -> None:
    (folder / "last.ckpt").unlink()
    assert found(folder)[:2] == ("previous.ckpt", 2)


def test_only_damaged_checkpoints_are_one_sentence(folder: Path) -> None:
    for name in ("last.ckpt", "previous.ckpt"):
        flip_byte(folder / name, 700)
    with pytest.raises(UserError, match=r"last\.ckpt is damaged; copy best\.ckpt over it"):
        found(folder)
    (folder / "last.ckpt").write_bytes((folder / "best.ckpt").read_bytes())
    assert found(folder)[:2] == ("last.ckpt", 1)


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"\xff\x00"])
def test_without_sums_the_last_checkpoint_is_used_with_a_warning(folder: Path, content: bytes | None) -> None:
    """As for runs of versions without sums."""
    (folder / "sums.json").unlink()
    if content is not None:
        (folder / "sums.json").write_bytes(content)
    name, step, said = found(folder)
    assert (name, step) == ("last.ckpt", 3)
    assert "cannot be verified" in said
    (folder / "last.ckpt").write_bytes((folder / "last.ckpt").read_bytes()[:1000])
    assert found(folder)[:2] == ("previous.ckpt", 2)


def test_resuming_from_the_previous_checkpoint_does_not_lose_it(folder: Path) -> None:
    flip_byte(folder / "last.ckpt", 700)
    keep(folder, 4)
    assert found(folder) == ("last.ckpt", 4, "")
    flip_byte(folder / "last.ckpt", 700)
    assert found(folder)[:2] == ("previous.ckpt", 2)


@pytest.mark.parametrize("function", ["write_json", "link", "replace"])
@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_after_a_kill_every_checkpoint_has_its_sum(
    folder: Path, monkeypatch: pytest.MonkeyPatch, function: str, call: int
) -> None:
    from music_reformer.training import checkpoints as module

    class KilledError(Exception):
        pass

    calls = 0

    def killed(original):
        def wrapper(*arguments, **named):
            nonlocal calls
            calls += 1
            if calls == call:
                raise KilledError
            return original(*arguments, **named)

        return wrapper

    with monkeypatch.context() as patch:
        if function == "write_json":
            patch.setattr(module, "write_json", killed(module.write_json))
        elif function == "link":
            patch.setattr(os, "link", killed(os.link))
        else:
            patch.setattr(Path, "replace", killed(Path.replace))
        with contextlib.suppress(KilledError):
            keep(folder, 4, best=True)
    name, step, said = found(folder)
    assert (name, step) in {("last.ckpt", 3), ("previous.ckpt", 3), ("last.ckpt", 4)}
    assert not said
    known = set(json.loads((folder / "sums.json").read_text()).values())
    assert len(known) >= 2
    if name == "last.ckpt":
        flip_byte(folder / "last.ckpt", 700)
        assert found(folder)[:2] == ("previous.ckpt", step - 1)
        flip_byte(folder / "last.ckpt", 700)
    keep(folder, 5)
    assert found(folder) == ("last.ckpt", 5, "")
    flip_byte(folder / "last.ckpt", 700)
    assert found(folder)[:2] == ("previous.ckpt", step)


def test_successive_checkpoints_leave_the_previous_one_intact(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in range(1, 6):
        keep(tmp_path, step, checkpoints=checkpoints)
        flip_byte(tmp_path / "last.ckpt", 700)
        if step > 1:
            assert found(tmp_path)[:2] == ("previous.ckpt", step - 1)
        flip_byte(tmp_path / "last.ckpt", 700)


def test_an_empty_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "nowhere").find(print) is None
