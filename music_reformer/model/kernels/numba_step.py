"""`Decoder.step` on the CPU: the model's weights, packed for the compiled loops of `numba_kernels.py`.

A step of the shipped weights has some three hundred small operations, and calling each costs more than computing it.
Here it is two calls per layer. The loops write directly into the caches of `cache.py`.

Shapes: B rows, E width, F outputs, V vocabulary, H heads, D head width, R rounds, G blocks of columns, N columns per
block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from music_reformer.model.attention.cache import BucketCache, Cache, DecodeState, GrowingCache
from music_reformer.model.attention.lsh import LSHAttention
from music_reformer.model.kernels import numba_kernels
from music_reformer.model.reformer import ReformerLM
from music_reformer.model.reversible import ReversibleBlock

Array = np.ndarray[Any, Any]
NUMBA_VERSION: str = numba_kernels.numba.__version__
CACHE_LINE = 64  # bytes; also the size of an AVX-512 register


class NumbaStep:
    """The compiled decoding step of one model. It copies the weights: later changes to the model have no effect on it.

    Args:
        model: on the CPU, in float32.
    """

    def __init__(self, model: ReformerLM) -> None:
        blocks = model.stack.layers
        token_GEN, *packed = pack([model.token_embedding.weight, *(w for block in blocks for w in _matrices(block))])
        position = model.position_embedding
        self._embeddings = [_array(x.weight) for x in (model.token_embedding, position.row, position.column)]
        self._layers = []
        for block in blocks:
            used = len(_matrices(block))
            self._layers.append(_Layer(block, packed[:used]))
            packed = packed[used:]
        self._to_logits = (*_norm(model.final_norm), token_GEN, model.config.vocab_size)

    def step(self, tokens_B: Tensor, state: DecodeState) -> Tensor:
        """Append one token to every row of `state`, in place; returns logits of the next token, float32 [B, V]."""
        position_B = np.array(state.lengths)
        first_BE = numba_kernels.embed(tokens_B.numpy(), position_B, *self._embeddings)
        second_BE = first_BE.copy()
        for layer, cache in zip(self._layers, state.caches, strict=True):
            layer.step(first_BE, second_BE, cache, position_B)
        state.lengths = [length + 1 for length in state.lengths]
        return torch.from_numpy(numba_kernels.logits(first_BE, second_BE, *self._to_logits))


class _Layer:
    """One reversible layer.

    Args:
        block: the layer.
        packed: its matrices, packed, in the order of `_matrices`.
    """

    def __init__(self, block: ReversibleBlock, packed: Sequence[Array]) -> None:
        attention, feed_forward = block.attention, block.feed_forward
        inner_GEN, outer_GFN, in_GEN, out_GFN, *rotations = packed
        self._attention: tuple[Any, ...] = (*_norm(block.attention_norm), in_GEN, out_GFN)
        if isinstance(attention, LSHAttention):
            factors_RF = np.array([[*of_round, 0][:2] for of_round in attention.factors])
            self._attention += (*rotations, factors_RF, attention.successor_values)
        self._feed_forward = (
            *_norm(block.feed_forward_norm),
            inner_GEN,
            _array(feed_forward.to_inner.bias),
            outer_GFN,
            _array(feed_forward.to_out.bias),
        )

    def step(self, first_BE: Array, second_BE: Array, cache: Cache, position_B: Array) -> None:
        """Add both sublayers to the streams and the token to the cache, in place."""
        streams = first_BE, second_BE
        if isinstance(cache, BucketCache):
            places = cache.last_place_B.numpy(), cache.next_places().numpy()
            chains = cache.link_Y.numpy(), cache.newest_BHK.numpy(), cache.first_bucket_R.numpy()
            numba_kernels.lsh_attention(*streams, *self._attention, _pair(cache), *chains, *places, cache.window)
        else:
            if isinstance(cache, GrowingCache):
                cache.make_room(int(position_B.max()))
            numba_kernels.rotary_attention(*streams, *self._attention, _pair(cache), position_B)
        numba_kernels.feed_forward(*streams, *self._feed_forward)


def pack(matrices: Sequence[Tensor]) -> list[Array]:
    """Pack matrices [..., F, E] as [..., G, E, N]: each block of N columns is contiguous, the last padded with zeros.

    All share one allocation, which Linux backs with 2 MB pages where it can: products read those faster.
    """
    columns = numba_kernels.COLUMNS
    blocks = [-(-m.shape[-2] // columns) for m in matrices]
    shapes = [(*m.shape[:-2], num, m.shape[-1], columns) for m, num in zip(matrices, blocks, strict=True)]
    line = CACHE_LINE // np.dtype(np.float32).itemsize  # Every size is a multiple of this.
    memory = np.empty(sum(map(math.prod, shapes)) + line, np.float32)
    rest = memory[-memory.ctypes.data % CACHE_LINE // memory.itemsize :]
    packed = []
    for matrix, shape in zip(matrices, shapes, strict=True):
        padded = nn.functional.pad(matrix.detach(), (0, 0, 0, -matrix.shape[-2] % columns))
        packed.append(rest[: math.prod(shape)].reshape(shape))
        packed[-1][:] = padded.unflatten(-2, (-1, columns)).transpose(-1, -2).numpy()
        rest = rest[math.prod(shape) :]
    return packed


def _matrices(block: ReversibleBlock) -> list[Tensor]:
    """The matrices of a layer, in the order in which `_Layer` unpacks them."""
    attention = block.attention
    is_lsh = isinstance(attention, LSHAttention)
    return [
        block.feed_forward.to_inner.weight,
        block.feed_forward.to_out.weight,
        attention.to_query_value.weight if is_lsh else attention.to_query_key_value.weight,
        attention.to_out.weight,
        *([_used_rotations(attention)] if is_lsh else []),
    ]


def _used_rotations(attention: LSHAttention) -> Tensor:
    """The columns of each head's rotations that the rounds use, round after round, transposed: [H, F, D]."""
    turned_RHDK = attention.turned(attention.rotations_RHDK)
    used = [x_HDK[..., : sum(of_round) // 2] for x_HDK, of_round in zip(turned_RHDK, attention.factors, strict=True)]
    return torch.cat(used, dim=-1).transpose(1, 2)


def _pair(cache: Cache) -> Array:
    """Keys and values of a cache along a dimension of their own, [..., 2, D]."""
    found: Array = cache.pair.unflatten(-1, (2, -1)).numpy()
    return found


def _norm(norm: nn.LayerNorm) -> tuple[Array, Array]:
    return _array(norm.weight), _array(norm.bias)


def _array(x: Tensor) -> Array:
    return x.detach().numpy()
