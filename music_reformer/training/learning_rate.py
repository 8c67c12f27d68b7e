"""`music-reformer learning-rate`: runs a learning-rate range test (Smith, arXiv 1506.01186, section 3.3) and exits.

The rate grows from step to step; the suggestion is the rate at which the loss falls fastest. Lightning runs the test.
With Muon, whose step length depends on the rate but not on the gradient, it is only a first guess.
"""

from __future__ import annotations

from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.tuner.tuning import Tuner

from music_reformer.config import TrainConfig, require
from music_reformer.errors import UserError
from music_reformer.training.datamodule import RowDataModule
from music_reformer.training.plots import plot_rates
from music_reformer.training.progress_line import ProgressLine
from music_reformer.training.run import build_module, build_trainer, open_store, quiet

LOWEST, HIGHEST, STEPS = 1e-5, 0.3, 100
# Steps before the smoothed loss is meaningful.
SETTLING = 10


def suggest_learning_rate(config: TrainConfig) -> Path:
    """Run the test for a training run with these settings, without keeping weights; returns the plot of loss by rate.

    Raises:
        UserError: the store or the initial weights do not fit, several processes are requested, or the loss shows no
            best rate.
    """
    quiet()
    config.check()
    progress = ProgressLine(max_steps=STEPS, shown=True)
    store = open_store(config)
    progress.say(f"Testing learning rates in {STEPS} steps; no weights are kept.")
    module = build_module(config, store, is_new=True)
    rate, picture = range_test(build_trainer(config, 0, []), module, RowDataModule(store=store, config=config))
    progress.say(
        f"The loss falls fastest at optimizer.learning_rate={rate:.1e} (now {config.optimizer.learning_rate:.1e}); "
        f"see {picture}."
    )
    return picture


def range_test(trainer: pl.Trainer, module: pl.LightningModule, data: pl.LightningDataModule) -> tuple[float, Path]:
    """Run the test.

    Args:
        trainer: a trainer of one process.
        module: the module with the initial weights of the run; they are unchanged afterwards.
        data: the data of the run.

    Returns:
        The rate, and the plot of loss by rate, `learning_rate.png` in the trainer's folder.

    Raises:
        UserError: several processes are requested, or the loss shows no best rate.
    """
    require(
        trainer.world_size == 1,
        "the range test of learning rates runs in one process; set trainer.devices=1 trainer.num_nodes=1",
    )
    found = Tuner(trainer).lr_find(
        module, datamodule=data, min_lr=LOWEST, max_lr=HIGHEST, num_training=STEPS, update_attr=False
    )
    rate = found.suggestion(skip_begin=SETTLING) if found is not None else None
    if found is None or rate is None:
        raise UserError("the loss shows no best learning rate; leave optimizer.learning_rate as it is")
    path = Path(trainer.default_root_dir) / "learning_rate.png"
    plot_rates(found.results["lr"][SETTLING:], found.results["loss"][SETTLING:], rate, path)
    return rate, path
