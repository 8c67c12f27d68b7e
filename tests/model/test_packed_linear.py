"""Packed linear maps give what plain ones give, for any number of rows, under the same names."""

import pytest
import torch
from torch import nn

from music_reformer.config import ModelConfig
from music_reformer.model.packed_linear import MOST_ROWS, PackedLinear, can_pack
from music_reformer.model.reformer import ReformerLM

needs_packing = pytest.mark.skipif(
    not can_pack(torch.zeros(1)),
    reason="this build of torch cannot pack weights",
)


@needs_packing
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 8, 33, MOST_ROWS, MOST_ROWS + 1])
@pytest.mark.parametrize("bias", [True, False])
def test_rows_are_mapped_as_by_the_plain_linear_map(rows: int, bias: bool) -> None:
    torch.manual_seed(rows)
    plain = nn.Linear(40, 56, bias=bias)
    x = torch.randn(rows, 40)
    with torch.inference_mode():
        packed = PackedLinear(plain)
        torch.testing.assert_close(packed(x), plain(x), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(packed(x.view(rows, 1, 40)), plain(x.view(rows, 1, 40)), rtol=1e-5, atol=1e-5)


@needs_packing
def test_a_packed_model_decodes_as_before_and_keeps_the_names_of_its_tensors() -> None:
    torch.manual_seed(0)
    config = ModelConfig(
        vocab_size=20, width=32, num_layers=2, num_heads=2, head_width=16, feed_forward_width=64, axial_shape=[8, 16]
    )
    model = ReformerLM(config).eval()
    names = list(model.state_dict())
    tokens = torch.randint(0, 20, (1, 30))

    def logits() -> torch.Tensor:
        with torch.inference_mode():
            _, state = model.prefill(tokens)
            state = state.expand(3)
            return torch.stack([model.step(torch.tensor([1, 2, 3]), state) for _ in range(5)])

    expected = logits()
    model.pack_weights()
    assert any(isinstance(module, PackedLinear) for module in model.modules())
    assert list(model.state_dict()) == names
    torch.testing.assert_close(logits(), expected, rtol=1e-4, atol=1e-5)
