from __future__ import annotations

import pytest
import torch
from torch import nn

from music_reformer.config import OptimizerConfig
from music_reformer.errors import UserError
from music_reformer.training.muon import Muon
from music_reformer.training.optimizer import build_optimizer


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(7, 6), nn.Linear(6, 10), nn.LayerNorm(10), nn.Linear(10, 3))


def take_steps(network: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        tokens, target = torch.randint(0, 7, (20,), generator=generator), torch.randn(20, 3, generator=generator)
        network.zero_grad()
        (network(tokens) - target).square().mean().backward()
        optimizer.step()


def assert_same(one: nn.Module, other: nn.Module) -> None:
    for name, parameter in one.named_parameters():
        assert torch.equal(parameter, other.get_parameter(name)), name


def test_muon_steps_the_matrices_and_adamw_the_rest() -> None:
    together, apart = model(), model()
    config = OptimizerConfig(learning_rate=0.02, weight_decay=0.3, momentum=0.8, beta1=0.7, beta2=0.9)
    take_steps(together, build_optimizer(together, config), range(4))
    matrices = [apart[1].weight, apart[3].weight]  # type: ignore[index]
    others = [p for p in apart.parameters() if all(p is not matrix for matrix in matrices)]
    muon = Muon(matrices, lr=0.02, weight_decay=0.3, momentum=0.8)
    adamw = torch.optim.AdamW(others, lr=0.02, betas=(0.7, 0.9), weight_decay=0.0)
    for step in range(4):
        take_steps(apart, muon, range(step, step + 1))
        # The gradients are still those of the parameters before Muon's step.
        adamw.step()
    assert_same(together, apart)


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_a_schedule_reaches_every_parameter(kind: str) -> None:
    network = model()
    optimizer = build_optimizer(network, OptimizerConfig(kind=kind))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0 if step else 1.0)
    take_steps(network, optimizer, range(1))
    schedule.step()
    still = {name: p.clone() for name, p in network.named_parameters()}
    take_steps(network, optimizer, range(1, 3))
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, still[name]), name


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_a_loaded_state_continues_as_if_never_saved(kind: str) -> None:
    whole, parts = model(), model()
    config = OptimizerConfig(kind=kind)
    take_steps(whole, build_optimizer(whole, config), range(6))
    first = build_optimizer(parts, config)
    take_steps(parts, first, range(3))
    second = build_optimizer(parts, config)
    second.load_state_dict(first.state_dict())
    schedule = torch.optim.lr_scheduler.LambdaLR(second, lambda step: 1.0)
    take_steps(parts, second, range(3, 6))
    schedule.step()
    assert_same(whole, parts)
    for group in second.param_groups:
        group["lr"] = 0.0
    still = {name: p.clone() for name, p in parts.named_parameters()}
    take_steps(parts, second, range(6, 7))
    assert all(torch.equal(p, still[name]) for name, p in parts.named_parameters())


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(UserError, match=r"optimizer.kind \('sgd'\) must be one of muon, adamw"):
        OptimizerConfig(kind="sgd")
