"""If the disk is full, every verb prints one sentence that names the file.

A limit on file size (RLIMIT_FSIZE) simulates the disk: every write beyond it fails, in Python, SQLite, safetensors,
torch and worker processes.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.small_models import save_smallest
from helpers.small_store import write_store
from music_reformer.cli import main
from music_reformer.midi.examples import write_in_all_keys

pytestmark = pytest.mark.timeout(900)

TINY = [
    *("model.width=16", "model.num_layers=2", "model.num_heads=2", "model.head_width=8"),
    *("model.feed_forward_width=32", "model.window=4", "model.num_buckets=[4]", "model.axial_shape=[256,128]"),
    *("trainer.max_steps=2", "trainer.row_tokens=256", "trainer.log_every=1", "trainer.accelerator=cpu"),
]


@contextmanager
def no_file_longer_than(num_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def full(capsys: pytest.CaptureFixture[str], arguments: list[str], num_bytes: int) -> str:
    """The sentence with which a command ends."""
    capsys.readouterr()
    with no_file_longer_than(num_bytes):
        assert main(arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("music-reformer: ")]
    assert len(lines) == 1
    assert ".tmp" not in lines[0]
    assert "Traceback" not in lines[0]
    return lines[0]


def no_leftovers(folder: Path) -> None:
    assert not list(folder.rglob("*.tmp"))


def test_generate(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_smallest(here / "weights", axial_shape=[256, 128])
    (here / "prompts").mkdir()
    write_in_all_keys(here / "demo")
    example = sorted((here / "demo").glob("*.mid"))[0]
    (here / "prompts" / "one.mid").write_bytes(example.read_bytes())
    arguments = ["generate", "checkpoint=weights", "prompts=prompts", "length=1bars", "cut_bar=1"]
    assert main([*arguments, "output=enough"]) == 0
    music, notes = ((here / "enough" / name).stat().st_size for name in ("one_1.mid", "manifest.jsonl"))
    assert music < notes
    for num_bytes, named in ((20, "out/one_1.mid"), (music, "out/manifest.jsonl")):
        shown = full(capsys, [*arguments, "output=out"], num_bytes)
        assert named in shown, shown
        assert "File too large" in shown
        no_leftovers(here / "out")
    assert main([*arguments, "output=out"]) == 0


@pytest.mark.parametrize("num_bytes", [100, 3_000, 20_000, 60_000])
def test_prepare(here: Path, capsys: pytest.CaptureFixture[str], num_bytes: int) -> None:
    write_in_all_keys(here / "demo")
    arguments = ["prepare", "corpus.path=demo", "output=store", "workers=1", "near_duplicates=report"]
    shown = full(capsys, arguments, num_bytes)
    assert "store" in shown, shown


@pytest.mark.parametrize("num_bytes", [20, 1_000, 30_000, 100_000])
def test_train(here: Path, capsys: pytest.CaptureFixture[str], num_bytes: int) -> None:
    write_store(here / "store", num_pieces=8)
    arguments = ["train", "data=store", "output=run", *TINY]
    shown = full(capsys, arguments, num_bytes)
    assert "run/" in shown, shown
    no_leftovers(here / "run")
    assert main(arguments) == 0
    assert (here / "run" / "weights" / "model.safetensors").exists()


@pytest.mark.parametrize("num_bytes", [20, 2_000])
def test_evaluate(here: Path, capsys: pytest.CaptureFixture[str], num_bytes: int) -> None:
    write_store(here / "store", num_pieces=8)
    save_smallest(here / "weights", axial_shape=[256, 128])
    shown = full(capsys, ["evaluate", "checkpoint=weights", "data=store", "output=report"], num_bytes)
    assert "report/" in shown, shown


def test_a_folder_that_cannot_be_made_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_store(here / "store", num_pieces=8)
    (here / "file").write_text("")
    assert main(["train", "data=store", "output=file/run", *TINY]) == 2
    shown = capsys.readouterr().err.splitlines()[-1]
    assert shown.startswith("music-reformer: ")
    assert "file" in shown
