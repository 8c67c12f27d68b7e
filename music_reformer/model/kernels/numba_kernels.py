"""A decoding step on the CPU in compiled loops (Numba): what `decoder.plain_step` does in hundreds of operations.

Shapes: B rows, E width, F outputs of a product, H heads, D head width, R rounds, K buckets of all rounds, W window,
P = 2 key and value, M places of a head's ring buffer, T places of a pool and Y their links (`cache.py`), V vocabulary,
G blocks of columns, N columns per block.

Rows are computed independently, and each sum in a fixed order, so a row's result does not depend on the number of rows.
Weights are packed in blocks of columns: a product reads them once, in order, for four rows at a time, and keeps its
sums in registers.
"""

# Numba compiles the bodies and infers their types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg, misc"

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic

# Numba imports SciPy's linear algebra, 20 MB, in case a loop calls it; ours do not.
if "scipy.linalg" not in sys.modules:
    sys.modules["scipy.linalg"] = None  # type: ignore[assignment]
    import numba.np.arraymath

    del sys.modules["scipy.linalg"]

COLUMNS = 64  # per block; faster than 16 and 32, with AVX-512 and with AVX2 (docs/experiments.md)
ROWS_AT_ONCE = 4
NORM_EPSILON = 1e-5  # torch.nn.LayerNorm
SMALLEST_NORM = 1e-12
LOG2_E = np.float32(1.4426950408889634)
LN_2_HIGH, LN_2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)  # Cody-Waite reduction: n * high is exact
LARGEST_EXPONENT = np.float32(87.0)


def _compiled(*, any_order: bool = False) -> Callable[[Any], Any]:
    """Compile at the first call, and cache on disk if possible. `any_order`: sums may be reordered (vectorised)."""
    flags = {"contract", "reassoc", "nsz"} if any_order else {"contract"}

    def compile_it(function: Any) -> Any:
        try:
            return numba.njit(nogil=True, fastmath=flags, cache=True, error_model="numpy")(function)
        except RuntimeError:  # no writable folder for the cache
            return numba.njit(nogil=True, fastmath=flags, error_model="numpy")(function)

    return compile_it


@intrinsic
def _sums(typing_context: Any) -> Any:
    """An array on the stack for the sums of a block, which LLVM keeps in registers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        room = cgutils.alloca_once(builder, ir.ArrayType(ir.FloatType(), ROWS_AT_ONCE * COLUMNS))
        room.align = 64
        return builder.bitcast(room, ir.FloatType().as_pointer())

    return types.CPointer(types.float32)(), generate


@_compiled()
def add_product(x_BE, weight_GEN, out_BF):
    """Add the product of inputs and a packed weight, without its padding, to `out_BF`."""
    num_rows, width = x_BE.shape
    num_columns = out_BF.shape[1]
    sums = carray(_sums(), (ROWS_AT_ONCE * COLUMNS,))
    for block in range((num_columns + COLUMNS - 1) // COLUMNS):
        first = block * COLUMNS
        count = min(COLUMNS, num_columns - first)
        row = 0
        while row + 1 < num_rows:
            # With two or three rows left, the last is repeated to make four: reading the weights dominates the time.
            row1, row2, row3 = row + 1, min(row + 2, num_rows - 1), min(row + 3, num_rows - 1)
            for n in range(ROWS_AT_ONCE * COLUMNS):
                sums[n] = 0.0
            for e in range(width):
                x0, x1, x2, x3 = x_BE[row, e], x_BE[row1, e], x_BE[row2, e], x_BE[row3, e]
                for n in range(COLUMNS):
                    weight = weight_GEN[block, e, n]
                    sums[n] += x0 * weight
                    sums[COLUMNS + n] += x1 * weight
                    sums[2 * COLUMNS + n] += x2 * weight
                    sums[3 * COLUMNS + n] += x3 * weight
            for i in range(min(ROWS_AT_ONCE, num_rows - row)):
                for n in range(count):
                    out_BF[row + i, first + n] += sums[i * COLUMNS + n]
            row += ROWS_AT_ONCE
        if row < num_rows:
            for n in range(COLUMNS):
                sums[n] = 0.0
            for e in range(width):
                x0 = x_BE[row, e]
                for n in range(COLUMNS):
                    sums[n] += x0 * weight_GEN[block, e, n]
            for n in range(count):
                out_BF[row, first + n] += sums[n]


@_compiled()
def product(x_BE, weight_GEN, num_columns):
    """Product of inputs and a packed weight, [B, F]."""
    out_BF = np.zeros((x_BE.shape[0], num_columns), np.float32)
    add_product(x_BE, weight_GEN, out_BF)
    return out_BF


@_compiled(any_order=True)
def _sum(x):
    total = np.float32(0.0)
    for i in range(len(x)):
        total += x[i]
    return total


@_compiled(any_order=True)
def _dot(x, y):
    total = np.float32(0.0)
    for i in range(len(x)):
        total += x[i] * y[i]
    return total


@_compiled()
def _exp(x):
    """exp(x) to 2 units in the last place, with x clamped to [-87, 87]. LLVM vectorises loops over it."""
    x = min(max(x, -LARGEST_EXPONENT), LARGEST_EXPONENT)
    n = np.floor(x * LOG2_E + np.float32(0.5))
    r = x - n * LN_2_HIGH - n * LN_2_LOW
    p = np.float32(1 / 720) * r + np.float32(1 / 120)
    p = p * r + np.float32(1 / 24)
    p = p * r + np.float32(1 / 6)
    p = p * r + np.float32(0.5)
    p = p * r + np.float32(1.0)
    p = p * r + np.float32(1.0)
    return p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@_compiled()
def normed(x_BE, scale_E, shift_E):
    """Layer norm (arXiv 1607.06450), [B, E]."""
    num_rows, width = x_BE.shape
    out_BE = np.empty((num_rows, width), np.float32)
    for row in range(num_rows):
        out_E = out_BE[row]
        mean = _sum(x_BE[row]) / np.float32(width)
        for e in range(width):
            out_E[e] = x_BE[row, e] - mean
        scale = np.float32(1.0) / np.sqrt(_dot(out_E, out_E) / np.float32(width) + np.float32(NORM_EPSILON))
        for e in range(width):
            out_E[e] = out_E[e] * scale * scale_E[e] + shift_E[e]
    return out_BE


@_compiled()
def embed(token_B, position_B, token_VE, row_PE, column_PE):
    """Token embedding plus axial position embedding (`axial_position.py`), [B, E]."""
    width, half = token_VE.shape[1], row_PE.shape[1]
    out_BE = np.empty((len(token_B), width), np.float32)
    for b in range(len(token_B)):
        row, column = position_B[b] // column_PE.shape[0], position_B[b] % column_PE.shape[0]
        for e in range(half):
            out_BE[b, e] = token_VE[token_B[b], e] + row_PE[row, e]
        for e in range(half, width):
            out_BE[b, e] = token_VE[token_B[b], e] + column_PE[column, e - half]
    return out_BE


@_compiled()
def feed_forward(first_BE, second_BE, scale_E, shift_E, inner_GEN, inner_bias_F, outer_GFN, outer_bias_E):
    """Add the feed-forward sublayer of the first stream to the second: linear, GELU (its tanh form), linear."""
    inner_BF = product(normed(first_BE, scale_E, shift_E), inner_GEN, len(inner_bias_F))
    for b in range(len(inner_BF)):
        for f in range(len(inner_bias_F)):
            x = inner_BF[b, f] + inner_bias_F[f]
            # 0.5 (1 + tanh u) = 1 / (1 + exp(-2 u))
            twice_u = np.float32(2 * math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
            inner_BF[b, f] = x / (np.float32(1.0) + _exp(-twice_u))
    for b in range(len(second_BE)):
        for e in range(len(outer_bias_E)):
            second_BE[b, e] += outer_bias_E[e]
    add_product(inner_BF, outer_GFN, second_BE)


@_compiled(any_order=True)
def _score(query_D, pair_MPD, scores_M):
    """Write the scores of the first keys, as many as `scores_M` has room for."""
    scale = np.float32(len(query_D) ** -0.5)
    for place in range(len(scores_M)):
        score = np.float32(0.0)
        for d in range(len(query_D)):
            score += query_D[d] * pair_MPD[place, 0, d]
        scores_M[place] = score * scale


@_compiled()
def _weigh(scores):
    """Replace scores by their exponentials, scaled so that the largest is 1; returns the sum, the softmax's divisor."""
    largest = scores[0]
    for i in range(len(scores)):
        largest = max(largest, scores[i])
    for i in range(len(scores)):
        scores[i] = _exp(scores[i] - largest)
    return _sum(scores)


@_compiled()
def _add_values(weights_M, pair_MPD, out_D):
    """Add the weighted sum of the values to `out_D`."""
    whole = len(weights_M) // 4 * 4
    for m in range(0, whole, 4):
        w0, w1, w2, w3 = weights_M[m], weights_M[m + 1], weights_M[m + 2], weights_M[m + 3]
        for d in range(len(out_D)):
            first = w0 * pair_MPD[m, 1, d] + w1 * pair_MPD[m + 1, 1, d]
            out_D[d] += first + (w2 * pair_MPD[m + 2, 1, d] + w3 * pair_MPD[m + 3, 1, d])
    for m in range(whole, len(weights_M)):
        for d in range(len(out_D)):
            out_D[d] += weights_M[m] * pair_MPD[m, 1, d]


@_compiled()
def rotary_attention(first_BE, second_BE, scale_E, shift_E, in_GEN, out_GFN, pair_BHMPD, position_B):
    """Add local or full attention (rotary positions, arXiv 2104.09864) of the second stream to the first.

    The token's key and value go into the ring buffer `pair_BHMPD`; for full attention that has places for all tokens.
    """
    num_rows, num_heads, num_places, _, width = pair_BHMPD.shape
    half = width // 2
    projected_BF = product(normed(second_BE, scale_E, shift_E), in_GEN, 3 * num_heads * width)
    out_BF = np.zeros((num_rows, num_heads * width), np.float32)
    cosine, sine = np.empty(half, np.float32), np.empty(half, np.float32)
    all_scores = np.empty(num_places, np.float32)
    for b in range(num_rows):
        position = position_B[b]
        for d in range(half):
            angle = position * 10_000.0 ** (-2.0 * d / width)  # In float64: see rotary.py.
            cosine[d], sine[d] = math.cos(angle), math.sin(angle)
        place = position % num_places
        scores = all_scores[: position + 1]  # all places once the ring is full
        for h in range(num_heads):
            query_D = projected_BF[b, h * width : (h + 1) * width]
            key_D = projected_BF[b, (num_heads + h) * width : (num_heads + h + 1) * width]
            value_D = projected_BF[b, (2 * num_heads + h) * width : (2 * num_heads + h + 1) * width]
            pair_MPD = pair_BHMPD[b, h]
            for d in range(half):
                x, y = query_D[d], query_D[half + d]
                query_D[d], query_D[half + d] = x * cosine[d] - y * sine[d], x * sine[d] + y * cosine[d]
                x, y = key_D[d], key_D[half + d]
                pair_MPD[place, 0, d] = x * cosine[d] - y * sine[d]
                pair_MPD[place, 0, half + d] = x * sine[d] + y * cosine[d]
            pair_MPD[place, 1] = value_D
            _score(query_D, pair_MPD, scores)
            total = _weigh(scores)
            out_D = out_BF[b, h * width : (h + 1) * width]
            _add_values(scores, pair_MPD, out_D)
            for d in range(width):
                out_D[d] /= total
    add_product(out_BF, out_GFN, first_BE)


@_compiled()
def _bucket(rotated, factors):
    """Bucket of a query whose hash is a product of hashes: argmax of [xR; -xR] of each, combined into one number.

    Args:
        rotated: xR of all the hashes, side by side.
        factors: number of buckets of each; 0 ends them.
    """
    bucket, first = 0, 0
    for factor in factors:
        if factor == 0:
            break
        largest = first
        for i in range(first + 1, first + factor // 2):
            if abs(rotated[i]) > abs(rotated[largest]):
                largest = i
        bucket = bucket * factor + largest - first + (factor // 2 if rotated[largest] < 0 else 0)
        first += factor // 2
    return bucket


@_compiled(any_order=True)
def _score_chain(query_D, pair_THPD, head, link, link_Y, links_of_place, places_M, scores_M):
    """Follow a chain of links, newest first, as far as there is room; write places and scores; return their number.

    The next link is loaded before a score is computed, to overlap the two.
    """
    scale = np.float32(len(query_D) ** -0.5)
    count = 0
    while count < len(places_M) and link >= links_of_place:
        place = link // links_of_place
        link = link_Y[link]
        places_M[count] = place
        score = np.float32(0.0)
        for d in range(len(query_D)):
            score += query_D[d] * pair_THPD[place, head, 0, d]
        scores_M[count] = score * scale
        count += 1
    return count


@_compiled()
def _add_values_of_places(weights_M, pair_THPD, head, places_M, out_D):
    """Add the weighted sum of the values at the given places to `out_D`."""
    whole = len(weights_M) // 4 * 4
    for m in range(0, whole, 4):
        w0, w1, w2, w3 = weights_M[m], weights_M[m + 1], weights_M[m + 2], weights_M[m + 3]
        t0, t1, t2, t3 = places_M[m], places_M[m + 1], places_M[m + 2], places_M[m + 3]
        for d in range(len(out_D)):
            first = w0 * pair_THPD[t0, head, 1, d] + w1 * pair_THPD[t1, head, 1, d]
            out_D[d] += first + (w2 * pair_THPD[t2, head, 1, d] + w3 * pair_THPD[t3, head, 1, d])
    for m in range(whole, len(weights_M)):
        place = places_M[m]
        for d in range(len(out_D)):
            out_D[d] += weights_M[m] * pair_THPD[place, head, 1, d]


# Of the arguments, those from `pair_THPD` on are tensors of `cache.BucketCache`; `place_B` are the new tokens' places.
@_compiled()
def lsh_attention(
    first_BE,
    second_BE,
    scale_E,
    shift_E,
    in_GEN,
    out_GFN,
    rotations_HGDN,
    factors_RF,
    successor_values,
    pair_THPD,
    link_Y,
    newest_BHK,
    first_bucket_R,
    last_place_B,
    place_B,
    window,
):
    """Add LSH attention (Reformer, section 2) of the second stream to the first; the token joins its buckets."""
    num_rows, (_, num_heads, _, width), num_rounds = len(first_BE), pair_THPD.shape, len(first_bucket_R)
    links_of_place = num_heads * num_rounds
    projected_BF = product(normed(second_BE, scale_E, shift_E), in_GEN, 2 * num_heads * width)
    out_BF = np.zeros((num_rows, num_heads * width), np.float32)
    num_rotated = factors_RF[:num_rounds].sum() // 2
    places = np.empty(num_rounds * (window - 1), np.int64)
    all_scores = np.empty(num_rounds * (window - 1), np.float32)
    for h in range(num_heads):
        query_BD = np.ascontiguousarray(projected_BF[:, h * width : (h + 1) * width])
        rotated_BF = product(query_BD, rotations_HGDN[h], num_rotated)
        for b in range(num_rows):
            query_D = query_BD[b]
            value_D = projected_BF[b, (num_heads + h) * width : (num_heads + h + 1) * width]
            key_scale = np.float32(math.sqrt(width)) / max(np.sqrt(_dot(query_D, query_D)), np.float32(SMALLEST_NORM))
            if successor_values:
                pair_THPD[last_place_B[b], h, 1] = value_D
            for d in range(width):
                pair_THPD[place_B[b], h, 0, d] = query_D[d] * key_scale
            pair_THPD[place_B[b], h, 1] = value_D
            count, first_rotated = 0, 0
            for r in range(num_rounds):
                bucket = first_bucket_R[r] + _bucket(rotated_BF[b, first_rotated:], factors_RF[r])
                first_rotated += factors_RF[r].sum() // 2
                link, own = newest_BHK[b, h, bucket], place_B[b] * links_of_place + h * num_rounds + r
                room = slice(count, count + window - 1)
                count += _score_chain(
                    query_D, pair_THPD, h, link, link_Y, links_of_place, places[room], all_scores[room]
                )
                link_Y[own] = link
                newest_BHK[b, h, bucket] = own
            out_D = out_BF[b, h * width : (h + 1) * width]
            if count == 0:  # The token sees no other, so it takes its own value.
                out_D[:] = value_D
                continue
            scores = all_scores[:count]
            total = _weigh(scores)
            _add_values_of_places(scores, pair_THPD, h, places[:count], out_D)
            for d in range(width):
                out_D[d] /= total
    add_product(out_BF, out_GFN, first_BE)


@_compiled()
def logits(first_BE, second_BE, scale_E, shift_E, token_GEN, vocabulary):
    """Logits of the next token, [B, V]."""
    return product(normed(first_BE + second_BE, scale_E, shift_E), token_GEN, vocabulary)
