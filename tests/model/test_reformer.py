"""The whole model: causality, packing, rotations, loss."""

from __future__ import annotations

import pytest
import torch

from helpers.small_models import build, tokens
from music_reformer.errors import UserError

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


def test_the_model_learns_to_copy() -> None:
    """The loss on the second half of a doubled sequence falls towards 0."""
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
