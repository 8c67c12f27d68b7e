"""The task of each of two processes in a test of sharded weights, which must be importable there."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from music_reformer.config import ModelConfig, OptimizerConfig
from music_reformer.exit import leave
from music_reformer.model.reformer import ReformerLM
from music_reformer.training.optimizer import build_optimizer

ROWS, LENGTH, VOCABULARY = 4, 64, 40


def build(recompute: bool, **place: int) -> ReformerLM:
    torch.manual_seed(0)
    model = ReformerLM(
        ModelConfig(
            vocab_size=VOCABULARY,
            width=32,
            num_layers=4,
            num_heads=2,
            head_width=16,
            feed_forward_width=64,
            window=8,
            num_buckets=[8],
            axial_shape=[16, 16],
            recompute=recompute,
        )
    )
    model.redraw_rotations(3, **place)
    return model


def mean_loss(model: ReformerLM, rows: slice) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    tokens, targets = torch.randint(VOCABULARY, (2, ROWS, LENGTH), generator=generator)
    total, count = model.loss(tokens[rows], targets[rows])
    return total / count


def compare_with_one_process(rank: int, world_size: int, port: int, recompute: bool) -> None:
    """Each process takes a share of the rows; gradients and the step must be those of all rows in one process."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=world_size)
    whole, sharded = build(recompute), build(recompute, rank=rank, world_size=world_size)
    # A reversible layer computes its inputs again in backward, outside of any layer's own forward: weights that were
    # gathered for the forward pass have to be there still.
    fully_shard(sharded, mesh=init_device_mesh("cpu", (world_size,)), reshard_after_forward=False)
    register_fsdp_forward_method(sharded, "loss")
    mean_loss(whole, slice(None)).backward()
    mean_loss(sharded, slice(rank, None, world_size)).backward()
    for (name, expected), found in zip(whole.named_parameters(), sharded.parameters(), strict=True):
        assert isinstance(found, DTensor), name
        assert found.to_local().numel() < expected.numel(), name
        assert expected.grad is not None
        assert found.grad is not None
        torch.testing.assert_close(found.grad.full_tensor(), expected.grad, rtol=1e-4, atol=1e-6)
    config = OptimizerConfig()
    for model in (whole, sharded):
        build_optimizer(model, config).step()
    for expected, found in zip(whole.parameters(), sharded.parameters(), strict=True):
        # Muon multiplies in bfloat16: a tenth of the largest step.
        torch.testing.assert_close(found.full_tensor(), expected, rtol=0, atol=config.learning_rate / 10)
    dist.barrier()  # The first process holds the store that the others talk to.
    leave(0)
