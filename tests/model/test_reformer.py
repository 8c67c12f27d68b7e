"""The whole model: causality, packing, reversible gradients, memory."""

from __future__ import annotations

import pytest
import torch

from helpers.small_models import build, tokens
from music_reformer.errors import UserError
from music_reformer.model.feed_forward import tokens_per_chunk

KINDS = [["lsh"], ["local"], ["full"], ["local", "lsh"]]


@pytest.mark.parametrize("attention", KINDS)
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_future_changes_nothing(attention: list[str], mode: str) -> None:
    model = build(attention=attention)
    model.train(mode == "train")
    model.redraw_rotations(3)
    x = tokens(2, 300)
    logits = model(x)
    for i in (0, 1, 63, 150, 298):
        changed = x.clone()
        changed[:, i + 1 :] = tokens(2, 299 - i)
        after = model(changed)
        torch.testing.assert_close(after[:, : i + 1], logits[:, : i + 1], atol=1e-5, rtol=0)
        shorter = model(x[:, : i + 1])
        torch.testing.assert_close(shorter, logits[:, : i + 1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("attention", KINDS)
def test_no_gradient_comes_from_the_future(attention: list[str]) -> None:
    model = build(attention=attention)
    embedded: list[torch.Tensor] = []

    def keep(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
        output = output.detach().requires_grad_()
        embedded.append(output)
        return output

    handle = model.token_embedding.register_forward_hook(keep)
    logits = model(tokens(1, 120))
    handle.remove()
    (grad,) = torch.autograd.grad(logits[0, 60].sum(), embedded[0])
    assert grad[0, 61:].abs().max() == 0
    assert grad[0, 60].abs().max() > 0
    assert grad[0, :60].abs().max() > 0


@pytest.mark.parametrize("attention", KINDS)
def test_packed_documents_do_not_see_each_other(attention: list[str]) -> None:
    model = build(attention=attention)
    first, second, third = tokens(50), tokens(81), tokens(23)
    apart = [model(piece.unsqueeze(0))[0] for piece in (first, second, third)]
    row = torch.cat([first, second, third]).unsqueeze(0)
    lengths = torch.tensor([50, 81, 23])
    document = torch.arange(3).repeat_interleave(lengths).unsqueeze(0)
    position = torch.cat([torch.arange(n) for n in lengths]).unsqueeze(0)
    packed = model(row, document_BL=document, position_BL=position)[0]
    torch.testing.assert_close(packed, torch.cat(apart), atol=1e-5, rtol=0)


def test_rows_hash_alike_however_many_processes_share_them() -> None:
    model = build().train()
    x = tokens(4, 200)
    model.redraw_rotations(7)
    whole = model(x)
    for rank in (0, 1):
        model.redraw_rotations(7, rank=rank, world_size=2)
        torch.testing.assert_close(model(x[rank::2]), whole[rank::2], atol=1e-5, rtol=0)
    model.redraw_rotations(7)
    assert not torch.allclose(model(x[1::2]), whole[1::2], atol=1e-2), "the rotations must matter"


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_reversible_gradients_are_those_of_plain_autograd(mode: str, dropout: float, bf16: bool) -> None:
    """float32 to 1e-4. bfloat16 to 2 %, with weights of a trained size: the streams come back to float32 rounding, and
    the sublayers round what they read from them to 8 bits, which large scores make larger."""
    x, target = tokens(2, 130), tokens(2, 130)
    results = []
    for recompute in (True, False):
        model = build(std=0.1 if bf16 else 0.2, num_layers=6, dropout=dropout, recompute=recompute)
        model.train(mode == "train")
        model.redraw_rotations(3)
        torch.manual_seed(9)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss, count = model.loss(x, target)
        assert count == 260
        loss.backward()
        noise = torch.rand(3)
        results.append((loss.detach(), {n: p.grad for n, p in model.named_parameters()}, noise))
    (loss_a, grads_a, noise_a), (loss_b, grads_b, noise_b) = results
    torch.testing.assert_close(loss_a, loss_b)
    assert torch.equal(noise_a, noise_b), "the recomputation must leave the random state as plain autograd does"
    for name, expected in grads_b.items():
        error = (grads_a[name] - expected).norm() / expected.norm().clamp(min=1e-12)
        assert error < (2e-2 if bf16 else 1e-4), f"{name}: {error}"


def test_loss_is_the_cross_entropy_of_the_logits_and_counts_targets() -> None:
    model = build()
    x, target = tokens(2, 100), tokens(2, 100)
    target[0, :30] = -100
    loss, count = model.loss(x, target)
    logits = model(x)
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="sum")
    assert count == 170
    torch.testing.assert_close(loss, expected, atol=1e-2, rtol=1e-5)
    ours = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    theirs = torch.autograd.grad(expected, list(model.parameters()), allow_unused=True)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(model.token_losses(x, target).sum(), expected, atol=1e-2, rtol=1e-5)


def test_chunk_size_changes_nothing() -> None:
    x = tokens(2, 100)
    torch.testing.assert_close(build(chunk=7)(x), build(chunk=1000)(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(build(chunk=0)(x), build(chunk=1000)(x), atol=1e-5, rtol=1e-5)


def test_a_chunk_suits_the_device_unless_it_is_given() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert [tokens_per_chunk(0, device) for device in (cpu, gpu)] == [4096, 16_384]
    assert [tokens_per_chunk(7, device) for device in (cpu, gpu)] == [7, 7]


class _Kept:
    """Bytes of the tensors that autograd keeps for backward."""

    def __init__(self) -> None:
        self.seen: dict[int, int] = {}

    def pack(self, tensor: torch.Tensor) -> torch.Tensor:
        self.seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    @property
    def total(self) -> int:
        return sum(self.seen.values())


def _kept_for_backward(num_layers: int, recompute: bool) -> int:
    """Activation bytes held between forward and backward, parameters left out."""
    model = build(num_layers=num_layers, attention=["local"], recompute=recompute)
    model.train()
    kept = _Kept()
    x = tokens(1, 512)
    with torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda tensor: tensor):
        loss, _ = model.loss(x, x)
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    total = sum(size for pointer, size in kept.seen.items() if pointer not in parameters)
    loss.backward()
    return total


def test_activation_memory_does_not_grow_with_depth() -> None:
    shallow, deep = _kept_for_backward(2, True), _kept_for_backward(16, True)
    assert deep <= 1.02 * shallow
    assert _kept_for_backward(16, False) > 4 * _kept_for_backward(2, False), "the measure must see activations"


def test_more_rounds_may_be_used_for_evaluation_than_were_trained() -> None:
    model = build(num_rounds=2, max_rounds=4)
    x = tokens(1, 200)
    two = model(x)
    model.num_rounds = 4
    assert not torch.allclose(model(x), two)
    model.num_rounds = 2
    assert torch.equal(model(x), two)
    with pytest.raises(UserError, match=r"rounds \(5\) must be 1 to 4"):
        model.num_rounds = 5


def test_a_sequence_longer_than_the_positions_is_refused() -> None:
    model = build(axial_shape=[4, 8])
    with pytest.raises(UserError, match="longer than this model's 32 positions"):
        model(tokens(1, 33))


def test_it_learns() -> None:
    """A model that repeats what it saw: the loss on the second half of a doubled sequence falls towards 0."""
    model = build(num_layers=2, width=64, num_rounds=2)
    model._initialise()
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    generator = torch.Generator().manual_seed(1)
    losses = []
    for step in range(150):
        half = torch.randint(0, 8, (4, 24), generator=generator)
        x = torch.cat([half, half], dim=1)
        target = x.roll(-1, dims=1)
        target[:, :24] = -100
        target[:, -1] = -100
        model.redraw_rotations(step)
        loss, count = model.loss(x, target)
        optimizer.zero_grad()
        (loss / count).backward()
        optimizer.step()
        losses.append((loss / count).item())
    assert sum(losses[-10:]) / 10 < 0.7 * losses[0], f"{losses[0]:.2f} to {losses[-1]:.2f}"
