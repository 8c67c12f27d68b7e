"""Folders of prompts to folders of files: resumable, atomic, one bad prompt costs one line."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import mido
import numpy as np
import pytest
import symusic

from helpers.dying_workers import die_of_b
from helpers.small_store import write_store
from helpers.stand_in_model import full_score
from music_reformer.batch import runner as composer
from music_reformer.batch.generate import FailedPromptsError, generate
from music_reformer.batch.jobs import find_jobs
from music_reformer.batch.manifest import Manifest
from music_reformer.batch.runner import Composer
from music_reformer.batch.settings import GenerateConfig
from music_reformer.batch.workers import compose_all, parcels_of
from music_reformer.config import ModelConfig, SamplingConfig, TokenizerConfig
from music_reformer.data.store import VERSION, TokenStore
from music_reformer.errors import UserError
from music_reformer.evaluation.copies import TrainingSet
from music_reformer.evaluation.musical import pitch_range
from music_reformer.evaluation.notes import Notes
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
    monkeypatch.setattr(Composer, "compose", None)  # composing would fail
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


def test_text_of_the_prompt_survives(weights: Path, tmp_path: Path) -> None:
    full_score(bars=2).dump_midi(tmp_path / "a.mid")
    file = mido.MidiFile(tmp_path / "a.mid")
    file.tracks[0].insert(0, mido.MetaMessage("text", text="for Clara"))
    file.save(tmp_path / "a.mid")
    (written,) = generate(config(weights, tmp_path / "a.mid", tmp_path / "out", variations=1), progress=False)
    assert any(message.type == "text" and message.text == "for Clara" for message in mido.MidiFile(written).tracks[0])
    assert json.loads((tmp_path / "out" / "manifest.jsonl").read_text())["lossy"] is False


def test_interrupted_and_started_again_gives_the_same_files(
    weights: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    generate(config(weights, prompts, whole), progress=False)
    write = composer.write_atomically
    for num_lives in (0, 1, 3, 2):
        lives = [None] * num_lives

        def dying_write(path: Path, data: bytes, lives: list[None] = lives) -> None:
            if not lives:
                raise KeyboardInterrupt
            lives.pop()
            write(path, data)

        monkeypatch.setattr(composer, "write_atomically", dying_write)
        with pytest.raises(KeyboardInterrupt):
            generate(config(weights, prompts, parts), progress=False)
        assert set(contents(parts)) <= set(contents(whole))
    monkeypatch.setattr(composer, "write_atomically", write)
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


def test_seeds_are_files_of_their_own(weights: Path, prompts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    paths = generate(config(weights, prompts / "b.mid", out, seeds=[7, 1]), progress=False)
    assert [path.name for path in paths] == ["b_seed7_1.mid", "b_seed7_2.mid", "b_seed1_1.mid", "b_seed1_2.mid"]
    assert len({path.read_bytes() for path in paths}) == 4
    alone = generate(config(weights, prompts / "b.mid", tmp_path / "alone", seed=7), progress=False)
    assert [path.read_bytes() for path in alone] == [path.read_bytes() for path in paths[:2]]
    # More seeds leave the files that are there as they are.
    before = {path: path.stat().st_mtime_ns for path in paths}
    generate(config(weights, prompts / "b.mid", out, seeds=[1, 7, 9]), progress=False)
    assert {path: path.stat().st_mtime_ns for path in paths} == before
    assert (out / "b_seed9_2.mid").is_file()


def test_the_manifest_judges_what_was_composed(weights: Path, prompts: Path, tmp_path: Path) -> None:
    # The training set is the prompt itself: a search through the whole file would find all of it.
    score = full_score(bars=8)
    store = write_store(tmp_path / "store", num_pieces=1, num_validation=0)
    tokens = np.array([1, *store.tokenizer.encode(score), 2], dtype=np.uint16)
    (tmp_path / "store" / "tokens.bin").write_bytes(tokens.tobytes())
    piece = json.loads((tmp_path / "store" / "index.jsonl").read_text())
    (tmp_path / "store" / "index.jsonl").write_text(json.dumps({**piece, "length": len(tokens)}) + "\n")
    (tmp_path / "store" / "store.json").write_text(json.dumps({"version": VERSION, "num_tokens": len(tokens)}))
    score.dump_midi(prompts / "b.mid")
    out = tmp_path / "out"
    data = str(tmp_path / "store")
    paths = generate(config(weights, prompts / "b.mid", out, data=data, length="4bars"), progress=False)
    for path, line in zip(paths, (out / "manifest.jsonl").read_text().splitlines(), strict=True):
        entry = json.loads(line, parse_constant=lambda name: pytest.fail(name))
        notes = Notes.of(symusic.Score(path))
        new = notes.between(entry["new_from_second"], math.inf)
        assert entry["new_notes"] == len(new) > 0
        assert entry["statistics"]["pitch_range"] == pitch_range(new)
        assert entry["compose_seconds"] > 0
        assert 1 <= entry["originality"]["all_notes"]["notes"] < 20
        whole = TrainingSet.of(TokenStore.open(data)).copies(notes)["all_notes"]
        assert whole["notes"] > 20  # which the prompt is, and which is no news
        assert whole["source"] == "0.mid"


def test_several_processes_write_the_same_files(weights: Path, prompts: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    (prompts / "aa.mid").write_bytes(b"MThd and then nonsense")
    for out, workers in ((one, 1), (two, 2)):
        with pytest.raises(FailedPromptsError, match="1 of 4 prompts"):
            generate(config(weights, prompts, out, workers=workers, seeds=[1, 2]), progress=False)
    ours, theirs = contents(two), contents(one)
    entries = [
        sorted((json.loads(line) for line in found.pop("manifest.jsonl").splitlines()), key=str)
        for found in (ours, theirs)
    ]
    for entry in entries[0] + entries[1]:
        entry.pop("compose_seconds", None)
    assert sorted(entries[0], key=str) == sorted(entries[1], key=str)
    assert ours == theirs
    assert len(ours) == 12


@pytest.mark.parametrize(("rows", "workers"), [(3, 1), (5, 1), (64, 2)])
def test_composed_together_files_are_the_same(
    weights: Path, prompts: Path, tmp_path: Path, rows: int, workers: int
) -> None:
    """Rows that round otherwise could differ; that they do not here is luck of one in some hundred thousands."""
    (prompts / "aa.mid").write_bytes(b"MThd and then nonsense")
    one, together = tmp_path / "one", tmp_path / "together"
    for out, settings in ((one, {}), (together, {"rows": rows, "workers": workers})):
        with pytest.raises(FailedPromptsError, match="1 of 4 prompts"):
            generate(config(weights, prompts, out, seeds=[1, 2], length="3bars", **settings), progress=False)
    ours, theirs = contents(together), contents(one)
    manifests = [found.pop("manifest.jsonl") for found in (ours, theirs)]
    assert ours == theirs
    assert len(ours) == 12
    files = [sorted(json.loads(line).get("file", "") for line in text.splitlines()) for text in manifests]
    assert files[0] == files[1]
    generate_again = config(weights, prompts / "b.mid", together, rows=rows, seeds=[1, 2], length="3bars")
    before = (together / "b_seed1_1.mid").stat().st_mtime_ns
    generate(generate_again, progress=False)
    assert (together / "b_seed1_1.mid").stat().st_mtime_ns == before


@pytest.mark.usefixtures("ray_installed")
@pytest.mark.slow
@pytest.mark.timeout(1800)  # Ray takes minutes to start where others keep all cores busy
@pytest.mark.parametrize("rows", [0, 5])
def test_two_workers_of_ray_write_the_same_files(
    weights: Path, prompts: Path, tmp_path: Path, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (prompts / "aa.mid").write_bytes(b"MThd and then nonsense")
    one, two = Path("one"), Path("two")
    for out, settings in ((one, {}), (two, {"engine": "ray", "workers": 2, "rows": rows})):
        with pytest.raises(FailedPromptsError, match="1 of 4 prompts"):
            generate(config(weights, Path("prompts"), out, seeds=[1, 2], **settings), progress=False)
    ours, theirs = contents(two), contents(one)
    for found in (ours, theirs):
        del found["manifest.jsonl"]
    assert ours == theirs
    assert len(ours) == 12


def test_where_ray_is_missing_it_is_named(
    weights: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"engine=ray needs Ray: pip install 'music-reformer\[ray\]'"):
        generate(config(weights, prompts, tmp_path / "out", engine="ray"), progress=False)


@pytest.mark.parametrize(
    ("rows", "workers", "sizes"), [(0, 2, [1] * 5), (4, 1, [5]), (4, 2, [3, 2]), (1, 2, [2, 2, 1]), (64, 8, [1] * 5)]
)
def test_parcels_keep_all_workers_busy(tmp_path: Path, rows: int, workers: int, sizes: list[int]) -> None:
    jobs = find_jobs(None, tmp_path, variations=2, seed=1, seeds=[1, 2, 3, 4, 5])
    parcels = parcels_of(jobs, config(tmp_path, None, tmp_path, rows=rows), workers=workers)
    assert [len(parcel) for parcel in parcels] == sizes
    assert [job for parcel in parcels for job in parcel] == jobs


def test_a_process_that_dies_costs_its_own_job(weights: Path, prompts: Path, tmp_path: Path) -> None:
    settings = config(weights, prompts, tmp_path / "out")
    jobs = find_jobs(str(prompts), tmp_path / "out", variations=2, seed=1, seeds=[])
    outcomes = {job.name: outcome for job, outcome in compose_all(jobs, settings, workers=1, compose=die_of_b)}
    assert len(outcomes) == 3
    assert "died" in str(outcomes["b.mid"].error)
    assert outcomes["b.mid"].again
    assert outcomes["a.MID"].error is None
    manifest = Manifest(tmp_path / "manifest.jsonl")
    manifest.add_failure("b.mid", {"seed": 1}, "died", again=True)
    assert manifest.failure("b.mid", {"seed": 1}) is None
    manifest.add_failure("b.mid", {"seed": 1}, "is no music", again=False)
    assert manifest.failure("b.mid", {"seed": 2}) == "is no music"
    assert manifest.failure("b.mid", {"seed": 2, "length": "1bars"}) is None


def test_two_runs_do_not_write_to_one_folder(weights: Path, prompts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(config(weights, prompts / "b.mid", out), progress=False)
    manifest = Manifest(out / "manifest.jsonl")
    with pytest.raises(UserError, match="another run is writing"):
        generate(config(weights, prompts / "b.mid", out), progress=False)
    manifest.close()
    generate(config(weights, prompts / "b.mid", out), progress=False)


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
        ({"variations": 65}, "variations"),
        ({"seeds": [1, 1]}, "seeds"),
        ({"data": str(tmp_path / "nowhere")}, "holds no prepared data"),
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
    assert len(lines) == 4
    assert "3/3" in lines[2]
    assert "tokens/s" in lines[2]
    assert lines[3].startswith("6 files, ")
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
