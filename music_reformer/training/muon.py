"""Muon: steps along the orthogonal matrix nearest to the momentum.

Jordan et al. 2024, https://kellerjordan.github.io/posts/muon.

Shapes: N matrices of one shape, A rows, B columns.

The same steps as `torch.optim.Muon`, except that the Newton-Schulz iteration runs in float32 where the hardware has no
bfloat16 instructions: there, `torch.optim.Muon` spends 20 times as long on it and dominates a training step on a CPU.
Matrices of one shape are iterated on together.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

# Quintic iteration of the reference implementation: steep at zero, singular values end between 0.7 and 1.2.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
EPSILON = 1e-7


def has_bfloat16(device_type: str) -> bool:
    """Whether a device multiplies bfloat16 matrices in hardware; elsewhere they are slower than float32.

    Args:
        device_type: "cuda" or "cpu".
    """
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported()
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16", False) or capabilities.get("amx_bf16", False))


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay, for matrices.

    Steps are scaled to the root mean square of AdamW's (arXiv 2502.16982, section 2.2), so that both share one
    learning rate.

    Args:
        params: matrices only.
        lr: learning rate.
        weight_decay: fraction of `lr` by which parameters shrink in a step.
        momentum: of the average of gradients.

    Raises:
        ValueError: a parameter is not a matrix.
    """

    def __init__(self, params: Iterable[nn.Parameter], *, lr: float, weight_decay: float, momentum: float) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        for parameter in (p for group in self.param_groups for p in group["params"]):
            if parameter.dim() != 2:
                raise ValueError(f"Muon takes matrices, not a parameter of shape {tuple(parameter.shape)}")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; `closure`, if given, computes the loss and the gradients first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            updates: dict[torch.Size, list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    update = self._momentum_update(parameter, group["momentum"])
                    updates[parameter.shape].append((parameter, update))
            for shape, pairs in updates.items():
                rate = group["lr"] * 0.2 * math.sqrt(max(shape))
                steps_NAB = orthogonalize(torch.stack([update for _, update in pairs]))
                for (parameter, _), step_AB in zip(pairs, steps_NAB, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(step_AB, alpha=-rate)
        return loss

    def _momentum_update(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        assert parameter.grad is not None
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter.grad)
        state["momentum_buffer"].lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(state["momentum_buffer"], momentum)


def orthogonalize(matrices_NAB: Tensor) -> Tensor:
    """Approximate nearest orthogonal matrix of each matrix, by Newton-Schulz iteration.

    Args:
        matrices_NAB: any floating-point type.

    Returns:
        [N, A, B] in bfloat16 where the device has instructions for it, else in float32.
    """
    a, b, c = COEFFICIENTS
    x = matrices_NAB.to(torch.bfloat16 if has_bfloat16(matrices_NAB.device.type) else torch.float32)
    tall = x.size(1) > x.size(2)
    x = x.mT if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=EPSILON)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
