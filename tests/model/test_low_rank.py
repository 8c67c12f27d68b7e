"""Low-rank updates start at zero, merge exactly, and are trained alone; training only the last layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from music_reformer.config import ModelConfig, TrainConfig
from music_reformer.errors import UserError
from music_reformer.model.low_rank import LowRank, add_low_rank, merged
from music_reformer.model.reformer import ReformerLM
from music_reformer.training.trainable import choose_trainable


def build(**changes: object) -> ReformerLM:
    torch.manual_seed(0)
    settings: dict = {
        "vocab_size": 20,
        "width": 16,
        "num_layers": 4,
        "num_heads": 1,
        "head_width": 16,
        "feed_forward_width": 32,
        "window": 4,
        "num_buckets": [4],
    }
    return ReformerLM(ModelConfig(**(settings | changes)))


def loss(model: ReformerLM) -> torch.Tensor:
    tokens = torch.randint(0, 20, (2, 30), generator=torch.Generator().manual_seed(1))
    return model.loss(tokens, tokens)[0]


def test_updates_start_at_zero_and_merge_into_the_matrices() -> None:
    model = build()
    plain = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    before = loss(model)
    add_low_rank(model.stack, rank=3)
    assert torch.equal(loss(model), before)
    for part in model.modules():
        if isinstance(part, LowRank):
            nn.init.normal_(part.up)
    changed = loss(model)
    assert not torch.equal(changed, before)
    state = merged(model.state_dict())
    assert state.keys() == plain.keys()
    model = build()
    model.load_state_dict(state)
    torch.testing.assert_close(loss(model), changed)
    assert all(torch.equal(tensor, plain[name]) for name, tensor in merged(plain).items())


def test_with_lora_only_the_updates_are_trained() -> None:
    model = build()
    choose_trainable(model, TrainConfig(trainable="lora", lora_rank=2))
    loss(model).backward()
    learning = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learning
    assert all(name.endswith((".up", ".down")) for name in learning)
    num_linears = sum(isinstance(part, nn.Linear) for part in model.modules())
    assert len(learning) == 2 * num_linears


@pytest.mark.parametrize("trainable", ["last", "lora"])
def test_trainable_parameters_get_the_gradients_of_plain_autograd(trainable: str) -> None:
    gradients = []
    for recompute in (True, False):
        model = build(recompute=recompute)
        choose_trainable(model, TrainConfig(trainable=trainable, last_layers=2, lora_rank=2))
        loss(model).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    reversible, plain = gradients
    assert reversible.keys() == plain.keys()
    if trainable == "last":
        assert {name.split(".")[2] for name in plain if name.startswith("stack")} == {"2", "3"}
    for name, gradient in plain.items():
        torch.testing.assert_close(reversible[name], gradient, atol=1e-5, rtol=1e-4)


def test_invalid_choices_of_trainable_parameters_are_refused() -> None:
    with pytest.raises(UserError, match=r"last_layers \(5\) must be at most 4"):
        choose_trainable(build(), TrainConfig(trainable="last", last_layers=5))
    with pytest.raises(UserError, match=r"trainable \('some'\) must be one of all, last, lora"):
        TrainConfig(trainable="some")
