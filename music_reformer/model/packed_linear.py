"""Linear maps of a few rows on the CPU, for decoding: weights packed once as oneDNN wants them.

Torch's own way packs the weights again for every product. That is nothing beside thousands of rows, but for the few
rows of a decoding step it took two thirds of the time of all products (docs/experiments.md).

Shapes: E inputs, F outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

# With one row torch multiplies a matrix by a vector, and with many the packing does not matter.
FEWEST_ROWS, MOST_ROWS = 2, 64
ROWS_TO_PACK_FOR = 4


class PackedWeight:
    """A fixed matrix [F, E], packed beside the plain one.

    Args:
        weight: on the CPU, in float32 (`can_pack`).
    """

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight.detach()
        self._packed = torch.ops.mkldnn._reorder_linear_weight(self._weight, ROWS_TO_PACK_FOR)

    def map(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """[..., E] to [..., F]; without gradients."""
        if FEWEST_ROWS <= x.numel() // x.shape[-1] <= MOST_ROWS:
            return torch.ops.mkldnn._linear_pointwise(x, self._packed, bias, "none", [], "")
        return linear(x, self._weight, bias)


class PackedLinear(nn.Module):
    """A linear map with fixed weights, under the names of the plain one."""

    def __init__(self, plain: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = plain.weight, plain.bias
        self._packed = PackedWeight(plain.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[..., E] to [..., F]; without gradients."""
        return self._packed.map(x, self.bias)


def can_pack(weight: Tensor) -> bool:
    """Whether this build of torch packs weights, and this is one that can be."""
    return (
        torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and weight.device.type == "cpu"
        and weight.dtype == torch.float32
    )


def pack_linears(module: nn.Module) -> None:
    """Make every linear map of `module` that can be packed a `PackedLinear`."""
    for part in list(module.modules()):
        for name, child in part.named_children():
            if type(child) is nn.Linear and can_pack(child.weight):
                setattr(part, name, PackedLinear(child))
