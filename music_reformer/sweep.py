"""`music-reformer sweep`: several training runs by Hydra's multirun, on this machine or, with a launcher, under SLURM.

    music-reformer sweep data=datasets/mine optimizer.learning_rate=1e-3,2e-3 model=tiny,small output=runs/rates

Settings are those of `music-reformer train`; comma-separated values give one training run for each combination. Each
run has a numbered folder in `output` (default `runs/sweep`), in the order of the combinations. Hydra's own settings
(`hydra/launcher=submitit_slurm`) are passed on; see docs/clusters.md.
"""

from __future__ import annotations

import itertools
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from music_reformer.cli import compose_config, conf_folder, literal_keys, plain_override
from music_reformer.config import TrainConfig, require
from music_reformer.errors import UserError, sentence_of

log = logging.getLogger(__name__)

FOLDER = "runs/sweep"
# A larger number is taken for a typing error, such as "seed=range(1000000)".
MAX_TRAININGS = 10_000


def sweep(overrides: Sequence[str], *, show: bool = False) -> int:
    """Run all training runs, or submit them to a launcher; all combinations are checked before the first begins.

    Args:
        overrides: as typed.
        show: only print the settings of each.

    Returns:
        The exit code.

    Raises:
        UserError: a combination of settings is not valid, or a training run failed (the others are still run).
    """
    of_hydra = [override for override in overrides if override.lstrip("+~").startswith("hydra")]
    ours = [override for override in overrides if override not in of_hydra]
    folder = next((override.removeprefix("output=") for override in ours if override.startswith("output=")), FOLDER)
    ours = [override for override in ours if not override.startswith("output=")]
    require(folder.strip() != "", "output is empty; name a folder for the trainings")
    trainings = combinations(ours)
    for number, training in enumerate(trainings):
        settings = compose_config("train", [*training, f"output={Path(folder) / str(number)}"], show=show)
        if show:
            sys.stdout.write(f"# {number}\n{settings}")
    if show:
        return 0
    ConfigStore.instance().store(name="train_schema", node=TrainConfig)
    arguments = ["music-reformer", "--multirun", *of_hydra, *(_for_hydra(override) for override in ours)]
    if not any(override.startswith("hydra.sweep.dir=") for override in of_hydra):
        arguments.append(plain_override("train", f"output={folder}").replace("output=", "hydra.sweep.dir=", 1))
    run = hydra.main(version_base="1.3", config_path=str(conf_folder().resolve()), config_name="train")(train_one)
    try:
        with _as_typed(arguments):
            run()
    except HydraException as error:  # a launcher that is not installed, say
        raise UserError(str(error).splitlines()[0].rstrip(".")) from error
    return 0


def combinations(overrides: Sequence[str]) -> list[list[str]]:
    """The settings of each training, in Hydra's order.

    Raises:
        UserError: an override cannot be read, or there are too many trainings.
    """
    values = [_values(override) for override in overrides]
    number = 1
    for choices in values:
        number *= len(choices)
    if number > MAX_TRAININGS:
        raise UserError(f"these are {number:,} trainings; at most {MAX_TRAININGS:,} can be swept in one sweep")
    return [list(training) for training in itertools.product(*values)]


def train_one(composed: DictConfig) -> None:
    """One of the training runs, in the folder that Hydra gives it."""
    config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(TrainConfig), composed))
    assert isinstance(config, TrainConfig)
    config.output = str(Path(HydraConfig.get().runtime.output_dir))
    from music_reformer.training.run import train  # slow to import, and `--show` trains nothing

    try:
        train(config)
    except Exception as error:
        sentence = sentence_of(error)
        if sentence is None:
            raise
        log.error("failed: %s", sentence)  # also in this run's own log; Hydra continues with the others
        # Hydra raises the first of these when all have been run.
        raise UserError(f"the training in {os.path.relpath(config.output)} failed: {sentence}") from None


@contextmanager
def _as_typed(arguments: list[str]) -> Iterator[None]:
    """Let Hydra read `arguments`, and raise its errors instead of printing them and exiting."""
    typed, sys.argv = sys.argv, arguments  # Hydra reads no other list
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv = typed
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before


def _values(override: str) -> list[str]:
    """An override with each of its values."""
    key = override.partition("=")[0]
    if _is_literal(key):  # "a,b" is one name
        return [override]
    try:
        parsed = OverridesParser.create().parse_override(override)
        if not parsed.is_sweep_override():
            return [override]
        return [f"{key}={value}" for value in parsed.sweep_string_iterator()][: MAX_TRAININGS + 1]
    except HydraException:
        return [override]  # `compose_config` says what is wrong with it


def _for_hydra(override: str) -> str:
    """An override in Hydra's grammar: literal values are quoted."""
    return plain_override("train", override) if _is_literal(override.partition("=")[0]) else override


def _is_literal(key: str) -> bool:
    return key in literal_keys(TrainConfig)
