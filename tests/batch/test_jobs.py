"""Jobs: one for each prompt and seed, with distinct names of files."""

from __future__ import annotations

from pathlib import Path

from helpers.batches import config
from helpers.stand_in_model import full_score
from music_reformer.batch.generate import generate


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


def test_outputs_among_the_prompts_are_no_prompts(weights: Path, prompts: Path) -> None:
    out = prompts / "out"
    first = generate(config(weights, prompts, out), progress=False)
    assert generate(config(weights, prompts, out), progress=False) == first


def test_two_prompts_of_one_name_do_not_write_one_file(weights: Path, prompts: Path, tmp_path: Path) -> None:
    full_score(bars=2).dump_midi(prompts / "b.midi")
    paths = generate(config(weights, prompts, tmp_path / "out"), progress=False)
    assert len(set(paths)) == len(paths) == 8
