"""`music-reformer generate`: settings are checked first, files are complete, and an interrupted run resumes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import symusic

from helpers.batches import config, contents
from music_reformer.batch import runner
from music_reformer.batch.generate import generate
from music_reformer.errors import UserError


def test_every_prompt_is_continued(weights: Path, prompts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    paths = generate(config(weights, prompts, out), progress=False)
    names = ["a_1.mid", "a_2.mid", "b_1.mid", "b_2.mid", "deep/a_1.mid", "deep/a_2.mid"]
    assert [path.relative_to(out).as_posix() for path in paths] == names
    assert sorted(contents(out)) == sorted([*names, "manifest.jsonl"])
    for path in paths:
        assert symusic.Score(path).note_num() > 8
    entries = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert [entry["file"] for entry in entries] == names
    assert entries[1]["variation"] == 2
    assert entries[1]["request"]["seed"] == 1
    assert len(entries[1]["request"]["weights"]) == 64
    assert entries[1]["prompt"].endswith("a.MID")
    assert entries[1]["new_from_second"] > 0


def test_outputs_of_a_single_prompt_and_without_prompts_are_named(weights: Path, prompts: Path, tmp_path: Path) -> None:
    (path, _) = generate(config(weights, prompts / "b.mid", tmp_path / "one"), progress=False)
    assert path == tmp_path / "one" / "b_1.mid"
    paths = generate(config(weights, None, tmp_path / "new"), progress=False)
    assert [path.name for path in paths] == ["piece_1.mid", "piece_2.mid"]


def test_an_interrupted_run_resumes_to_the_same_files(
    weights: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    generate(config(weights, prompts, whole), progress=False)
    write = runner.write_atomically
    for num_lives in (0, 1, 3, 2):
        lives = [None] * num_lives

        def dying_write(path: Path, data: bytes, lives: list[None] = lives) -> None:
            if not lives:
                raise KeyboardInterrupt
            lives.pop()
            write(path, data)

        monkeypatch.setattr(runner, "write_atomically", dying_write)
        with pytest.raises(KeyboardInterrupt):
            generate(config(weights, prompts, parts), progress=False)
        assert set(contents(parts)) <= set(contents(whole))
    monkeypatch.setattr(runner, "write_atomically", write)
    with (parts / "manifest.jsonl").open("a") as manifest:
        manifest.write('{"file": "cut of')  # as if killed in the middle of a line
    (parts / "deep").mkdir(exist_ok=True)
    (parts / "deep" / ".a_1.mid.x8_z.tmp").write_bytes(b"MThd")  # and in the middle of a file
    generate(config(weights, prompts, parts), progress=False)
    ours, theirs = contents(parts), contents(whole)
    del ours["manifest.jsonl"], theirs["manifest.jsonl"]
    assert ours == theirs
    generate(config(weights, prompts / "b.mid", parts, seed=9), progress=False)
    assert '"seed": 9' in (parts / "manifest.jsonl").read_text().splitlines()[-1]


def test_wrong_settings_are_refused_before_anything_is_written(weights: Path, prompts: Path, tmp_path: Path) -> None:
    out, empty = tmp_path / "out", tmp_path / "empty"
    empty.mkdir()
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    for settings, text in [
        ({"length": "soon"}, "length"),
        ({"prompts": str(tmp_path / "nowhere")}, "does not exist"),
        ({"prompts": str(empty)}, "no music file"),
        ({"output": str(blocked / "out")}, "nothing can be written"),
        ({"output": str(prompts)}, "must not be the folder of the prompts"),
        ({"variations": 0}, "variations"),
        ({"variations": 65}, "variations"),
        ({"seeds": [1, 1]}, "seeds"),
        ({"data": str(tmp_path / "nowhere")}, "holds no prepared data"),
        ({"checkpoint": str(tmp_path / "nowhere")}, "no checkpoint"),
        ({"device": "cuda:77"}, "device"),
    ]:
        with pytest.raises(UserError, match=text):
            generate(replace(config(weights, prompts, out), **settings), progress=False)
    assert not list(out.rglob("*.mid"))
