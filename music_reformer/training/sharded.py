"""Shards weights, gradients and optimizer states over all processes (FSDP2), while checkpoints stay whole.

`trainer.strategy=fsdp`, experimental on GPUs: it is tested with two processes over gloo. The weights are gathered once
per step and kept until their gradients are known, because a reversible layer recomputes its inputs in the backward
pass, outside any layer's own forward pass. So it saves the memory of gradients, averages and optimizer states.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_lightning.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from music_reformer.training.optimizer import parts


def whole(value: Any) -> Any:
    """A copy of a container with its sharded tensors gathered; all processes must call it."""
    if isinstance(value, DTensor):
        return value.full_tensor()
    if isinstance(value, Mapping):
        return {name: whole(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(whole(part) for part in value)
    return value


def placed_like(value: Tensor, parameter: Tensor) -> Tensor:
    """A whole tensor, sharded and placed like the parameter."""
    value = value.detach().to(parameter.device)
    if not isinstance(parameter, DTensor) or isinstance(value, DTensor):
        return value
    # Every process has the whole tensor: nothing needs to be sent.
    return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """Within the block, all weights are gathered in every process, so that calls of the model need no communication."""
    if not isinstance(model, FSDPModule):
        yield
        return
    model.unshard()
    try:
        yield
    finally:
        model.reshard()


class ShardedStrategy(ModelParallelStrategy):
    """FSDP2 over all processes. Checkpoints are the same as those of a single process."""

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        """Set up data parallelism over all processes."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def shard(self, model: nn.Module) -> None:
        """Shard a model's weights, once."""
        if not isinstance(model, FSDPModule):
            fully_shard(model, mesh=self.device_mesh["data_parallel"], reshard_after_forward=False)
            register_fsdp_forward_method(model, "loss")

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """All tensors, whole, in every process."""
        assert self.lightning_module is not None
        return {name: whole(tensor).cpu() for name, tensor in self.lightning_module.state_dict().items()}

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The optimizer's own state with whole tensors."""
        state: dict[str, Any] = whole(optimizer.state_dict())
        return state

    # Lightning's own method expects a checkpoint in the sharded format that its own saving writes.
    @property
    def lightning_restore_optimizer(self) -> bool:
        """Lightning calls `load_optimizer_state_dict`."""
        return True

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Load a checkpoint unchanged."""
        return self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=weights_only)

    @torch.no_grad()
    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Each process keeps its parts of the tensors."""
        assert self.lightning_module is not None
        own = self.lightning_module.state_dict()
        state = {name: placed_like(tensor, own[name]) for name, tensor in checkpoint["state_dict"].items()}
        self.lightning_module.load_state_dict(state, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Each process keeps its parts of the optimizers' states."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            optimizer.load_state_dict(state)
            for part in parts(optimizer):
                for parameter, values in part.state.items():
                    for name, value in values.items():
                        if isinstance(value, Tensor) and value.shape == parameter.shape:
                            values[name] = placed_like(value, parameter)
