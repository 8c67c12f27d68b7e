"""Several trainings with one command: Hydra's multirun, on this machine or, with its submitit launcher, under SLURM.

    python -m music_reformer.sweep --multirun data=datasets/mine optimizer.learning_rate=1e-3,2e-3

Settings are those of `music-reformer train`; several values with commas between them are several runs. Each has a
folder under `runs/sweep`, in the order of its settings, whatever `output` says. See docs/clusters.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from music_reformer.cli import conf_folder
from music_reformer.config import TrainConfig
from music_reformer.training.run import train

FOLDER = "hydra.sweep.dir"


def run(composed: DictConfig) -> None:
    """One of the trainings."""
    config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(TrainConfig), composed))
    assert isinstance(config, TrainConfig)
    config.output = str(Path(HydraConfig.get().runtime.output_dir))
    train(config)


def main() -> None:
    """Read the command line and do, or send away, all trainings."""
    ConfigStore.instance().store(name="train_schema", node=TrainConfig)
    if not any(argument.startswith(f"{FOLDER}=") for argument in sys.argv):
        sys.argv.append(f"{FOLDER}=runs/sweep")
    hydra.main(version_base="1.3", config_path=str(conf_folder().resolve()), config_name="train")(run)()


if __name__ == "__main__":
    main()
