"""Models of a few thousand weights for tests."""

from __future__ import annotations

import torch

from music_reformer.config import ModelConfig
from music_reformer.model.decoder import Decoder
from music_reformer.model.reformer import ReformerLM

VOCABULARY = 40


def build(*, std: float = 0.2, **changes: object) -> ReformerLM:
    """A small model with weights large enough that a leak would show."""
    settings: dict = {
        "vocab_size": VOCABULARY,
        "width": 32,
        "num_layers": 2,
        "num_heads": 2,
        "head_width": 16,
        "feed_forward_width": 64,
        "attention": ["local", "lsh"],
        "window": 8,
        "num_buckets": 8,
        "axial_shape": [64, 64],
        "chunk": 37,
    }
    torch.manual_seed(0)
    model = ReformerLM(ModelConfig(**(settings | changes)))
    for parameter in model.parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=std)
    return model.eval()


def decoder(*, compiled: bool = False, **changes: object) -> Decoder:
    """The same to decode with; its steps are plain or run in compiled loops."""
    found = Decoder(build(**changes), compile_step=compiled)
    assert found.steps_are_compiled == compiled
    return found


def tokens(*shape: int) -> torch.Tensor:
    return torch.randint(0, VOCABULARY, shape)
