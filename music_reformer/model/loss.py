"""Cross-entropy of a linear output layer, in chunks of tokens: the logits of a whole piece never exist at once.

Shapes: N tokens, E width, V vocabulary. Computed in float32, with or without autocast.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from music_reformer.model.precision import full_precision

IGNORED = -100


def chunked_loss(hidden_NE: Tensor, weight_VE: Tensor, target_N: Tensor, *, chunk: int) -> Tensor:
    """Sum of negative log-likelihoods in nats of the targets that are not `IGNORED`; float32 scalar.

    Forward computes a chunk's gradients while its logits exist, and keeps these instead of the logits.

    Args:
        hidden_NE: inputs of the output layer.
        weight_VE: its weight; there is no bias.
        target_N: token ids, int64.
        chunk: tokens per chunk.
    """
    return _ChunkedLoss.apply(hidden_NE, weight_VE, target_N, chunk)


@torch.no_grad()
def chunked_token_losses(hidden_NE: Tensor, weight_VE: Tensor, target_N: Tensor, *, chunk: int) -> Tensor:
    """Negative log-likelihood in nats of each target, 0 where it is `IGNORED`; float32 [N]."""
    weight_VE = weight_VE.float()
    parts = []
    with full_precision(hidden_NE.device):
        for hidden, target in zip(hidden_NE.split(chunk), target_N.split(chunk), strict=True):
            parts.append(cross_entropy(hidden.float() @ weight_VE.t(), target, ignore_index=IGNORED, reduction="none"))
    return torch.cat(parts)


class _ChunkedLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden_NE, weight_VE, target_N, chunk):  # type: ignore[no-untyped-def]
        total = torch.zeros((), device=hidden_NE.device)
        grad_hidden_NE = grad_weight_VE = None
        if any(ctx.needs_input_grad[:2]):
            grad_hidden_NE, grad_weight_VE = torch.empty_like(hidden_NE), torch.zeros_like(weight_VE)
        with full_precision(hidden_NE.device):
            for begin in range(0, hidden_NE.shape[0], chunk):
                span = slice(begin, begin + chunk)
                hidden, target = hidden_NE[span].float(), target_N[span]
                log_share = torch.log_softmax(hidden @ weight_VE.float().t(), dim=-1)
                counted = (target != IGNORED).unsqueeze(1)
                index = target.clamp(min=0).unsqueeze(1)
                total -= (log_share.gather(1, index) * counted).sum()
                if grad_hidden_NE is not None and grad_weight_VE is not None:
                    grad_logits = log_share.exp_()
                    grad_logits.scatter_add_(1, index, grad_logits.new_full((), -1.0).expand(index.shape))
                    grad_logits.mul_(counted)
                    grad_hidden_NE[span] = grad_logits @ weight_VE.float()
                    grad_weight_VE.addmm_(grad_logits.t(), hidden)
        ctx.save_for_backward(grad_hidden_NE, grad_weight_VE)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        grad_hidden_NE, grad_weight_VE = ctx.saved_tensors
        return grad_hidden_NE * grad, grad_weight_VE * grad, None, None
