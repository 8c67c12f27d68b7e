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


class PackedLinear(nn.Module):
    """A linear map with fixed weights, which has them packed beside the plain ones.

    Args:
        plain: the map, on the CPU, in float32.
    """

    def __init__(self, plain: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = plain.weight, plain.bias
        self._packed = torch.ops.mkldnn._reorder_linear_weight(plain.weight.detach(), ROWS_TO_PACK_FOR)

    def forward(self, x: Tensor) -> Tensor:
        """[..., E] to [..., F]; without gradients."""
        if FEWEST_ROWS <= x.numel() // x.shape[-1] <= MOST_ROWS:
            return torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, "none", [], "")
        return linear(x, self.weight, self.bias)


def pack_linears(module: nn.Module) -> None:
    """Make every linear map of `module` a `PackedLinear`, where this build of torch can and weights are on the CPU.

    For a model that only decodes from now on: a weight that is changed later does not change what is packed.
    """
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return
    for part in list(module.modules()):
        for name, child in part.named_children():
            if type(child) is nn.Linear and child.weight.device.type == "cpu" and child.weight.dtype == torch.float32:
                setattr(part, name, PackedLinear(child))
