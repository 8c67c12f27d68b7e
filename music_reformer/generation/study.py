"""Study: the weights learn from the piece itself before they continue it (test-time training, arXiv 1909.13231).

A few training steps on the music before the cut, part of it transposed, make its continuation more likely: the model
has then not only read the piece but practised it. The end of that music is held out and decides how many steps to keep.
Changes are kept only if they make its parts more likely so consistently that chance is no explanation; otherwise the
weights stay as they are. Only the matrices of the layers are trained.

Shapes: L tokens of the music, R tokens of a row, N parts of the held-out music.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from music_reformer.config import AugmentConfig
from music_reformer.data.augment import Augmenter
from music_reformer.midi.vocabulary import Vocabulary
from music_reformer.model.reformer import ReformerLM

ROW = 2048
# Music of fewer tokens is not studied: too little to train on and to judge by.
FEWEST = 512
# Size of the held-out end of the music: the smaller of this number of tokens and this share.
KEPT, KEPT_SHARE = 1024, 0.2
LEARNING_RATE, WARM_UP = 3e-4, 2
BETAS, EPSILON = (0.9, 0.95), 1e-8  # of Adam
STEPS_BETWEEN_CHECKS = 2
# The held-out music is divided into this many parts. A gain counts as what is certain of it: the mean over the parts
# less this many standard errors.
PARTS, STANDARD_ERRORS = 16, 2.0
TRANSPOSE = 5  # semitones at most
SHARE_TRANSPOSED = 0.5


@dataclass(frozen=True)
class StudyProgress:
    """A report after a training step.

    Attributes:
        done: fraction of the planned steps taken, 0 to 1.
        before, now: held-out loss in nats per token, with the original weights and at the last check.
    """

    done: float
    before: float
    now: float


@dataclass(frozen=True)
class Lesson:
    """The result of studying a piece.

    Attributes:
        changes: changes of the weights, by name, bfloat16; empty: nothing helped.
        steps: number of training steps that they took.
        before, after: held-out loss in nats per token, without and with the changes.
    """

    changes: dict[str, Tensor]
    steps: int
    before: float
    after: float

    @property
    def gain(self) -> float:
        """Decrease of the held-out loss, in nats per token."""
        return self.before - self.after if self.changes else 0.0

    def applied(self, model: ReformerLM) -> ReformerLM:
        """A copy of the model, which must be the one studied with, with the changes applied."""
        changed = copy.deepcopy(model)
        with torch.no_grad():
            for name, parameter in changed.named_parameters():
                if name in self.changes:
                    parameter.add_(self.changes[name].to(parameter))
        return changed


def certain_gain(gains_N: NDArray[np.float64]) -> float:
    """The mean of the gains of several parts, less its standard error times `STANDARD_ERRORS`."""
    return float(gains_N.mean() - STANDARD_ERRORS * gains_N.std(ddof=1) / math.sqrt(len(gains_N)))


class Adam:
    """Adam (arXiv 1412.6980, algorithm 1). Torch's own would load torch's compiler: 150 MB and some seconds."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self._parameters, self._num_steps = parameters, 0
        self._means, self._squares = ([torch.zeros_like(p) for p in parameters] for _ in range(2))

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Update the parameters from their gradients at this learning rate, and clear the gradients."""
        self._num_steps += 1
        of_mean, of_square = (1 - beta**self._num_steps for beta in BETAS)
        for parameter, mean, square in zip(self._parameters, self._means, self._squares, strict=True):
            gradient = parameter.grad
            assert gradient is not None
            mean.lerp_(gradient, 1 - BETAS[0])
            square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
            parameter.addcdiv_(mean, (square / of_square).sqrt_().add_(EPSILON), value=-rate / of_mean)
            parameter.grad = None


class Study:
    """Studies one piece: iterate over it for progress, then take `lesson`, the best so far if iteration ends early.

    Args:
        model: the model; it is not changed.
        ids: BOS and the tokens of the music before the cut.
        vocabulary: of the tokenizer.
        steps: largest number of steps.
        seed: seed of rows and transpositions; the same seed gives the same lesson.
    """

    def __init__(
        self, model: ReformerLM, ids: Sequence[int], vocabulary: Vocabulary, *, steps: int, seed: int = 0
    ) -> None:
        self._model = model
        self._ids = np.array(ids, dtype=np.uint16)
        self._steps = steps if len(ids) >= FEWEST else 0
        self._num_learnt = len(ids) - min(KEPT, int(KEPT_SHARE * len(ids)))
        self._transposer = Augmenter(vocabulary, AugmentConfig(transpose=TRANSPOSE, tempo=0.0))
        self._random = np.random.default_rng(seed)
        self.lesson = Lesson({}, 0, math.nan, math.nan)

    def __iter__(self) -> Iterator[StudyProgress]:
        if not self._steps:
            return
        pupil = copy.deepcopy(self._model)
        pupil.stack.recompute = False  # a row is short
        pupil.requires_grad_(False)
        learning = {name: p for name, p in pupil.named_parameters() if name.startswith("stack.") and p.dim() == 2}
        for parameter in learning.values():
            parameter.requires_grad_(True)
        optimizer = Adam(list(learning.values()))
        losses_N = self._kept_losses(pupil)
        before = now = float(losses_N.mean())
        self.lesson, best = Lesson({}, 0, before, before), 0.0
        origin = dict(self._model.named_parameters())
        for step in range(self._steps):
            tokens_BL, targets_BL, position_BL = self._row()
            total, count = pupil.loss(tokens_BL, targets_BL, position_BL=position_BL)
            (total / count).backward()
            torch.nn.utils.clip_grad_norm_(learning.values(), 1.0)
            optimizer.step(LEARNING_RATE * min(1.0, (step + 1) / WARM_UP))
            if (step + 1) % STEPS_BETWEEN_CHECKS == 0 or step + 1 == self._steps:
                gains_N = losses_N - self._kept_losses(pupil)
                now = before - float(gains_N.mean())
                if (gain := certain_gain(gains_N)) > best:
                    best = gain
                    changes = {name: (p.detach() - origin[name].detach()).bfloat16() for name, p in learning.items()}
                    self.lesson = Lesson(changes, step + 1, before, now)
            yield StudyProgress((step + 1) / self._steps, before, now)

    def _row(self) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs, targets and positions of a row from a random place in the music, perhaps transposed; int64 [1, R]."""
        length = min(ROW, self._num_learnt - 1)
        begin = int(self._random.integers(0, self._num_learnt - length))
        tokens = self._ids[begin : begin + length + 1]
        if self._random.random() < SHARE_TRANSPOSED:
            tokens = self._transposer.transpose(tokens, float(self._random.random()))
        return self._as_row(torch.from_numpy(tokens.astype(np.int64)).unsqueeze(0), begin)

    def _kept_losses(self, model: ReformerLM) -> NDArray[np.float64]:
        """Held-out loss in nats per token, of each part; the model also reads the music before, [N]."""
        begin = max(0, len(self._ids) - 1 - ROW)
        row = torch.from_numpy(self._ids[begin:].astype(np.int64)).unsqueeze(0)
        tokens_BL, targets_BL, position_BL = self._as_row(row, begin)
        losses_L = model.token_losses(tokens_BL, targets_BL, position_BL=position_BL)[0, self._num_learnt - begin - 1 :]
        parts = np.array_split(np.asarray(losses_L.double().cpu()), PARTS)
        return np.array([part.mean() for part in parts])

    def _as_row(self, tokens: Tensor, begin: int) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs, targets and positions of tokens [1, R + 1] whose first is number `begin`, on the model's device."""
        tokens = tokens.to(next(self._model.parameters()).device)
        position = torch.arange(begin, begin + tokens.shape[1] - 1, device=tokens.device).unsqueeze(0)
        return tokens[:, :-1], tokens[:, 1:].clone(), position
