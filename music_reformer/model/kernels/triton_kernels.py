"""The Triton kernels of `triton_attention.py`; imported only where Triton is installed.

Shapes: B batch, L tokens, N = B L rows, R rounds, H heads, D = WIDTH head width, W = WINDOW; PADDED is WIDTH rounded up
to a power of two, BLOCK the rows of a program, REACH the blocks that a window reaches back.

A program handles the rows at BLOCK consecutive sorted places of one head in one round. It reads its rows, and those of
the REACH blocks before (for gradients of keys: after) them, from their places in memory, and writes the results of its
own rows. In one round each row belongs to one program, so no two programs write to the same address.
`torch_banded.py` has the same computation in plain torch.
"""

# Triton compiles the bodies, and its annotations are not Python types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc"

import triton
import triton.language as tl

MASKED: tl.constexpr = tl.constexpr(-1e30)
# A logsumexp above this marks a row that sees no other (see the end of `forward_round`).
ALONE: tl.constexpr = tl.constexpr(1e29)
SMALLEST_NORM: tl.constexpr = tl.constexpr(1e-12)


@triton.jit
def _places(block, orders, segments, num_rows, BLOCK: tl.constexpr):
    """A block's sorted places, whether each exists, their rows, and their segments (-1 for a missing place)."""
    place = block * BLOCK + tl.arange(0, BLOCK)
    there = (place >= 0) & (place < num_rows)
    row = tl.load(orders + place, mask=there, other=0).to(tl.int64)
    return place, there, row, tl.load(segments + place, mask=there, other=-1)


@triton.jit
def _of_head(orders, segments, order_stride, head):
    """Pointers to the order and to the segments of one head."""
    at = head.to(tl.int64) * order_stride
    return orders + at, segments + at


@triton.jit
def _cells(pointer, row, there, stride, head_stride, head, WIDTH: tl.constexpr, PADDED: tl.constexpr):
    """Addresses of rows of one head, [BLOCK, PADDED], and a mask of those that exist."""
    column = tl.arange(0, PADDED)
    at = pointer + row[:, None] * stride + head * head_stride + column[None, :]
    return at, there[:, None] & (column < WIDTH)[None, :]


@triton.jit
def _rows(pointer, row, there, stride, head_stride, head, WIDTH: tl.constexpr, PADDED: tl.constexpr):
    """Rows of one head, [BLOCK, PADDED]; zeros for missing rows and columns."""
    at, mask = _cells(pointer, row, there, stride, head_stride, head, WIDTH, PADDED)
    return tl.load(at, mask=mask, other=0.0)


@triton.jit
def _keys_and_values(
    block, key, value, orders, segments, num_rows, stride, head_stride, head,
    WIDTH: tl.constexpr, PADDED: tl.constexpr, BLOCK: tl.constexpr, SUCCESSOR: tl.constexpr,
):  # fmt: skip
    """A block's keys and the values paired with them, [BLOCK, PADDED]; the keys' sorted places and segments.

    With SUCCESSOR 1, a key is paired with the value of the row after it; with 0, with its own.
    """
    place, there, row, segment = _places(block, orders, segments, num_rows, BLOCK)
    k = _rows(key, row, there, stride, head_stride, head, WIDTH, PADDED)
    brings = row + SUCCESSOR
    v = _rows(value, brings, there & (brings < num_rows), stride, head_stride, head, WIDTH, PADDED)
    return k, v, place, segment


@triton.jit
def _per_norm(x):
    """1 / |x| of every row."""
    x = x.to(tl.float32)
    return 1.0 / tl.maximum(tl.sqrt(tl.sum(x * x, axis=1)), SMALLEST_NORM)


@triton.jit
def _scores(
    q, k, q_place, k_place, q_segment, k_segment, scale,
    WINDOW: tl.constexpr, NEAREST: tl.constexpr, SHARED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Scores of queries with keys, float32 [BLOCK, BLOCK], and a mask of the keys that each query sees."""
    scores = tl.dot(q, tl.trans(k), input_precision=PRECISION)
    scores *= _per_norm(k)[None, :] if SHARED else scale  # sqrt(D) / |k| / sqrt(D)
    distance = q_place[:, None] - k_place[None, :]
    seen = (q_segment[:, None] == k_segment[None, :]) & (distance >= NEAREST) & (distance < WINDOW)
    return scores, seen


@triton.jit
def forward_round(
    query, key, value, orders, segments, order_stride, joined, out, lse,
    num_rows, num_heads, stride, head_stride, scale,
    WIDTH: tl.constexpr, PADDED: tl.constexpr, BLOCK: tl.constexpr, REACH: tl.constexpr, WINDOW: tl.constexpr,
    NEAREST: tl.constexpr, SHARED: tl.constexpr, SUCCESSOR: tl.constexpr, FIRST: tl.constexpr, LAST: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """One block of one head in one round: output [N, H, D] and logsumexp [H, N], merged with the rounds before.

    The last round writes to `out`, the others to `joined`. Softmax is computed online (arXiv 2307.08691, algorithm 1).
    """
    block, head = tl.program_id(0), tl.program_id(1)
    orders, segments = _of_head(orders, segments, order_stride, head)
    q_place, q_there, q_row, q_segment = _places(block, orders, segments, num_rows, BLOCK)
    q = _rows(query, q_row, q_there, stride, head_stride, head, WIDTH, PADDED)
    largest = tl.full([BLOCK], MASKED, tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    result = tl.zeros([BLOCK, PADDED], tl.float32)
    for back in tl.static_range(REACH + 1):
        k, v, k_place, k_segment = _keys_and_values(
            block - back, key, value, orders, segments, num_rows, stride, head_stride, head,
            WIDTH, PADDED, BLOCK, SUCCESSOR,
        )  # fmt: skip
        scores, seen = _scores(q, k, q_place, k_place, q_segment, k_segment, scale, WINDOW, NEAREST, SHARED, PRECISION)
        new_largest = tl.maximum(largest, tl.max(tl.where(seen, scores, MASKED), axis=1))
        share = tl.where(seen, tl.exp(scores - new_largest[:, None]), 0.0)
        kept = tl.exp(largest - new_largest)
        total = total * kept + tl.sum(share, axis=1)
        result = result * kept[:, None] + tl.dot(share.to(v.dtype), v, input_precision=PRECISION)
        largest = new_largest
    result = result / tl.where(total > 0.0, total, 1.0)[:, None]
    logsum = tl.where(total > 0.0, largest + tl.log(tl.where(total > 0.0, total, 1.0)), MASKED)

    at, mask = _cells(joined, q_row, q_there, num_heads * WIDTH, WIDTH, head, WIDTH, PADDED)
    logsum_at = lse + head.to(tl.int64) * num_rows + q_row
    if not FIRST:
        before = tl.load(logsum_at, mask=q_there, other=MASKED)
        most = tl.maximum(before, logsum)
        of_before, of_this = tl.exp(before - most), tl.exp(logsum - most)
        sum_of_both = of_before + of_this
        result = (
            tl.load(at, mask=mask, other=0.0) * (of_before / sum_of_both)[:, None]
            + result * (of_this / sum_of_both)[:, None]
        )
        logsum = most + tl.log(sum_of_both)
    if LAST and NEAREST > 0:
        # Rows that see no other take their own value, and are excluded from backward's products.
        alone = logsum < -ALONE
        own = _rows(value, q_row, q_there & alone, stride, head_stride, head, WIDTH, PADDED)
        result = tl.where(alone[:, None], own.to(tl.float32), result)
        logsum = tl.where(alone, -MASKED, logsum)
    if LAST:
        at, mask = _cells(out, q_row, q_there, num_heads * WIDTH, WIDTH, head, WIDTH, PADDED)
    tl.store(at, result, mask=mask)
    tl.store(logsum_at, logsum, mask=q_there)


@triton.jit
def _add(sums, to, x, row, there, stride, head_stride, head, FIRST: tl.constexpr, LAST: tl.constexpr,
         WIDTH: tl.constexpr, PADDED: tl.constexpr):  # fmt: skip
    """Add `x` to rows of one head in `sums` (FIRST: `sums` is still uninitialised); LAST: write the total to `to`."""
    at, mask = _cells(sums, row, there, stride, head_stride, head, WIDTH, PADDED)
    if not FIRST:
        x += tl.load(at, mask=mask, other=0.0)
    if LAST:
        at, mask = _cells(to, row, there, stride, head_stride, head, WIDTH, PADDED)
    tl.store(at, x, mask=mask)


@triton.jit
def backward_queries(
    query, key, value, grad, out, delta, lse, sum_query, d_query, orders, segments, order_stride,
    num_rows, num_heads, stride, head_stride, d_stride, d_head_stride, scale,
    WIDTH: tl.constexpr, PADDED: tl.constexpr, BLOCK: tl.constexpr, REACH: tl.constexpr, WINDOW: tl.constexpr,
    NEAREST: tl.constexpr, SHARED: tl.constexpr, SUCCESSOR: tl.constexpr, FIRST: tl.constexpr, LAST: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """One block of one head in one round: the gradient of its queries, without their part through shared keys.

    As in arXiv 2307.08691, algorithm 2. `delta` [H, N] is the sum of gradient times output over D; the first round
    writes it for `backward_keys` and the later rounds. `lse` [H, N] is the logsumexp of all rounds.
    """
    block, head = tl.program_id(0), tl.program_id(1)
    orders, segments = _of_head(orders, segments, order_stride, head)
    of_head = head.to(tl.int64) * num_rows
    place, there, row, segment = _places(block, orders, segments, num_rows, BLOCK)
    q = _rows(query, row, there, stride, head_stride, head, WIDTH, PADDED)
    g = _rows(grad, row, there, num_heads * WIDTH, WIDTH, head, WIDTH, PADDED)
    logsum = tl.load(lse + of_head + row, mask=there, other=-MASKED)
    if FIRST:
        result = _rows(out, row, there, num_heads * WIDTH, WIDTH, head, WIDTH, PADDED)
        along = tl.sum(g.to(tl.float32) * result.to(tl.float32), axis=1)
        tl.store(delta + of_head + row, along, mask=there)
    else:
        along = tl.load(delta + of_head + row, mask=there, other=0.0)
    d_q = tl.zeros([BLOCK, PADDED], tl.float32)
    for back in tl.static_range(REACH + 1):
        k, v, k_place, k_segment = _keys_and_values(
            block - back, key, value, orders, segments, num_rows, stride, head_stride, head,
            WIDTH, PADDED, BLOCK, SUCCESSOR,
        )  # fmt: skip
        scores, seen = _scores(q, k, place, k_place, segment, k_segment, scale, WINDOW, NEAREST, SHARED, PRECISION)
        share = tl.where(seen, tl.exp(scores - logsum[:, None]), 0.0)
        d_share = tl.dot(g, tl.trans(v), input_precision=PRECISION)
        d_scores = share * (d_share - along[:, None])
        d_scores *= _per_norm(k)[None, :] if SHARED else scale
        d_q += tl.dot(d_scores.to(k.dtype), k, input_precision=PRECISION)
    is_whole: tl.constexpr = LAST and not SHARED
    _add(sum_query, d_query, d_q, row, there, d_stride, d_head_stride, head, FIRST, is_whole, WIDTH, PADDED)


@triton.jit
def backward_keys(
    query, key, value, grad, delta, lse, sum_key, sum_value, d_key, d_value, orders, segments, order_stride,
    num_rows, num_heads, stride, head_stride, d_stride, d_head_stride, scale,
    WIDTH: tl.constexpr, PADDED: tl.constexpr, BLOCK: tl.constexpr, REACH: tl.constexpr, WINDOW: tl.constexpr,
    NEAREST: tl.constexpr, SHARED: tl.constexpr, SUCCESSOR: tl.constexpr, FIRST: tl.constexpr, LAST: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """One block of one head in one round: gradients of its keys and their paired values; see `backward_queries`.

    With SHARED, `d_key` is the gradient of the queries, from which keys are made, and `sum_key` that of
    `backward_queries`.
    """
    block, head = tl.program_id(0), tl.program_id(1)
    orders, segments = _of_head(orders, segments, order_stride, head)
    of_head = head.to(tl.int64) * num_rows
    place, there, row, segment = _places(block, orders, segments, num_rows, BLOCK)
    k = _rows(key, row, there, stride, head_stride, head, WIDTH, PADDED)
    # No key is paired with the first row's value. The last key has no successor, so its program writes that gradient.
    brings = (row + SUCCESSOR) % num_rows
    v = _rows(value, brings, there, stride, head_stride, head, WIDTH, PADDED)
    d_k = tl.zeros([BLOCK, PADDED], tl.float32)
    d_v = tl.zeros([BLOCK, PADDED], tl.float32)
    for ahead in tl.static_range(REACH + 1):
        q_place, q_there, q_row, q_segment = _places(block + ahead, orders, segments, num_rows, BLOCK)
        q = _rows(query, q_row, q_there, stride, head_stride, head, WIDTH, PADDED)
        g = _rows(grad, q_row, q_there, num_heads * WIDTH, WIDTH, head, WIDTH, PADDED)
        logsum = tl.load(lse + of_head + q_row, mask=q_there, other=-MASKED)
        along = tl.load(delta + of_head + q_row, mask=q_there, other=0.0)
        scores, seen = _scores(q, k, q_place, place, q_segment, segment, scale, WINDOW, NEAREST, SHARED, PRECISION)
        share = tl.where(seen, tl.exp(scores - logsum[:, None]), 0.0)
        d_v += tl.dot(tl.trans(share.to(g.dtype)), g, input_precision=PRECISION)
        d_share = tl.dot(g, tl.trans(v), input_precision=PRECISION)
        d_scores = share * (d_share - along[:, None])
        d_k += tl.dot(tl.trans(d_scores.to(q.dtype)), q, input_precision=PRECISION)
    if SHARED:
        # Through k = q sqrt(D) / |q|: the component along q has no effect on k.
        per_norm = _per_norm(k)
        x = k.to(tl.float32) * per_norm[:, None]
        d_k = (d_k - x * tl.sum(x * d_k, axis=1)[:, None]) * per_norm[:, None]
    else:
        d_k *= scale
    starts: tl.constexpr = FIRST and not SHARED
    _add(sum_key, d_key, d_k, row, there, d_stride, d_head_stride, head, starts, LAST, WIDTH, PADDED)
    if FIRST and NEAREST > 0:
        # Rows that see no other: their output is their own value.
        alone = there & (tl.load(lse + of_head + brings, mask=there, other=MASKED) > ALONE)
        d_v += _rows(grad, brings, alone, num_heads * WIDTH, WIDTH, head, WIDTH, PADDED).to(tl.float32)
    _add(sum_value, d_value, d_v, brings, there, d_stride, d_head_stride, head, FIRST, LAST, WIDTH, PADDED)


@triton.jit
def rotate_rows(
    rows, cosine, sine, to, num_rows, num_heads, stride, sign,
    PAIRS: tl.constexpr, PADDED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """A block of rows [N, 3, H, 2 PAIRS] of one part and head: queries and keys are rotated, values copied.

    The two halves of a row are rotated by the angles of `cosine` and `sine`, [N, PAIRS], or back if `sign` is -1. `to`
    may be `rows` (in place).
    """
    part, head = tl.program_id(1) // num_heads, tl.program_id(1) % num_heads
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    pair = tl.arange(0, PADDED)
    there = (row < num_rows)[:, None] & (pair < PAIRS)[None, :]
    angle = row[:, None] * PAIRS + pair[None, :]
    turns = part < 2
    c = tl.where(turns, tl.load(cosine + angle, mask=there, other=1.0), 1.0)
    s = tl.where(turns, sign * tl.load(sine + angle, mask=there, other=0.0), 0.0)
    at = row[:, None] * stride + (part * num_heads + head) * 2 * PAIRS + pair[None, :]
    first = tl.load(rows + at, mask=there, other=0.0).to(tl.float32)
    second = tl.load(rows + at + PAIRS, mask=there, other=0.0).to(tl.float32)
    tl.store(to + at, first * c - second * s, mask=there)
    tl.store(to + at + PAIRS, first * s + second * c, mask=there)


@triton.jit
def _largest(rotated, column, first, count):
    """argmax of [x; -x] of every row, over `count` columns from `first` on."""
    counted = (column >= first) & (column < first + count)
    size = tl.where(counted[None, :], tl.abs(rotated), -1.0)
    largest = tl.argmax(size, axis=1)
    value = tl.sum(tl.where(column[None, :] == largest[:, None], rotated, 0.0), axis=1)
    return largest - first + tl.where(value < 0.0, count, 0)


@triton.jit
def hash_rows(
    query, rotations, buckets, length, num_heads, batch_stride, stride, head_stride, rotation_stride,
    num_columns,
    WIDTH: tl.constexpr, PADDED: tl.constexpr, BLOCK: tl.constexpr, COLUMNS: tl.constexpr, FIRST_HALF: tl.constexpr,
    SECOND_HALF: tl.constexpr,
):  # fmt: skip
    """Buckets [R, B, L, H] of a block of tokens of one head in one round: argmax of [xR; -xR], of one or two hashes.

    Of `rotations` [B or 1, R, H, WIDTH, num_columns], the first FIRST_HALF + SECOND_HALF columns are used; COLUMNS is
    their number rounded up to a power of two. `rotation_stride` is 0 if all rows of the batch share rotations;
    SECOND_HALF is 0 if the round has one hash.
    """
    sample, head, turn = tl.program_id(1) // num_heads, tl.program_id(1) % num_heads, tl.program_id(2)
    batch = tl.num_programs(1) // num_heads
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = place < length
    q = _rows(
        query + sample.to(tl.int64) * batch_stride, place.to(tl.int64), there, stride, head_stride, head, WIDTH, PADDED
    )
    row, column = tl.arange(0, PADDED), tl.arange(0, COLUMNS)
    used = FIRST_HALF + SECOND_HALF
    matrix = rotations + sample * rotation_stride + (turn * num_heads + head) * WIDTH * num_columns
    inside = (row < WIDTH)[:, None] & (column < used)[None, :]
    rotation = tl.load(matrix + row[:, None] * num_columns + column[None, :], mask=inside, other=0.0)
    rotated = tl.dot(q.to(tl.float32), rotation, input_precision="tf32x3")
    bucket = _largest(rotated, column, 0, FIRST_HALF)
    if SECOND_HALF > 0:
        bucket = 2 * SECOND_HALF * bucket + _largest(rotated, column, FIRST_HALF, SECOND_HALF)
    at = ((turn * batch + sample).to(tl.int64) * length + place) * num_heads + head
    tl.store(buckets + at, bucket, mask=there)
