from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from helpers.commands import REQUIRED
from helpers.small_store import write_store
from music_reformer import config as settings
from music_reformer.cli import VERBS, compose_config, conf_folder, conf_of
from music_reformer.config import Checked
from music_reformer.errors import UserError
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.model.reformer import ReformerLM


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_composes_to_its_dataclass(verb: str) -> None:
    assert type(compose_config(verb, REQUIRED[verb])) is VERBS[verb].schema


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_shipped_is_left_out_of_the_schema(verb: str) -> None:
    assert (conf_folder() / f"{conf_of(verb)}.yaml").is_file()
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

    store = write_store(tmp_path, num_pieces=6)
    for name in choices(group):
        config = compose_config("train", ["data=in", f"{group}={name}"])
        config.check()
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
        ("model.window=1", r"model.window \(1\) must be 2 to 65,536; a token needs one other to attend to"),
        ("model.num_buckets=[7]", "must be even"),
        ("model.attention=[lsh,sparse]", r"model.attention \('sparse'\) must be one of"),
        ("model.num_rounds=9", "must be 1 to model.max_rounds"),
    ],
)
def test_dataclasses_check_themselves(override: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        compose_config("train", ["data=in", override])


def numeric_fields() -> Iterator[tuple[type, dataclasses.Field]]:
    """Every field of every settings dataclass that is a number, or holds numbers."""
    named = {kind for kind in vars(settings).values() if isinstance(kind, type) and issubclass(kind, Checked)}
    for schema in sorted(named | {verb.schema for verb in VERBS.values()}, key=lambda schema: schema.__name__):
        for field in dataclasses.fields(schema) if dataclasses.is_dataclass(schema) else ():
            if {"int", "float"} & set(re.findall(r"\w+", str(field.type))):
                yield schema, field


def with_number(field: dataclasses.Field, number: float) -> object:
    """A value of the field's type that holds `number`."""
    kind = str(field.type)
    if kind.startswith("dict[int, list"):
        return {4: [number]}
    if kind.startswith("dict"):
        return {("0_4" if "str" in kind else 0): number}
    if kind.startswith("list[list"):
        return [[number] * 3]
    if kind.startswith("list"):
        return [number] * max(1, field.metadata["bounds"].size[0])
    return number


def test_every_number_has_bounds() -> None:
    """And each of them is kept."""
    found = list(numeric_fields())
    assert len(found) > 80
    for schema, field in found:
        bounds = field.metadata.get("bounds")
        assert bounds is not None, f"{schema.__name__}.{field.name} is a number without bounds"
        for number in (bounds.low - 1, bounds.high + 1):
            with pytest.raises(UserError, match=rf"^{re.escape(schema.prefix + field.name)} \(.*\) must be ") as raised:
                schema(**{field.name: with_number(field, number)})
            assert str(bounds) in str(raised.value)
        for weird in (float("nan"), float("inf"), -float("inf"), "3", True, None, [[]], {}, 10**5000):
            if (weird is None and "None" in str(field.type)) or (weird == {} and str(field.type).startswith("dict")):
                continue
            with pytest.raises(UserError, match=f"^{re.escape(schema.prefix + field.name)}"):
                schema(**{field.name: weird})


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("optimizer.learning_rate=-1", r"optimizer.learning_rate \(-1\) must be above 0 and at most 10"),
        ("optimizer.weight_decay=-1", r"optimizer.weight_decay \(-1\) must be 0 to 10"),
        ("trainer.threads=-1", r"trainer.threads \(-1\) must be 0 to 4,096; 0 leaves it to torch"),
        ("trainer.loader_workers=-1", r"trainer.loader_workers \(-1\) must be 0 to 4,096"),
        ("optimizer.momentum=2", r"optimizer.momentum \(2\) must be at least 0 and below 1"),
        ("optimizer.clip_norm=-1", r"optimizer.clip_norm \(-1\) must be 0 to 1,000,000; 0 means off"),
        ("optimizer.warmup_steps=-3", r"optimizer.warmup_steps \(-3\) must be 0 to"),
        ("optimizer.final_fraction=-1", r"optimizer.final_fraction \(-1\) must be 0 to 1"),
        ("trainer.max_hours=-1", r"trainer.max_hours \(-1\) must be above 0"),
        ("seed=-1", r"seed \(-1\) must be 0 to"),
        (
            "trainer.row_tokens=4000000",
            r"trainer.row_tokens \(4000000\) must be at most 131072, the number of positions of the model",
        ),
        ("trainer.strategy=deepspeed", "use fsdp"),
        ("trainer.precision=16", r"trainer.precision \('16'\) must be one of auto, 32-true, bf16-mixed"),
    ],
)
def test_a_number_out_of_bounds_is_refused(override: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        compose_config("train", ["data=in", override])


def test_bars_to_compose_anew_must_rise() -> None:
    with pytest.raises(UserError, match=r"until_bar \(2\) must be above cut_bar \(4\)"):
        compose_config("generate", ["output=out", "cut_bar=4", "until_bar=2"])


def test_a_path_must_not_be_empty() -> None:
    for verb, required in REQUIRED.items():
        for field in dataclasses.fields(VERBS[verb].schema):
            if field.metadata.get("location"):
                with pytest.raises(UserError, match=f"^{field.name} is empty; name a path"):
                    compose_config(
                        verb, [*(r for r in required if not r.startswith(f"{field.name}=")), f"{field.name}="]
                    )
