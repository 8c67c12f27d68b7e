"""The choice of trainable parameters."""

from __future__ import annotations

import pytest
import torch

from helpers.small_models import build
from music_reformer.config import TrainConfig
from music_reformer.errors import UserError
from music_reformer.model.reformer import ReformerLM
from music_reformer.training.trainable import choose_trainable


def learning(model: ReformerLM) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def chosen(**settings: object) -> ReformerLM:
    model = build()
    choose_trainable(model, TrainConfig(data="in", **settings))  # type: ignore[arg-type]
    return model


def test_all_parameters_are_trained_by_default() -> None:
    model = chosen()
    assert learning(model) == {name for name, _ in model.named_parameters()}


def test_the_last_layers_learn_with_the_norm_behind_them() -> None:
    model = chosen(trainable="last", last_layers=1)
    last = {id(parameter) for part in (model.stack.layers[-1], model.final_norm) for parameter in part.parameters()}
    assert learning(model) == {name for name, parameter in model.named_parameters() if id(parameter) in last}
    assert 0 < len(learning(model)) < len(list(model.parameters()))


def test_lora_starts_without_effect_and_trains_only_its_own_parameters() -> None:
    before, model = build(), chosen(trainable="lora", lora_rank=2)
    tokens = torch.arange(30)[None]
    with torch.no_grad():
        torch.testing.assert_close(model(tokens), before(tokens))
    names = {name for name, _ in before.named_parameters()}
    assert learning(model)
    assert not learning(model) & names
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert 2 in parameter.shape, name


def test_more_layers_than_there_are_is_refused() -> None:
    with pytest.raises(UserError, match=r"^last_layers \(3\) must be at most 2, the number of layers of the model$"):
        chosen(trainable="last", last_layers=3)
