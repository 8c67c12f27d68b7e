"""Chooses which parameters of a model are trained: all, those of the last layers, or low-rank updates of matrices."""

from __future__ import annotations

from music_reformer.config import TrainConfig, require
from music_reformer.model.low_rank import add_low_rank
from music_reformer.model.reformer import ReformerLM


def choose_trainable(model: ReformerLM, config: TrainConfig) -> None:
    """Freeze the parameters that `config.trainable` leaves out; embeddings are trained only with "all".

    Raises:
        UserError: `last_layers` exceeds the number of layers.
    """
    if config.trainable == "lora":
        model.requires_grad_(False)
        add_low_rank(model.stack, rank=config.lora_rank)
    elif config.trainable == "last":
        layers = model.stack.layers
        require(
            config.last_layers <= len(layers),
            f"last_layers ({config.last_layers}) must be at most {len(layers)}, the number of layers of the model",
        )
        model.requires_grad_(False)
        for part in (*layers[-config.last_layers :], model.final_norm):
            part.requires_grad_(True)
