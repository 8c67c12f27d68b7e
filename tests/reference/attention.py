"""The definition of our attention, word for word, in O(L^2): the oracle for every fast form.

"In one hash round, token i attends to the last W members of its own bucket, itself included (itself only when it has
no other)." Rounds form one softmax over all their keys (paper, eq. 6). With successor values, a key other than the
token's own is paired with the value of the token after it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def visible_keys(group_L: Tensor, window: int) -> Tensor:
    """Which keys each token sees, bool [L, L]; group_L identifies each token's (document, bucket)."""
    length = group_L.numel()
    visible_LL = torch.zeros(length, length, dtype=torch.bool)
    for i in range(length):
        members = [j for j in range(i + 1) if group_L[j] == group_L[i]]
        visible_LL[i, members[-window:]] = True
    return visible_LL


def attend(
    q_LD: Tensor, k_LD: Tensor, v_LD: Tensor, visible_RLL: Tensor, *, avoid_self: bool, successors: bool = False
) -> Tensor:
    """One head of one sequence: softmax over the keys of all rounds, counted once for each round."""
    length, width = q_LD.shape
    visible_RLL = visible_RLL.clone()
    if avoid_self:
        itself = torch.eye(length, dtype=torch.bool)
        has_other_L = (visible_RLL & ~itself).any(dim=2).any(dim=0)
        visible_RLL &= ~(itself & has_other_L.unsqueeze(1))
    scores_RLL = (q_LD @ k_LD.T / width**0.5).masked_fill(~visible_RLL, -torch.inf)
    share_LN = scores_RLL.transpose(0, 1).flatten(1).softmax(dim=1)
    share_LL = share_LN.view(length, -1, length).sum(dim=1)
    if not successors:
        return share_LL @ v_LD
    own_L1 = share_LL.diagonal().unsqueeze(1)
    return own_L1 * v_LD + (share_LL - torch.diag(own_L1[:, 0]))[:, :-1] @ v_LD[1:]
