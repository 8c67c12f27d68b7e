"""Several corpora in one store: splits by group, near-duplicates across corpora, and messages about missing folders."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import symusic

from helpers.scores import random_score
from music_reformer.cli import compose_config
from music_reformer.config import CorpusConfig, MemberConfig, PrepareConfig
from music_reformer.data.corpora.collection import corpus_files, files_behind, member_of, read_groups, split_of
from music_reformer.data.corpora.corpus_manifest import CorpusManifest, read_manifest
from music_reformer.data.prepare.command import prepare
from music_reformer.errors import UserError
from music_reformer.midi.score import write_score

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def manifests(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Manifests of made-up corpora, beside those of the package."""
    folder = tmp_path_factory.mktemp("manifests")
    (folder / "first").write_text("name: first\n")
    (folder / "second").write_text("name: second\nonly_training: early_.*\n")
    from music_reformer.data.corpora import corpus_manifest

    real = corpus_manifest.manifest_path
    monkeypatch.setattr(
        corpus_manifest, "manifest_path", lambda name: folder / name if (folder / name).is_file() else real(name)
    )


def group_in(split: str) -> str:
    return next(name for name in map(str, range(1000)) if split_of(name) == split)


def collection(root: Path, **changes: object) -> CorpusConfig:
    members = {"first": MemberConfig(folder="1"), "second": MemberConfig(folder="deep/2")}
    return replace(CorpusConfig(name="both", path=str(root), groups="groups.csv", members=members), **changes)


def write_corpora(root: Path, groups: dict[tuple[str, str], str], scores: dict[str, symusic.Score]) -> None:
    for place, score in scores.items():
        write_score(score, root / place)
    with (root / "groups.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["corpus", "file", "group_id"])
        writer.writerows([corpus, name, group] for (corpus, name), group in groups.items())


def test_the_rule_of_splits_never_changes() -> None:
    """Published weights are tested on these groups; with another rule, they would have been trained on test pieces."""
    splits = Counter(split_of(f"g{number:05d}") for number in range(6000))
    assert splits["test"] / 6000 == pytest.approx(1 / 12, abs=0.01)
    assert splits["validation"] / 6000 == pytest.approx(1 / 12, abs=0.01)
    for group in ("g00000", "g00111", "simutrans/15-The-Wayside-Blues.mid"):
        share = int(hashlib.sha256(group.encode()).hexdigest(), 16) % 12
        assert split_of(group) == ("test" if share == 0 else "validation" if share == 1 else "train")
    assert split_of("simutrans/15-The-Wayside-Blues.mid") == "test"


def test_groups_decide_across_corpora(tmp_path: Path) -> None:
    test, train = group_in("test"), group_in("train")
    groups = {
        ("first", "a.mid"): test,
        ("second", "b.mid"): test,
        ("second", "c.mid"): train,
        ("second", "early_c.mid"): group_in("validation"),
    }
    places = ("1/a.mid", "1/alone.mid", "deep/2/b.mid", "deep/2/c.mid", "deep/2/early_c.mid")
    write_corpora(tmp_path, groups, {place: random_score(1) for place in places})
    config = collection(tmp_path)
    found = {file.source: (file.composition, file.split) for file in corpus_files(config, CorpusManifest())}
    assert found == {
        "1/a.mid": (test, "test"),
        "1/alone.mid": ("first/alone.mid", split_of("first/alone.mid")),
        "deep/2/b.mid": (test, "test"),
        "deep/2/c.mid": (train, "train"),
        "deep/2/early_c.mid": (group_in("validation"), "train"),
    }
    assert member_of(config, "deep/2/b.mid")[0] == "second"
    assert files_behind(config, "1/a.mid") == ["1/a.mid"]
    without = collection(tmp_path, without=["first"])
    assert {file.source for file in corpus_files(without, CorpusManifest())} == set(places[2:])


def test_near_duplicates_in_two_corpora_are_kept_once(tmp_path: Path) -> None:
    twice, own = random_score(1, num_notes=300, drums=False), random_score(2, num_notes=300, drums=False)
    moved = twice.shift_pitch(1)
    train = group_in("train")
    names = [("first", "z.mid"), ("second", "a.mid"), ("second", "b.mid"), ("second", "own.mid")]
    write_corpora(
        tmp_path / "in",
        dict.fromkeys(names, train),
        {"1/z.mid": twice, "deep/2/a.mid": moved, "deep/2/b.mid": twice.shift_pitch(-1), "deep/2/own.mid": own},
    )
    config = PrepareConfig(output=str(tmp_path / "out"), corpus=collection(tmp_path / "in"), workers=1)
    store = prepare(config, progress=False)
    assert [(piece.source, piece.corpus) for piece in store.pieces] == [
        ("1/z.mid", "first"),
        ("deep/2/own.mid", "second"),
    ]
    skipped = [json.loads(line) for line in (store.path / "skipped.jsonl").read_text().splitlines()]
    assert {entry["source"]: entry["kind"] for entry in skipped} == {
        "deep/2/a.mid": "near-duplicate",
        "deep/2/b.mid": "near-duplicate",
    }
    assert {
        name: (found["pieces"], found.get("near-duplicate", 0)) for name, found in store.info["corpora"].items()
    } == {
        "first": (1, 0),
        "second": (1, 2),
    }
    assert store.info["mixture"] == {"power": 0.5, "weights": {}}
    assert store.split("train").corpora == ("first", "second")


def test_a_missing_folder_or_table_is_one_sentence(tmp_path: Path) -> None:
    config = collection(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"nowhere\) is not a folder; name the folder that holds all corpora"):
        list(corpus_files(replace(config, groups=None), CorpusManifest()))
    (tmp_path / "1").mkdir()
    with pytest.raises(UserError, match=r"table of groups .*groups\.csv cannot be used"):
        list(corpus_files(collection(tmp_path), CorpusManifest()))
    with pytest.raises(UserError, match=r"deep/2, does not exist; docs/corpora\.md.*corpus\.without=\[second\]"):
        list(corpus_files(collection(tmp_path, groups=None), CorpusManifest()))


def test_the_prompts_of_benchmarks_are_never_trained_on(corpora: Path) -> None:
    if not (corpora / "open" / "groups.csv").is_file():
        pytest.skip("the open corpora are not at hand")
    config = compose_config("prepare", ["corpus=open", f"corpus.path={corpora}", "output=out"]).corpus
    present = [name for name, member in config.members.items() if (corpora / member.folder).is_dir()]
    config = replace(config, without=[name for name in config.members if name not in present])
    split = {
        part: file.split
        for file in corpus_files(config, read_manifest("open"))
        for part in files_behind(config, file.source)
    }
    with (REPOSITORY / "benchmarks" / "usable_prompts.csv").open(newline="") as file:
        prompts = [row["file"] for row in csv.DictReader(file)]
    held_out = [prompt for prompt in prompts if not prompt.startswith("asap/")]
    assert len(held_out) >= 50
    assert {prompt: split[prompt] for prompt in held_out if split[prompt] == "train"} == {}
    groups = read_groups(config)
    assert groups == read_groups(replace(config, groups="open/groups.csv"))
    splits: dict[str, set[str]] = {}
    for part, its in split.items():
        name, member = member_of(config, part)
        relative = part.removeprefix(f"{getattr(member, 'folder', '')}/")
        if (name, relative) in groups and not relative.startswith("hist_"):
            splits.setdefault(groups[name, relative], set()).add(its)
    assert all(len(each) == 1 for each in splits.values())
    assert not any(its != "train" for part, its in split.items() if "/hist_" in part)
