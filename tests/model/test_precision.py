"""Float32 stays float32 under autocast."""

from __future__ import annotations

import torch

from music_reformer.model.precision import full_precision


def test_products_in_full_precision_are_float32_under_autocast() -> None:
    x = torch.randn(4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (x @ x).dtype == torch.bfloat16
        with full_precision(x.device):
            assert (x @ x).dtype == torch.float32
        assert (x @ x).dtype == torch.bfloat16
    with full_precision(x.device):
        assert (x @ x).dtype == torch.float32
