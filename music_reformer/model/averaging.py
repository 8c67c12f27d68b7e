"""`music-reformer average`: the mean of the weights of several trainings of one model.

Trainings that start from one another and lower their rate to zero end in the same basin of the loss, at different
places of its rim; their mean lies deeper (Izmailov et al. 2018, arXiv 1803.05407; Wortsman et al. 2022, arXiv
2203.05482).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from music_reformer.config import AverageConfig, require
from music_reformer.model.weights import TENSORS, LoadedWeights, load_weights, save_weights


def average(config: AverageConfig) -> Path:
    """`music-reformer average`: write the weighted mean of some weights; returns the folder.

    Raises:
        UserError: weights cannot be read, are not of the same model or tokenizer, or would be overwritten.
    """
    output = Path(config.output)
    require(len(config.checkpoints) > 1, f"checkpoints ({len(config.checkpoints)}) must be at least two")
    require(
        not (output / TENSORS).exists(), f"output ({output}) already holds weights; name another folder, or remove it"
    )
    loaded = [load_weights(path) for path in config.checkpoints]
    first = loaded[0]
    for path, other in zip(config.checkpoints, loaded, strict=True):
        same = _kind(other) == _kind(first)
        require(same, f"{path} and {config.checkpoints[0]} are not of the same model and tokenizer; leave one out")
    shares = config.shares or [1.0] * len(loaded)
    mean = mean_of([each.model.state_dict() for each in loaded], shares)
    tensors = {name: tensor.half() if config.half else tensor for name, tensor in mean.items()}
    averaged = [
        {"fingerprint": each.fingerprint, "share": share / sum(shares), "step": each.info.get("step")}
        for each, share in zip(loaded, shares, strict=True)
    ]
    info = {name: value for name, value in loaded[-1].info.items() if name in ("data", "tokenizer_fingerprint")}
    save_weights(
        output,
        first.model,
        first.tokenizer_settings,
        {**info, "averaged": averaged},  # not the loss of one of them
        can_infill=all(each.can_infill for each in loaded),
        knows_names=all(each.knows_names for each in loaded),
        tensors=tensors,
    )
    return output


def mean_of(states: list[dict[str, torch.Tensor]], shares: list[float]) -> dict[str, torch.Tensor]:
    """The weighted mean of tensors of the same names and shapes, in float32.

    Args:
        states: tensors by name.
        shares: weight of each; they need not add up to 1.
    """
    mean = {name: torch.zeros_like(tensor, dtype=torch.float32) for name, tensor in states[0].items()}
    for state, share in zip(states, shares, strict=True):
        for name, tensor in state.items():
            mean[name] += share / sum(shares) * tensor.float()
    return mean


def _kind(loaded: LoadedWeights) -> tuple[object, object]:
    """What weights must share for their mean to have a meaning."""
    return asdict(loaded.model.config), loaded.tokenizer_settings
