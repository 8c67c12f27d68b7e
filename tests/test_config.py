from __future__ import annotations

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from helpers.small_store import write_store
from music_reformer import config as settings
from music_reformer.cli import VERBS, compose_config, conf_folder
from music_reformer.errors import UserError
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.model.reformer import ReformerLM

REQUIRED = {
    "prepare": ["corpus.path=in", "output=out"],
    "train": ["data=in"],
    "finetune": ["files=in", "output=out"],
    "evaluate": ["checkpoint=in", "data=in"],
    "generate": ["output=out"],
}


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_composes_to_its_dataclass(verb: str) -> None:
    assert type(compose_config(verb, REQUIRED[verb])) is VERBS[verb].schema


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_shipped_is_left_out_of_the_schema(verb: str) -> None:
    assert (conf_folder() / f"{verb}.yaml").is_file()
    shown = OmegaConf.create(compose_config(verb, [], show=True))
    assert set(shown) == set(settings.to_plain(VERBS[verb].schema()))


@pytest.mark.parametrize("name", choices("model"))
def test_each_model_builds(name: str) -> None:
    config = compose_config("train", ["data=in", f"model={name}", "model.vocab_size=500"])
    with torch.device("meta"):
        model = ReformerLM(config.model)
    assert sum(parameter.numel() for parameter in model.parameters()) > 100_000
    assert config.model.max_length >= 100_000  # Whole pieces: the longest of ASAP has 73,000 tokens.


@pytest.mark.parametrize("name", choices("tokenizer"))
def test_each_tokenizer_builds(name: str) -> None:
    config = compose_config("prepare", [*REQUIRED["prepare"], f"tokenizer={name}"])
    assert MusicTokenizer(config.tokenizer).vocab_size > 300


@pytest.mark.parametrize("name", choices("corpus"))
def test_each_corpus_composes(name: str) -> None:
    config = compose_config("prepare", [*REQUIRED["prepare"], f"corpus={name}"])
    assert config.corpus.path == "in"
    if config.corpus.manifest is not None:
        assert (Path(__file__).parent.parent / "datasets" / "manifests").is_dir()


@pytest.mark.parametrize("name", choices("optimizer"))
def test_each_optimizer_composes(name: str) -> None:
    assert compose_config("train", ["data=in", f"optimizer={name}"]).optimizer.learning_rate > 0


@pytest.mark.parametrize("group", ["trainer", "experiment"])
def test_each_trainer_and_experiment_makes_batches(group: str, tmp_path: Path) -> None:
    from music_reformer.data.rows import TrainingBatches
    from music_reformer.training.run import check

    store = write_store(tmp_path, num_pieces=6)
    for name in choices(group):
        config = compose_config("train", ["data=in", f"{group}={name}"])
        check(config)
        batches = TrainingBatches(
            store=store,
            pieces=store.split("train"),
            row_tokens=config.trainer.row_tokens,
            rows_per_batch=config.trainer.rows_per_batch,
            max_length=config.model.max_length,
            augment=config.augment,
            seed=config.seed,
        )
        assert batches[0]["tokens"].shape == (config.trainer.rows_per_batch, config.trainer.row_tokens)


def test_the_configuration_of_a_checkout_is_that_of_the_wheel() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["package-dir"]["music_reformer.conf"] == "conf"
    assert {"*.yaml", "*/*.yaml"} <= set(project["tool"]["setuptools"]["package-data"]["music_reformer.conf"])


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("model.window=1", r"model.window \(1\) must be at least 2"),
        ("model.num_buckets=7", "must be even"),
        ("model.attention=[lsh,sparse]", r"model.attention \('sparse'\) must be one of"),
        ("model.num_rounds=9", "must be 1 to model.max_rounds"),
    ],
)
def test_dataclasses_check_themselves(override: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        compose_config("train", ["data=in", override])
