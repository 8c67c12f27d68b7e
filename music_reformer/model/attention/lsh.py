"""Locality-sensitive hashing attention, exactly causal (Reformer, arXiv 2001.04451, section 2).

Shapes: B batch, L tokens, E width, H heads, D head width, R rounds, W window, K buckets,
G groups of rows that are hashed by the same rotations.

Queries and keys are shared and hashed, h(x) = argmax [xR; -xR]. Keys are k = sqrt(D) q / |q|, so that the scores
q.k / sqrt(D) are |q| cos(q, k), as in the authors' code; without the factor they would be sqrt(D) times flatter. In one
round a token attends to the last W members of its own bucket; to itself only if it sees no other. This set depends
only on tokens up to the present one, whereas the chunks of the paper's implementation depend on the buckets of all
tokens. So the likelihood is exact, cached decoding equals the parallel pass, and padding or packing changes nothing.

With `successor_values`, a key is paired with the value of the token *after* it. Since queries and keys are shared, a
token finds earlier places that resemble its own and reads how they continued (an induction head, arXiv 2209.11895, in
one layer). A token attends only to strictly earlier tokens, whose successors are past or present, so nothing leaks.
See docs/decisions/001 and 003.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from music_reformer.model.attention.cache import BucketCache, Moment
from music_reformer.model.attention.documents import Documents
from music_reformer.model.attention.hashing import (
    across,
    drawn_rotations,
    factors_of_rounds,
    fixed_rotations,
    hash_queries,
)
from music_reformer.model.kernels.torch_banded import (
    MASKED,
    Workspace,
    head_backward,
    head_forward,
    rows_alone,
    side_by_side,
    sort_into_segments,
)
from music_reformer.model.kernels.triton_attention import TritonSharedAttention, form_for
from music_reformer.model.precision import full_precision

SMALLEST_NORM = 1e-12


class LSHAttention(nn.Module):
    """Multi-round LSH self-attention with shared queries and keys (paper, section 2, eq. 6).

    Args:
        width: E, of the residual stream.
        num_heads: H.
        head_width: D.
        window: W, members of its bucket that a token sees in one round.
        num_buckets: K of the first rounds, all even; further rounds repeat the pattern. Few buckets hold the recent
            past, many reach far back. Constant whatever the length. A large number is the product of two hashes
            (`bucket_factors`).
        num_rounds: R, the number of rounds used in training and, by default, afterwards.
        max_rounds: the number of rounds with rotations, so that evaluation may use more than training.
        successor_values: pair each key with the value of the token after it; False: with its own, as in the paper. A
            token that sees no other takes its own value either way.
        seed: seed of the rotations used in evaluation. They are not learnt, so files of weights do not hold them.
    """

    def __init__(
        self,
        *,
        width: int,
        num_heads: int,
        head_width: int,
        window: int,
        num_buckets: Sequence[int],
        num_rounds: int,
        max_rounds: int,
        successor_values: bool,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.successor_values = successor_values
        self.num_heads, self.head_width = num_heads, head_width
        self.window, self.num_rounds = window, num_rounds
        self.factors = factors_of_rounds(num_buckets, max_rounds)
        self.num_buckets = [math.prod(of_round) for of_round in self.factors]
        self.to_query_value = nn.Linear(width, 2 * num_heads * head_width, bias=False)
        self.to_out = nn.Linear(num_heads * head_width, width, bias=False)
        self.rotations_RHDK: Tensor
        rotations_RHDK = fixed_rotations(self.factors, num_heads=num_heads, head_width=head_width, seed=seed)
        self.register_buffer("rotations_RHDK", rotations_RHDK, persistent=False)
        self._row_seeds: range | None = None
        # In a list, so that torch does not register its parameters as this layer's, too.
        self._norm: list[nn.LayerNorm] = []
        self.register_load_state_dict_pre_hook(_without_stored_rotations)

    def hash_across(self, norm: nn.LayerNorm) -> None:
        """Make fine hashes ignore what all queries have in common: the direction given by the bias of `norm`.

        In trained weights, the mean query points in this direction (cosine about 0.97) and is longer than the
        differences between queries: a hash of the whole query puts a quarter of all tokens into one bucket, whatever
        the number of buckets. The direction depends only on parameters, so the attention stays exactly causal.

        Args:
            norm: the layer norm whose output is this layer's input.
        """
        self._norm = [norm]

    def redraw_rotations(self, row_seeds: range | None) -> None:
        """Draw random rotations in training; None returns to the fixed ones, which `eval()` always uses.

        Each row of a batch has its own, so that a step learns from as many hashes as it has rows (the task of the
        paper's Table 2 is learnt far better, docs/decisions/009).

        Args:
            row_seeds: seeds of row 0, row 1, and so on; at least as many as a batch has rows.
        """
        self._row_seeds = row_seeds

    def buckets(self, query_BLHD: Tensor, num_rounds: int | None = None) -> Tensor:
        """Bucket of every query in the first `num_rounds` rounds (None: those in use): int16 [R, B, L, H], below K."""
        num_rounds = self.num_rounds if num_rounds is None else num_rounds
        rotations_RHDK = self.rotations_RHDK[:num_rounds]
        if self.training and self._row_seeds is not None:
            rotations_GRHDK = drawn_rotations(self._row_seeds[: len(query_BLHD)], like_RHDK=rotations_RHDK)
        else:
            rotations_GRHDK = rotations_RHDK.unsqueeze(0)
        return hash_queries(query_BLHD, self.turned(rotations_GRHDK), self.factors[:num_rounds])

    @torch.no_grad()
    def turned(self, rotations_RHDK: Tensor) -> Tensor:
        """Rotations [..., R, H, D, K] that ignore what all queries have in common (`hash_across`)."""
        factors = self.factors[: rotations_RHDK.shape[-4]]
        if not self._norm or all(len(of_round) == 1 for of_round in factors):
            return rotations_RHDK
        weight_HDE = self.to_query_value.weight.unflatten(0, (2, self.num_heads, self.head_width))[0]
        with full_precision(rotations_RHDK.device):
            common_HD = weight_HDE.float() @ self._norm[0].bias.float()
        return across(rotations_RHDK, common_HD, factors)

    def forward(self, x_BLE: Tensor, documents: Documents, buckets_RBLH: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Attend.

        Args:
            x_BLE: input, normed.
            documents: of the batch.
            buckets_RBLH: buckets of an earlier pass over the same input, so that a reversible recomputation cannot
                hash differently; None: hash the queries.

        Returns:
            Output [B, L, E], and the buckets.
        """
        query_value_BLTHD = self._project(x_BLE)
        if buckets_RBLH is None:
            buckets_RBLH = self.buckets(query_value_BLTHD[:, :, 0])
        return self._attend(query_value_BLTHD, documents, buckets_RBLH), buckets_RBLH

    def prefill(self, x_BLE: Tensor, documents: Documents, num_rounds: int) -> tuple[Tensor, BucketCache]:
        """Output [B, L, E] for prompts, and the cache with which `step` continues, using as many rounds."""
        query_value_BLTHD = self._project(x_BLE)
        query_BLHD, value_BLHD = query_value_BLTHD.unbind(dim=2)
        buckets_RBLH = self.buckets(query_BLHD, num_rounds)
        out_BLE = self._attend(query_value_BLTHD, documents, buckets_RBLH)
        cache = BucketCache.filled(
            shared_key(query_BLHD.float()),
            successors(value_BLHD.float()) if self.successor_values else value_BLHD.float(),
            buckets_RBLH,
            window=self.window,
            num_buckets=self.num_buckets[:num_rounds],
        )
        return out_BLE, cache

    def step(self, x_BE: Tensor, cache: BucketCache, moment: Moment) -> Tensor:
        """Output [B, E] for one more token in every row; the cache is updated in place. Costs O(R W) at any length."""
        query_BHD, value_BHD = self._project(x_BE).float().unbind(dim=1)
        buckets_BHR = self.buckets(query_BHD.unsqueeze(1), cache.num_rounds)[:, :, 0].permute(1, 2, 0).long()
        if self.successor_values:
            cache.replace_last_value(value_BHD)
        key_BHND, value_BHND, bias = cache.append(shared_key(query_BHD), value_BHD, buckets_BHR)
        out_BH1D = scaled_dot_product_attention(query_BHD.unsqueeze(2), key_BHND, value_BHND, attn_mask=bias)
        return self.to_out(out_BH1D.flatten(1))

    def _project(self, x: Tensor) -> Tensor:
        """Queries and values side by side, [..., 2, H, D]."""
        return self.to_query_value(x).view(*x.shape[:-1], 2, self.num_heads, self.head_width)

    def _attend(self, query_value_BLTHD: Tensor, documents: Documents, buckets_RBLH: Tensor) -> Tensor:
        attention = form_for(query_value_BLTHD.device, TorchSharedAttention, TritonSharedAttention, shared_example)
        segment_BL = documents.segments(max(self.num_buckets))
        out_BLHD = attention.apply(query_value_BLTHD, segment_BL, buckets_RBLH, self.window, self.successor_values)
        return self.to_out(out_BLHD.flatten(2))


def _without_stored_rotations(layer: LSHAttention, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Drop the rotations that older checkpoints hold."""
    state.pop(prefix + "rotations_RHDK", None)


def shared_key(query: Tensor) -> Tensor:
    """Keys of queries [..., D]: the queries, scaled to root mean square 1."""
    return query * _key_scale(query)


def _key_scale(query: Tensor) -> Tensor:
    """The factor from a query to its key: sqrt(D) / |q|, [..., 1]."""
    norm = torch.linalg.vector_norm(query, dim=-1, keepdim=True).clamp_min_(SMALLEST_NORM)
    return norm.reciprocal_().mul_(query.shape[-1] ** 0.5)


def successors(value_BL: Tensor) -> Tensor:
    """The value of each token's successor, [B, L, ...]; the last token keeps its own until a token follows."""
    return torch.cat([value_BL[:, 1:], value_BL[:, -1:]], dim=1)


def shared_example(device: torch.device) -> tuple[Tensor, Tensor, Tensor, int, bool]:
    """Example arguments for comparing implementations of attention with shared queries and keys."""
    noise = torch.Generator().manual_seed(0)
    query_value_BLTHD = torch.randn(2, 150, 2, 2, 64, generator=noise).to(device)
    segment_BL = torch.tensor([[0], [3]], device=device).expand(2, 150)
    buckets_RBLH = torch.randint(0, 3, (2, 2, 150, 2), generator=noise).to(device)
    return query_value_BLTHD, segment_BL, buckets_RBLH, 40, True


class TorchSharedAttention(torch.autograd.Function):
    """Attention with shared queries and keys, one head after another.

    Computes keys and successor values from queries and values, so that they need not be kept for backward. The gradient
    overwrites the input, which nothing else needs; autograd refuses a second backward through the same graph.
    """

    @staticmethod
    def forward(ctx, query_value_BLTHD, segment_BL, buckets_RBLH, window, successor_values):  # type: ignore[no-untyped-def]
        """Attend.

        Args:
            query_value_BLTHD: queries and values, [B, L, 2, H, D].
            segment_BL: first segment of each token's group (`Documents.segments`).
            buckets_RBLH: bucket of each query in each round.
            window: W.
            successor_values: as in `LSHAttention`.

        Returns:
            Output [B, L, H, D], float32.
        """
        query_value_BLTHD = query_value_BLTHD.float()  # bfloat16 under autocast
        batch, length, _, num_heads, width = query_value_BLTHD.shape
        out_BLHD = query_value_BLTHD.new_empty(batch, length, num_heads, width)
        work = Workspace(out_BLHD.device)
        ctx.kept = []
        for head in range(num_heads):
            rounds = [
                sort_into_segments((segment_BL + bucket_BLH[:, :, head]).flatten()) for bucket_BLH in buckets_RBLH
            ]
            rows_N2D, key_scale_N = _head(query_value_BLTHD[:, :, :, head], successor_values, work)
            out_ND, lse_N = head_forward(
                rows_N2D, rounds, window=window, see_itself=False, work=work, key_scale_N=key_scale_N
            )
            # Rows that see no other take their own value, and are excluded from backward's products.
            alone = rows_alone(rounds)
            out_ND[alone] = query_value_BLTHD.view(batch * length, 2, num_heads, width)[alone, 1, head]
            lse_N[alone] = -MASKED
            out_BLHD[:, :, head] = out_ND.view(batch, length, width)
            ctx.kept.append((rounds, alone, lse_N))
        ctx.save_for_backward(query_value_BLTHD, out_BLHD)
        ctx.window, ctx.successor_values = window, successor_values
        return out_BLHD

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_BLHD):  # type: ignore[no-untyped-def]
        """Gradient of the first argument; the others have none."""
        query_value_BLTHD, out_BLHD = ctx.saved_tensors
        batch, length, _, num_heads, width = query_value_BLTHD.shape
        d_query_value_NTHD = query_value_BLTHD.view(batch * length, 2, num_heads, width)
        work = Workspace(out_BLHD.device)
        for head, (rounds, alone, lse_N) in enumerate(ctx.kept):
            rows_N2D, key_scale_N = _head(query_value_BLTHD[:, :, :, head], ctx.successor_values, work)
            grad_out_N2D = side_by_side(grad_BLHD[:, :, head], out_BLHD[:, :, head], work)
            d_query_ND, d_key_ND, d_brought_ND = head_backward(
                grad_out_N2D,
                lse_N,
                rows_N2D,
                rounds,
                window=ctx.window,
                see_itself=False,
                work=work,
                key_scale_N=key_scale_N,
            )
            torch.add(d_query_ND, shared_key_backward(d_key_ND, rows_N2D[:, 0]), out=d_query_value_NTHD[:, 0, head])
            d_value_ND = d_query_value_NTHD[:, 1, head]
            if ctx.successor_values:
                d_value_ND[0] = 0.0
                d_value_ND[1:] = d_brought_ND[:-1]
            else:
                d_value_ND.copy_(d_brought_ND)
            d_value_ND[alone] += grad_out_N2D[alone, 0]
        return query_value_BLTHD, None, None, None, None


def _head(query_value_BLTD: Tensor, successor_values: bool, work: Workspace) -> tuple[Tensor, Tensor]:
    """Queries and the values paired with keys, of one head, [N, 2, D], in `work`; factors from queries to keys, [N]."""
    batch, length, _, width = query_value_BLTD.shape
    rows_N2D = work.take("rows", batch * length, 2, width)
    rows_BL2D = rows_N2D.view(query_value_BLTD.shape)
    if successor_values:
        rows_BL2D[:, :, 0] = query_value_BLTD[:, :, 0]
        rows_BL2D[:, :-1, 1] = query_value_BLTD[:, 1:, 1]
        # Nothing attends to a row's last token, so the value paired with it does not matter.
        rows_BL2D[:, -1, 1] = 0.0
    else:
        rows_BL2D.copy_(query_value_BLTD)
    return rows_N2D, _key_scale(rows_N2D[:, 0]).squeeze(1)


def shared_key_backward(d_key: Tensor, query: Tensor) -> Tensor:
    """Gradient of the query through `shared_key`; overwrites `d_key`."""
    norm = torch.linalg.vector_norm(query, dim=-1, keepdim=True).clamp_min_(SMALLEST_NORM)
    with full_precision(query.device):
        along = torch.linalg.vecdot(query, d_key).unsqueeze(-1).div_(norm.square())
    return d_key.addcmul_(query, along, value=-1.0).mul_(norm.reciprocal_().mul_(query.shape[-1] ** 0.5))
