"""The optimizers: AdamW, or Muon for matrices combined with AdamW for all other parameters.

On POP909, Muon needs about half of AdamW's tokens for the same loss (docs/experiments.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from music_reformer.config import OptimizerConfig
from music_reformer.training.muon import Muon


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimizer of `config.kind` over the parameters of a model; no decay on embeddings, norms and biases.

    Frozen parameters are left out.
    """
    embeddings = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        is_matrix = parameter.dim() == 2 and id(parameter) not in embeddings
        (matrices if is_matrix else others).append(parameter)
    betas = (config.beta1, config.beta2)
    if config.kind == "adamw":
        return torch.optim.AdamW(
            [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=config.learning_rate,
            betas=betas,
        )
    return MuonWithAdamW(
        Muon(matrices, lr=config.learning_rate, weight_decay=config.weight_decay, momentum=config.momentum),
        torch.optim.AdamW(others, lr=config.learning_rate, betas=betas, weight_decay=0.0),
    )


def parts(optimizer: torch.optim.Optimizer) -> list[torch.optim.Optimizer]:
    """The optimizers that hold parameter states: the parts of a combined optimizer, or the optimizer itself."""
    return [optimizer.muon, optimizer.adamw] if isinstance(optimizer, MuonWithAdamW) else [optimizer]


class MuonWithAdamW(torch.optim.Optimizer):
    """Two optimizers that look like one to a schedule, a checkpoint and Lightning.

    Args:
        muon: optimizes the matrices.
        adamw: optimizes the other parameters.
    """

    def __init__(self, muon: Muon, adamw: torch.optim.AdamW) -> None:
        self.muon, self.adamw = muon, adamw
        super().__init__([*muon.param_groups, *adamw.param_groups], {})
        self._share()

    def _share(self) -> None:
        # The same dictionary objects, so that both parts read the learning rate that a schedule sets.
        self.param_groups = [*self.muon.param_groups, *self.adamw.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step of both; `closure` computes the loss and the gradients first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.muon.step()
        self.adamw.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The states of both parts."""
        return {"muon": self.muon.state_dict(), "adamw": self.adamw.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.muon.load_state_dict(state_dict["muon"])
        self.adamw.load_state_dict(state_dict["adamw"])
        self._share()
