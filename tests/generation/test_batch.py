"""Folders of prompts to folders of files: resumable, atomic, one bad prompt costs one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import symusic
from stand_in import full_score

from music_reformer.config import GenerateConfig, ModelConfig, SamplingConfig, TokenizerConfig
from music_reformer.errors import UserError
from music_reformer.generation import batch
from music_reformer.generation.batch import FailedPromptsError, generate
from music_reformer.generation.generator import Session
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.model.reformer import ReformerLM
from music_reformer.model.weights import save_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = MusicTokenizer(TokenizerConfig())
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size,
        width=16,
        num_layers=2,
        num_heads=1,
        head_width=16,
        feed_forward_width=16,
        window=8,
        num_buckets=4,
    )
    folder = tmp_path_factory.mktemp("weights")
    save_weights(folder, ReformerLM(config), tokenizer.to_json(), {})
    return folder


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    folder = tmp_path / "prompts"
    (folder / "deep").mkdir(parents=True)
    full_score(bars=2).dump_midi(folder / "b.mid")
    full_score(bars=3).dump_midi(folder / "a.MID")
    full_score(bars=3, metre=(4, 4)).dump_midi(folder / "deep" / "a.midi")
    (folder / "notes.txt").write_text("no music")
    return folder


def config(weights: Path, prompts: Path | None, output: Path, **settings: object) -> GenerateConfig:
    return GenerateConfig(
        **{
            "checkpoint": str(weights),
            "prompts": str(prompts) if prompts is not None else None,
            "output": str(output),
            "variations": 2,
            "length": "1bars",
            "device": "cpu",
            **settings,
        }
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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


def test_a_single_file_and_nothing_at_all(weights: Path, prompts: Path, tmp_path: Path) -> None:
    (path, _) = generate(config(weights, prompts / "b.mid", tmp_path / "one"), progress=False)
    assert path == tmp_path / "one" / "b_1.mid"
    paths = generate(config(weights, None, tmp_path / "new"), progress=False)
    assert [path.name for path in paths] == ["piece_1.mid", "piece_2.mid"]


def test_doing_it_again_does_nothing(
    weights: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    first = generate(config(weights, prompts, out), progress=False)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    monkeypatch.setattr(batch, "_start", None)  # composing would fail
    assert generate(config(weights, prompts, out), progress=False) == first
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


@pytest.mark.parametrize(
    "change",
    [{"seed": 2}, {"length": "2bars"}, {"sampling": SamplingConfig(temperature=0.5)}, {"rounds": 3}, {"variations": 3}],
    ids=str,
)
def test_another_request_is_composed_anew(
    weights: Path, prompts: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    out = tmp_path / "out"
    generate(config(weights, prompts / "b.mid", out), progress=False)
    before = contents(out)["manifest.jsonl"]
    generate(config(weights, prompts / "b.mid", out, **change), progress=False)
    assert contents(out)["manifest.jsonl"] != before
    fresh = tmp_path / "fresh"
    generate(config(weights, prompts / "b.mid", fresh, **change), progress=False)
    assert contents(out)["b_1.mid"] == contents(fresh)["b_1.mid"]


def test_interrupted_and_started_again_gives_the_same_files(
    weights: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    generate(config(weights, prompts, whole), progress=False)
    write = batch.write_score
    for num_lives in (0, 1, 3, 2):
        lives = [None] * num_lives

        def dying_write(score: symusic.Score, path: Path, lives: list[None] = lives) -> None:
            if not lives:
                raise KeyboardInterrupt
            lives.pop()
            write(score, path)

        monkeypatch.setattr(batch, "write_score", dying_write)
        with pytest.raises(KeyboardInterrupt):
            generate(config(weights, prompts, parts), progress=False)
        assert set(contents(parts)) <= set(contents(whole))
    monkeypatch.setattr(batch, "write_score", write)
    with (parts / "manifest.jsonl").open("a") as manifest:
        manifest.write('{"file": "cut of')  # as if killed in the middle of a line
    generate(config(weights, prompts, parts), progress=False)
    ours, theirs = contents(parts), contents(whole)
    del ours["manifest.jsonl"], theirs["manifest.jsonl"]
    assert ours == theirs
    generate(config(weights, prompts / "b.mid", parts, seed=9), progress=False)
    assert '"seed": 9' in (parts / "manifest.jsonl").read_text().splitlines()[-1]


def test_one_bad_prompt_costs_one_line(
    weights: Path, prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (prompts / "aa.mid").write_bytes(b"MThd and then nonsense")
    out = tmp_path / "out"
    with pytest.raises(FailedPromptsError, match="1 of 4 prompts"):
        generate(config(weights, prompts, out), progress=False)
    assert len(contents(out)) == 7
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "aa.mid" in lines[0]


def test_what_is_wrong_is_said_before_anything_is_written(weights: Path, prompts: Path, tmp_path: Path) -> None:
    out, empty = tmp_path / "out", tmp_path / "empty"
    empty.mkdir()
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    for settings, text in [
        ({"length": "soon"}, "length"),
        ({"prompts": str(tmp_path / "nowhere")}, "no prompts at"),
        ({"prompts": str(empty)}, "no MIDI file"),
        ({"output": str(blocked / "out")}, "nothing can be written"),
        ({"output": str(prompts)}, "another folder"),
        ({"variations": 0}, "variations"),
        ({"checkpoint": str(tmp_path / "nowhere")}, "no checkpoint"),
        ({"device": "cuda:77"}, "device"),
    ]:
        with pytest.raises(UserError, match=text):
            generate(replace(config(weights, prompts, out), **settings), progress=False)
    assert not list(out.rglob("*.mid"))


def test_outputs_among_the_prompts_are_no_prompts(weights: Path, prompts: Path) -> None:
    out = prompts / "out"
    first = generate(config(weights, prompts, out), progress=False)
    assert generate(config(weights, prompts, out), progress=False) == first


def test_two_prompts_of_one_name_do_not_write_one_file(weights: Path, prompts: Path, tmp_path: Path) -> None:
    full_score(bars=2).dump_midi(prompts / "b.midi")
    paths = generate(config(weights, prompts, tmp_path / "out"), progress=False)
    assert len(set(paths)) == len(paths) == 8


def test_progress_tells_rate_and_time_left(
    weights: Path, prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate(config(weights, prompts, tmp_path / "out"), progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "3/3" in lines[2]
    assert "tokens/s" in lines[2]
    generate(config(weights, prompts, tmp_path / "out"), progress=True)
    assert "3 of 3 prompts were done before" in capsys.readouterr().err


def test_a_failure_of_ours_is_not_swallowed(
    weights: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Session) -> None:
        raise RuntimeError("defect")

    monkeypatch.setattr(Session, "_run", broken)
    with pytest.raises(RuntimeError, match="defect"):
        generate(config(weights, prompts, tmp_path / "out"), progress=False)
