"""A learning rate to begin with, by a range test (Smith, arXiv 1506.01186, section 3.3): it tells, and trains nothing.

The rate grows from step to step, and where the loss falls fastest is the rate to begin with. Lightning does it. With
Muon, whose steps are as long as its rate says whatever the gradient, the answer is a first guess.
"""

from __future__ import annotations

from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.tuner.tuning import Tuner

from music_reformer.config import require
from music_reformer.errors import UserError
from music_reformer.training.plots import plot_rates

LOWEST, HIGHEST, STEPS = 1e-5, 0.3, 100
# Steps until the smoothed loss tells anything.
SETTLING = 10


def find_learning_rate(
    trainer: pl.Trainer, module: pl.LightningModule, data: pl.LightningDataModule
) -> tuple[float, Path]:
    """Look for a learning rate.

    Args:
        trainer: of one process.
        module: with the weights that the run would begin with; they are the same afterwards.
        data: the run's.

    Returns:
        The rate, and the picture of the loss by rate, `learning_rate.png` in the trainer's folder.

    Raises:
        UserError: several processes are asked for, or the loss tells nothing.
    """
    require(
        trainer.world_size == 1,
        "trainer.find_learning_rate works in one process; set trainer.devices=1 trainer.num_nodes=1",
    )
    found = Tuner(trainer).lr_find(
        module, datamodule=data, min_lr=LOWEST, max_lr=HIGHEST, num_training=STEPS, update_attr=False
    )
    rate = found.suggestion(skip_begin=SETTLING) if found is not None else None
    if found is None or rate is None:
        raise UserError("the loss does not tell a learning rate; leave optimizer.learning_rate as it is")
    path = Path(trainer.default_root_dir) / "learning_rate.png"
    plot_rates(found.results["lr"][SETTLING:], found.results["loss"][SETTLING:], rate, path)
    return rate, path
