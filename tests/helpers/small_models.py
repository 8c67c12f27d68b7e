"""Models of a few thousand weights for tests."""

from __future__ import annotations

from pathlib import Path

import torch

from music_reformer.config import ModelConfig, TokenizerConfig
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.model.decoder import Decoder
from music_reformer.model.reformer import ReformerLM
from music_reformer.model.weights import save_weights

VOCABULARY = 40
# Of the smallest model that has all parts.
SMALLEST = {
    "width": 16,
    "num_layers": 2,
    "num_heads": 2,
    "head_width": 8,
    "feed_forward_width": 32,
    "window": 4,
    "num_buckets": [4],
}


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
        "num_buckets": [8],
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
    """A decoder of such a model, with plain or compiled steps."""
    found = Decoder(build(**changes), compile_step=compiled)
    assert found.steps_are_compiled == compiled
    return found


def save_smallest(folder: Path, *, can_infill: bool = False, **changes: object) -> Path:
    """Write the weights of an untrained model of music; returns the folder."""
    tokenizer = MusicTokenizer(TokenizerConfig())
    torch.manual_seed(0)
    model = ReformerLM(ModelConfig(**{"vocab_size": tokenizer.vocab_size, **SMALLEST, **changes}))
    save_weights(folder, model, tokenizer.to_json(), {"step": 3}, can_infill=can_infill)
    return folder


def tokens(*shape: int) -> torch.Tensor:
    return torch.randint(0, VOCABULARY, shape)
