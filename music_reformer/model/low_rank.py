"""Low-rank adaptation (LoRA, arXiv 2106.09685): the layers' matrices are frozen; two thin ones learn an update.

Shapes: F outputs, E inputs of a linear layer, K rank.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class LowRank(nn.Module):
    """W + up down (LoRA, section 4.1, eq. 3), initially equal to W.

    Args:
        num_outputs: F.
        num_inputs: E.
        rank: K.
    """

    def __init__(self, *, num_outputs: int, num_inputs: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, num_inputs) * num_inputs**-0.5)
        self.up = nn.Parameter(torch.zeros(num_outputs, rank))

    def forward(self, weight_FE: Tensor) -> Tensor:
        """The adapted weight, [F, E]."""
        return weight_FE + self.up @ self.down


def add_low_rank(module: nn.Module, *, rank: int) -> None:
    """Give every linear layer of `module` a trainable update of this rank, and freeze all other parameters."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    for linear in [part for part in module.modules() if isinstance(part, nn.Linear)]:
        change = LowRank(num_outputs=linear.out_features, num_inputs=linear.in_features, rank=rank)
        parametrize.register_parametrization(linear, "weight", change)


def merged(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A module's tensors with low-rank updates added to the matrices, under the names that they have without updates.

    Raises:
        ValueError: an update does not fit its matrix.
    """
    found = {}
    for name, tensor in tensors.items():
        owner, parametrized, weight = name.partition(".parametrizations.")
        if not parametrized:
            found[name] = tensor
        elif weight.endswith(".original"):
            change = name.removesuffix("original") + "0"
            up_FK, down_KE = tensors[f"{change}.up"], tensors[f"{change}.down"]
            # Without this check, the product of two thin matrices from an untrusted file could fill the memory.
            if (*up_FK.shape[:-1], *down_KE.shape[1:]) != tuple(tensor.shape):
                raise ValueError(f"the low-rank change of {owner} has another shape than its matrix")
            found[f"{owner}.{weight.removesuffix('.original')}"] = tensor + up_FK @ down_KE
    return found
