"""The Triton kernels against the plain form and, through it, the definition.

Without a GPU they run in Triton's interpreter, step by step in Python: slow, but with the same arithmetic.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.small_models import build, tokens
from music_reformer.model.attention import hashing
from music_reformer.model.attention import local as local_attention
from music_reformer.model.attention import lsh as lsh_attention
from music_reformer.model.attention.documents import Documents
from music_reformer.model.attention.local import LocalAttention
from music_reformer.model.attention.lsh import LSHAttention
from music_reformer.model.decoder import Decoder
from music_reformer.model.kernels import triton_attention
from music_reformer.model.kernels.triton_attention import (
    TritonLocalAttention,
    TritonSharedAttention,
    form_for,
    triton_hash,
)
from music_reformer.model.kernels.verified import attention_difference

pytest.importorskip("triton", reason="these kernels need Triton, which exists for Linux only")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
FORMS = {
    "lsh": (lsh_attention.TorchSharedAttention, TritonSharedAttention, lsh_attention.shared_example),
    "local": (local_attention.TorchLocalAttention, TritonLocalAttention, local_attention.local_example),
}
# exp of a score that the mask hides is not used.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in exp")


@pytest.fixture(autouse=True)
def _in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the interpreter, a kernel that reads or writes beyond the memory of its arguments fails."""
    if DEVICE.type == "cuda":
        return
    from triton.runtime import interpreter

    spans: list[tuple[int, int]] = []
    arguments_of = interpreter.GridExecutor._init_args_hst

    def remember(self: object, args: list[object], kwargs: dict[str, object]) -> object:
        storages = [x.untyped_storage() for x in args if isinstance(x, torch.Tensor)]
        spans[:] = [(storage.data_ptr(), storage.data_ptr() + storage.nbytes()) for storage in storages]
        return arguments_of(self, args, kwargs)

    def checked(access: Callable[..., object], mask_at: int) -> Callable[..., object]:
        def check(self: object, pointers: Any, *others: Any, **options: Any) -> object:
            used = pointers.data[np.broadcast_to(others[mask_at].data.astype(bool), pointers.data.shape)]
            inside = [(used >= first) & (used < end) for first, end in spans]
            assert np.logical_or.reduce(inside).all(), "a kernel reaches beyond its arguments"
            return access(self, pointers, *others, **options)

        return check

    builder = interpreter.InterpreterBuilder
    monkeypatch.setattr(interpreter.GridExecutor, "_init_args_hst", remember)
    monkeypatch.setattr(builder, "create_masked_load", checked(builder.create_masked_load, 0))
    monkeypatch.setattr(builder, "create_masked_store", checked(builder.create_masked_store, 1))


CASES = [
    # length, window, buckets, rounds, heads, head width, successor values
    (1, 4, 1, 1, 1, 16, True),
    (7, 8, 1, 1, 2, 16, True),
    (65, 8, 5, 1, 2, 16, False),
    (64, 16, 3, 2, 1, 32, True),
    pytest.param((97, 5, 12, 4, 1, 24, True), marks=pytest.mark.slow),  # heads whose width is no power of two
    (50, 2, 4, 2, 3, 8, False),
    pytest.param((90, 8, 60, 2, 2, 16, True), marks=pytest.mark.slow),  # most rows are alone in their bucket
    (150, 64, 2, 2, 1, 64, True),  # as in the shipped model
    (300, 100, 1, 1, 1, 16, True),  # a window that reaches over two blocks
]


def _arguments(length: int, window: int, buckets: int, rounds: int, heads: int, width: int, successors: bool):  # type: ignore[no-untyped-def]
    """Two rows of a batch, the first of two documents."""
    document_BL = torch.zeros(2, length, dtype=torch.int64)
    document_BL[0, length // 3 :] = 1
    segment_BL = Documents(document_BL=document_BL, position_BL=document_BL).group_BL * buckets
    query_value_BLTHD = torch.randn(2, length, 2, heads, width)
    buckets_RBLH = torch.randint(0, buckets, (rounds, 2, length, heads), dtype=torch.int16)
    return [x.to(DEVICE) for x in (query_value_BLTHD, segment_BL, buckets_RBLH)] + [window, successors]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_shared_attention_is_the_plain_form(case: tuple[int, ...]) -> None:
    assert attention_difference(*FORMS["lsh"][:2], lambda device: _arguments(*case), DEVICE) < 2e-5


@pytest.mark.parametrize(("length", "window", "heads", "width"), [(1, 4, 1, 16), (70, 8, 2, 24), (130, 64, 1, 64)])
def test_local_attention_is_the_plain_form(length: int, window: int, heads: int, width: int) -> None:
    document_BL = torch.zeros(2, length, dtype=torch.int64, device=DEVICE)
    document_BL[1, length // 2 :] = 1
    documents = Documents(document_BL=document_BL, position_BL=torch.arange(length, device=DEVICE).expand(2, length))
    rows = torch.randn(2, length, 3, heads, width).to(DEVICE)
    arguments = (rows, *documents.rotary(width), documents.in_order(), window)
    assert attention_difference(*FORMS["local"][:2], lambda device: arguments, DEVICE) < 2e-5


@pytest.mark.parametrize(
    "factors",
    [[[6], [6]], [[128], [128]], [[8, 6], [8, 6]], [[16, 32], [16, 32]], [[6], [16, 32], [16, 32], [6]]],
    ids=str,
)
@pytest.mark.parametrize("groups", [1, 2])
def test_hashes_are_those_of_the_plain_form(factors: list[list[int]], groups: int) -> None:
    """Two rows of a batch of a length that no block divides, heads of a width that is no power of two."""
    query_BLTHD = torch.randn(2, 70, 2, 3, 24).to(DEVICE)
    rotations_GRHDK = torch.randn(groups, len(factors), 3, 24, max(map(sum, factors)) // 2).to(DEVICE)
    query_BLTHD[0, 0, 0] = 0.0
    plain, found = (form(query_BLTHD[:, :, 0], rotations_GRHDK, factors) for form in (hashing.torch_hash, triton_hash))
    assert found.dtype == plain.dtype
    assert torch.equal(found, plain)
    assert len(found.unique()) > 5


@pytest.mark.parametrize("kind", ["lsh", "local"])
def test_half_precision_is_within_a_hundredth(kind: str) -> None:
    """Compared with the plain form in float32 on the same rows; in bfloat16 only on a GPU, not in the interpreter."""
    dtype = torch.bfloat16 if DEVICE.type == "cuda" else torch.float16
    plain, triton_form, example = FORMS[kind]
    rows, *others = example(DEVICE)
    rows = rows.to(dtype)
    results = []
    for form, x in ((plain, rows.float()), (triton_form, rows)):
        x.requires_grad_()
        out = form.apply(x.clone(), *others)
        results.append((out, *torch.autograd.grad(out, x, torch.ones_like(out))))
    for exact, half in zip(*results, strict=True):
        assert half.dtype == dtype
        torch.testing.assert_close(half.float(), exact, atol=1e-2, rtol=1e-2)


@pytest.mark.slow  # the interpreter hardly could do otherwise; a GPU could
def test_two_runs_give_the_same_bits() -> None:
    rows, *others = _arguments(100, 8, 4, 2, 2, 16, True)
    results = []
    for _ in range(2):
        rows = rows.detach().clone().requires_grad_()
        out = TritonSharedAttention.apply(rows, *others)
        results.append((out, *torch.autograd.grad(out.square().sum(), rows)))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_the_future_changes_nothing() -> None:
    rows, segment_BL, buckets_RBLH, *others = _arguments(100, 8, 4, 2, 2, 16, True)
    before = TritonSharedAttention.apply(rows, segment_BL, buckets_RBLH, *others)
    rows[:, 60:], buckets_RBLH[:, :, 60:] = torch.randn_like(rows[:, 60:]), 3 - buckets_RBLH[:, :, 60:]
    after = TritonSharedAttention.apply(rows, segment_BL, buckets_RBLH, *others)
    # To rounding: what stands in one block with what depends on the sizes of the buckets.
    torch.testing.assert_close(after[:, :60], before[:, :60], atol=1e-6, rtol=1e-6)
    assert (after - before)[:, 60:].abs().max() > 0.1


@pytest.mark.parametrize("kind", ["lsh", "local"])
@pytest.mark.parametrize("batch", [1, 2])
def test_layers_are_the_same_with_either_form(batch: int, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "local":
        layer: torch.nn.Module = LocalAttention(width=24, num_heads=2, head_width=16, window=8)
    else:
        layer = LSHAttention(
            width=24,
            num_heads=2,
            head_width=16,
            window=8,
            num_buckets=[6, 160],
            num_rounds=2,
            max_rounds=2,
            successor_values=True,
        )
    layer.to(DEVICE)
    x = torch.randn(batch, 60, 24, device=DEVICE, requires_grad=True)
    inputs, documents = [x, *layer.parameters()], Documents.plain(x[..., 0].long())
    results = []
    for by_triton in (False, True):
        module = local_attention if kind == "local" else lsh_attention
        monkeypatch.setattr(module, "form_for", lambda device, *forms, chosen=by_triton: forms[chosen])
        out, _ = layer(x, documents)
        results.append([out, *torch.autograd.grad(out.square().sum(), inputs)])
    for plain, fast in zip(*results, strict=True):
        torch.testing.assert_close(fast, plain, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("recompute", [True, False])
def test_the_whole_model_is_the_same_with_either_form(recompute: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training step on rows of two documents, and logits step by step after a prompt."""
    model = build(recompute=recompute).to(DEVICE)
    tokens_BL = tokens(2, 70).to(DEVICE)
    document_BL = (torch.arange(70, device=DEVICE) >= 30).long().expand(2, 70)
    results = []
    for by_triton in (False, True):
        for module in (local_attention, lsh_attention, hashing):
            monkeypatch.setattr(module, "form_for", lambda device, *forms, chosen=by_triton: forms[chosen])
        model.train()
        model.redraw_rotations(1)
        total, count = model.loss(tokens_BL, tokens_BL, document_BL=document_BL)
        results.append([total, *torch.autograd.grad(total / count, list(model.parameters()))])
        model.eval()
        decoder = Decoder(model)
        logits, state = decoder.prefill(tokens_BL[:, :40])
        results[-1] += [logits, *(decoder.step(tokens_BL[:, place], state) for place in range(40, 50))]
    for plain, fast in zip(*results, strict=True):
        torch.testing.assert_close(fast, plain, atol=1e-4, rtol=1e-3)


def test_on_a_cpu_the_plain_form_is_used() -> None:
    assert form_for(torch.device("cpu"), *FORMS["lsh"]) is FORMS["lsh"][0]


class _Broken(TritonSharedAttention):
    """Kernels that do not compile."""

    @staticmethod
    def forward(ctx, *arguments):  # type: ignore[no-untyped-def]
        raise RuntimeError("no such instruction")


class _Wrong(TritonSharedAttention):
    """Kernels that give wrong numbers."""

    @staticmethod
    def forward(ctx, *arguments):  # type: ignore[no-untyped-def]
        return TritonSharedAttention.forward(ctx, *arguments) * float("nan")


@pytest.mark.slow
@pytest.mark.parametrize(("form", "trouble"), [(_Broken, "no such instruction"), (_Wrong, "by nan")])
def test_kernels_that_fail_are_not_used_and_cause_a_warning(
    form: type, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a new GPU")
    plain = lsh_attention.TorchSharedAttention
    with pytest.warns(UserWarning, match=f"{trouble}.*on a new GPU"):
        assert not triton_attention.triton_agrees(DEVICE, plain, form, lsh_attention.shared_example)


def test_hashes_that_differ_are_not_used_and_cause_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a new GPU")
    with pytest.warns(UserWarning, match=r"differed from the plain form by 1.*on a new GPU"):
        assert not triton_attention.triton_agrees(
            DEVICE, hashing.torch_hash, lambda *arguments: triton_hash(*arguments) + 1, hashing.hash_example
        )


@pytest.mark.slow
def test_kernels_that_agree_are_used_without_a_warning() -> None:
    with warnings.catch_warnings(), torch.inference_mode(), torch.autocast(DEVICE.type, dtype=torch.bfloat16):
        warnings.simplefilter("error", UserWarning)
        hashes = (hashing.torch_hash, triton_hash, hashing.hash_example)
        assert all(triton_attention.triton_agrees(DEVICE, *forms) for forms in [*FORMS.values(), hashes])


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="the other tests here compile the kernels for this GPU")
@pytest.mark.parametrize(("capability", "most_spilled"), [(90, 0), (80, 1024)])
def test_kernels_compile_for_gpus_that_are_not_here(capability: int, most_spilled: int, tmp_path: Path) -> None:
    """The interpreter accepts code that the compiler does not; and a thread's data should fit into its registers."""
    script = Path(__file__).parent / "compile_kernels.py"
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(script), str(capability)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 8
    assert all(int(spilled) <= most_spilled for _, _, spilled in lines), done.stdout
