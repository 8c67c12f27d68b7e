"""Locality-sensitive hashing attention, exactly causal (Reformer, arXiv 2001.04451, section 2).

Shapes: B batch, L tokens, E width, H heads, D head width, R rounds, W window, K buckets.

Queries and keys are shared and hashed, h(x) = argmax [xR; -xR]. Keys are k = q / |q|, times sqrt(D) so that the
scores q.k / sqrt(D) are |q| cos(q, k), as in the authors' code; without it they are sqrt(D) times flatter. In one round
a token attends to the last W members of its own bucket, itself included (itself only when it has no other). That set
depends on the tokens up to it alone, whereas the chunks of the paper's implementation depend on the buckets of all
tokens: here the likelihood is exact, cached decoding equals the parallel pass, and padding or packing changes nothing.

With `successor_values` a key brings the value of the token *after* it. Since queries and keys are shared, a token finds
the earlier places that are like its own; what it wants to know of them is how they went on (an induction head, arXiv
2209.11895, in one layer). A token attends to strictly earlier ones, so what came after each of them is past or present:
nothing leaks. See docs/decisions/001 and 003.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from music_reformer.model.banded_attention import (
    SELF_PENALTY,
    head_backward,
    head_forward,
    pack,
    rows_alone,
    sort_into_segments,
)
from music_reformer.model.decode_state import BucketCache
from music_reformer.model.sequence import Sequence


class LSHAttention(nn.Module):
    """Multi-round LSH self-attention with shared queries and keys.

    Args:
        width: E, of the residual stream.
        num_heads: H.
        head_width: D.
        window: W, members of its bucket that a token sees in one round.
        num_buckets: K, a constant of the model whatever the length; even.
        num_rounds: R used in training and by default afterwards.
        max_rounds: rounds whose rotations are stored, so that evaluation may use more of them.
        successor_values: keys bring the value of the token after them; False: their own, as in the paper. A token
            that has only itself takes its own value either way.
    """

    def __init__(
        self,
        *,
        width: int,
        num_heads: int,
        head_width: int,
        window: int,
        num_buckets: int,
        num_rounds: int,
        max_rounds: int,
        successor_values: bool,
    ) -> None:
        super().__init__()
        self.successor_values = successor_values
        self.num_heads, self.head_width = num_heads, head_width
        self.window, self.num_buckets, self.num_rounds = window, num_buckets, num_rounds
        self.to_query_value = nn.Linear(width, 2 * num_heads * head_width, bias=False)
        self.to_out = nn.Linear(num_heads * head_width, width, bias=False)
        rotations = torch.randn(max_rounds, num_heads, head_width, num_buckets // 2)
        self.rotations_RHDK: Tensor
        self.register_buffer("rotations_RHDK", rotations)
        self._drawn_RHDK: Tensor | None = None

    def redraw_rotations(self, generator: torch.Generator | None) -> None:
        """Draw rotations for training; None goes back to the stored ones. `eval()` always uses the stored ones."""
        if generator is None:
            self._drawn_RHDK = None
            return
        shape = (self.num_rounds, *self.rotations_RHDK.shape[1:])
        self._drawn_RHDK = torch.randn(shape, generator=generator).to(self.rotations_RHDK.device)

    def buckets(self, query_BLHD: Tensor) -> Tensor:
        """Hash of every query: int16 [R, B, L, H], each below K."""
        drawn = self._drawn_RHDK if self.training else None
        rotations_RHDK = (self.rotations_RHDK if drawn is None else drawn)[: self.num_rounds]
        rounds = []
        for rotation_HDK in rotations_RHDK:
            with torch.autocast(query_BLHD.device.type, enabled=False):
                rotated_BLHK = torch.einsum("blhd,hdk->blhk", query_BLHD.detach().float(), rotation_HDK)
            highest, lowest = rotated_BLHK.max(dim=-1), rotated_BLHK.min(dim=-1)
            # argmax over [xR; -xR] without writing out its second half.
            bucket = torch.where(
                highest.values >= -lowest.values, highest.indices, lowest.indices + self.num_buckets // 2
            )
            rounds.append(bucket.to(torch.int16))
        return torch.stack(rounds)

    def forward(self, x_BLE: Tensor, sequence: Sequence, buckets_RBLH: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Attend; `buckets_RBLH` of an earlier pass over the same input are reused when given.

        Returns:
            Output [B, L, E] and the buckets, so that a reversible recomputation cannot hash differently.
        """
        out_BLE, buckets_RBLH, _ = self._attend(x_BLE, sequence, buckets_RBLH)
        return out_BLE, buckets_RBLH

    def prefill(self, x_BLE: Tensor, sequence: Sequence) -> tuple[Tensor, BucketCache]:
        """The parallel pass over a prompt, and the cache from which `step` goes on."""
        out_BLE, buckets_RBLH, (query_BLHD, value_BLHD) = self._attend(x_BLE, sequence, None)
        cache = BucketCache.filled(
            shared_key(query_BLHD),
            successors(value_BLHD) if self.successor_values else value_BLHD,
            buckets_RBLH,
            window=self.window,
            num_buckets=self.num_buckets,
        )
        return out_BLE, cache

    def step(self, x_BE: Tensor, cache: BucketCache) -> Tensor:
        """One token more for every row; the cache is updated in place. Costs O(R W), whatever the length."""
        query_BHD, value_BHD = self._project(x_BE)
        key_BHD = shared_key(query_BHD)
        buckets_BHR = self.buckets(query_BHD.unsqueeze(1))[:, :, 0].permute(1, 2, 0).long()
        if self.successor_values:
            cache.replace_last_value(value_BHD)
        keys, values, slot_BHR, count_BHR = cache.append(key_BHD, value_BHD, buckets_BHR)
        scores_BHRW = torch.einsum("bhd,bhrwd->bhrw", query_BHD, keys) * self.head_width**-0.5
        scores_BHRW.masked_fill_(cache.places >= (count_BHR + 1).unsqueeze(-1), -torch.inf)
        alone_BH1 = (count_BHR == 0).all(dim=-1, keepdim=True)
        penalty_BHR = torch.where(alone_BH1, 0.0, -SELF_PENALTY).expand_as(slot_BHR)
        scores_BHRW.scatter_add_(-1, slot_BHR.unsqueeze(-1), penalty_BHR.unsqueeze(-1))
        share = scores_BHRW.flatten(2).softmax(dim=-1)
        out_BHD = torch.einsum("bhn,bhnd->bhd", share, values.flatten(2, 3))
        return self.to_out(out_BHD.flatten(1))

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and values [..., H, D], float32."""
        shape = (*x.shape[:-1], 2, self.num_heads, self.head_width)
        query, value = self.to_query_value(x).view(shape).float().unbind(dim=-3)
        return query, value

    def _attend(
        self, x_BLE: Tensor, sequence: Sequence, buckets_RBLH: Tensor | None
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        query_BLHD, value_BLHD = self._project(x_BLE)
        if buckets_RBLH is None:
            buckets_RBLH = self.buckets(query_BLHD)
        segment_BL = sequence.group_BL * self.num_buckets
        out_BLHD = _SharedAttention.apply(
            query_BLHD, value_BLHD, segment_BL, buckets_RBLH, self.window, self.successor_values
        )
        return self.to_out(out_BLHD.flatten(2)), buckets_RBLH, (query_BLHD, value_BLHD)


def shared_key(query: Tensor) -> Tensor:
    """Keys of queries [..., D]: brought to root mean square 1."""
    return nn.functional.normalize(query, dim=-1) * query.shape[-1] ** 0.5


def successors(value_BL: Tensor) -> Tensor:
    """What each token's key brings, [B, L, ...]; the last token's own value stands until there is a token after it."""
    return torch.cat([value_BL[:, 1:], value_BL[:, -1:]], dim=1)


class _SharedAttention(torch.autograd.Function):
    """Attention with shared queries and keys, one head after another.

    Keys and successor values are made from queries and values in here, because nothing of their size should be kept.
    """

    @staticmethod
    def forward(ctx, query_BLHD, value_BLHD, segment_BL, buckets_RBLH, window, successor_values):  # type: ignore[no-untyped-def]
        out_BLHD = torch.empty_like(query_BLHD, memory_format=torch.contiguous_format)
        ctx.kept = []
        for head in range(query_BLHD.shape[2]):
            rounds = [
                sort_into_segments((segment_BL + bucket_BLH[:, :, head]).flatten()) for bucket_BLH in buckets_RBLH
            ]
            alone_N = rows_alone(rounds)
            value_BLD = value_BLHD[:, :, head]
            packed_NC = _pack_shared(query_BLHD[:, :, head], value_BLD, successor_values)
            out_ND, lse_N = head_forward(packed_NC, rounds, alone_N, window)
            if successor_values:
                # What comes after a token must not reach the token itself.
                out_ND = torch.where(alone_N.unsqueeze(1), value_BLD.flatten(0, 1), out_ND)
            out_BLHD[:, :, head] = out_ND.view(value_BLD.shape)
            ctx.kept.append((rounds, alone_N, lse_N))
        ctx.save_for_backward(query_BLHD, value_BLHD, out_BLHD)
        ctx.window, ctx.successor_values = window, successor_values
        return out_BLHD

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_BLHD):  # type: ignore[no-untyped-def]
        query_BLHD, value_BLHD, out_BLHD = ctx.saved_tensors
        d_query_BLHD, d_value_BLHD = (torch.empty(query_BLHD.shape, device=query_BLHD.device) for _ in range(2))
        for head, (rounds, alone_N, lse_N) in enumerate(ctx.kept):
            query_BLD, value_BLD = query_BLHD[:, :, head], value_BLHD[:, :, head]
            packed_NC = _pack_shared(query_BLD, value_BLD, ctx.successor_values)
            grad_ND, out_ND = (x[:, :, head].flatten(0, 1) for x in (grad_BLHD, out_BLHD))
            own_ND = None
            if ctx.successor_values:
                own_ND = grad_ND.masked_fill(~alone_N.unsqueeze(1), 0.0)
                grad_ND = grad_ND.masked_fill(alone_N.unsqueeze(1), 0.0)
            parts_NC = head_backward(grad_ND, out_ND, lse_N, packed_NC, rounds, alone_N, ctx.window)
            d_query, d_key, d_brought = (part.view(query_BLD.shape) for part in parts_NC.chunk(3, dim=1))
            d_query_BLHD[:, :, head] = d_query + _shared_key_backward(d_key, query_BLD)
            d_value = d_value_BLHD[:, :, head]
            if own_ND is None:
                d_value.copy_(d_brought)
            else:
                d_value.copy_(own_ND.view(query_BLD.shape))
                d_value[:, 1:] += d_brought[:, :-1]
        return d_query_BLHD, d_value_BLHD, None, None, None, None


def _pack_shared(query_BLD: Tensor, value_BLD: Tensor, successor_values: bool) -> Tensor:
    brought_BLD = successors(value_BLD) if successor_values else value_BLD
    return pack(query_BLD, shared_key(query_BLD), brought_BLD)


def _shared_key_backward(d_key: Tensor, query: Tensor) -> Tensor:
    """Gradient of the query through `shared_key`."""
    norm = query.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    unit = query / norm
    return (d_key - unit * (unit * d_key).sum(dim=-1, keepdim=True)) * (query.shape[-1] ** 0.5 / norm)
