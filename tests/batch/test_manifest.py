"""The manifest lists finished files and failures, and locks out a second run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.batches import config, contents
from helpers.stand_in_model import full_score
from music_reformer.batch.generate import FailedPromptsError, generate
from music_reformer.batch.manifest import Manifest
from music_reformer.batch.runner import Runner
from music_reformer.config import SamplingConfig
from music_reformer.errors import UserError


def test_a_repeated_run_keeps_all_files(
    weights: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    first = generate(config(weights, prompts, out), progress=False)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    monkeypatch.setattr(Runner, "load", None)  # composing would fail
    assert generate(config(weights, prompts, out), progress=False) == first
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"length": "2bars"},
        {"sampling": SamplingConfig(temperature=0.5)},
        {"rounds": 3},
        {"variations": 3},
        {"cut_bar": 1},
    ],
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


def test_a_bad_prompt_is_noted_in_one_line(
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
    written = (out / "manifest.jsonl").read_text()
    failures = [entry for line in written.splitlines() if "error" in (entry := json.loads(line))]
    assert [entry["prompt"] for entry in failures] == [str(prompts / "aa.mid")]
    assert failures[0]["error"] in lines[0]
    # It is not tried again, and still told of.
    with pytest.raises(FailedPromptsError, match="1 of 4 prompts"):
        generate(config(weights, prompts, out), progress=False)
    assert (out / "manifest.jsonl").read_text() == written
    assert capsys.readouterr().err.splitlines() == lines
    # A prompt that has been mended is another prompt; other seeds of a bad one cost no lines of their own.
    with pytest.raises(FailedPromptsError, match="1 of 4 prompts"):
        generate(config(weights, prompts, tmp_path / "seeds", seeds=[3, 4]), progress=False)
    assert (tmp_path / "seeds" / "manifest.jsonl").read_text().count('"error"') == 1
    full_score(bars=2).dump_midi(prompts / "aa.mid")
    assert len(generate(config(weights, prompts, out), progress=False)) == 8


def test_two_runs_do_not_write_to_one_folder(weights: Path, prompts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(config(weights, prompts / "b.mid", out), progress=False)
    manifest = Manifest(out / "manifest.jsonl", defaults={})
    with pytest.raises(UserError, match="another run is writing"):
        generate(config(weights, prompts / "b.mid", out), progress=False)
    manifest.close()
    generate(config(weights, prompts / "b.mid", out), progress=False)


def test_temporary_failures_are_retried(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "manifest.jsonl", defaults={})
    manifest.add_failure("b.mid", {"seed": 1}, "died", again=True)
    assert manifest.failure("b.mid", {"seed": 1}) is None
    manifest.add_failure("b.mid", {"seed": 1}, "is no music", again=False)
    assert manifest.failure("b.mid", {"seed": 2}) == "is no music"
    assert manifest.failure("b.mid", {"seed": 2, "length": "1bars"}) is None


def test_a_setting_that_an_older_manifest_lacks_has_its_default(
    weights: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    first = generate(config(weights, prompts / "b.mid", out), progress=False)
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    for line in lines:
        del line["request"]["key"], line["request"]["sampling"]["most_at_once"]
    (out / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    before = {path: path.stat().st_mtime_ns for path in first}
    with monkeypatch.context() as patch:
        patch.setattr(Runner, "load", None)  # composing would fail
        assert generate(config(weights, prompts / "b.mid", out), progress=False) == first
    assert {path: path.stat().st_mtime_ns for path in first} == before
    generate(config(weights, prompts / "b.mid", out, key="Eb major"), progress=False)
    assert {path: path.stat().st_mtime_ns for path in first} != before
