"""Decoding: read prompts in one parallel pass, then continue token by token from caches.

Shapes: B rows (variations), L tokens, E width, V vocabulary.

Up to rounding, the logits are those of `ReformerLM.forward` for the whole sequence. A step's cost does not depend on
the length of the context (except with full attention). Prompts, one large computation, are read on the GPU if there is
one. A step is hundreds of small computations: on the CPU it runs in loops compiled by Numba (`kernels/numba_step.py`),
and a GPU is faster only for many rows at a time.
"""

from __future__ import annotations

import copy
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from music_reformer.config import ModelConfig, require
from music_reformer.model.attention.cache import DecodeState
from music_reformer.model.attention.documents import Documents
from music_reformer.model.kernels.verified import agrees
from music_reformer.model.reformer import ReformerLM

if TYPE_CHECKING:
    from music_reformer.model.kernels.numba_step import NumbaStep

# A step takes 5 ms on a GPU for any number of rows, and a quarter of a millisecond per row on a CPU core.
ROWS_FOR_A_GPU = 16
SLOW_SECONDS = 1.5  # of compiling, after which a line says what takes so long


class Decoder:
    """Decodes with a model. Several threads may share a decoder; each state belongs to one thread.

    Args:
        model: moved to `eval()`; stays on its device.
        compile_step: run steps on the CPU in compiled loops, if all weights are float32; see `prepare`.
    """

    def __init__(self, model: ReformerLM, *, compile_step: bool = False) -> None:
        self.model = model.eval()
        self._numba_step: NumbaStep | None = None
        self._is_prepared, self._preparing = not compile_step, threading.Lock()

    @classmethod
    def on_device(cls, model: ReformerLM, device: str = "auto", *, rows: int = 1) -> Decoder:
        """Move a model to a device, and choose where its steps run.

        Args:
            model: on any device.
            device: the device that reads prompts; "auto": a GPU if there is one.
            rows: expected number of rows in a step; not a limit.

        Raises:
            UserError: the device does not exist or cannot be used.
        """
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            model = model.to(device)
        except (RuntimeError, AssertionError) as error:
            require(False, f"device ({device!r}) cannot be used here ({str(error).splitlines()[0]}); try cpu")
        return cls(model, compile_step=device == "cpu" or rows < ROWS_FOR_A_GPU)

    @property
    def config(self) -> ModelConfig:
        """The model's settings."""
        return self.model.config

    @property
    def device(self) -> torch.device:
        """The device that reads prompts."""
        return next(self.model.parameters()).device

    def prepare(self) -> None:
        """Compile the steps now, if they run compiled, rather than at the first step.

        The weights are copied: later changes to them do not affect the steps. The loops are compared with the plain
        step; on the first use on a machine, this compiles them (ten seconds). If they fail or differ, a warning says so
        and the plain step is used.
        """
        with self._preparing:
            if not self._is_prepared:
                self._numba_step = _checked_numba_step(self.model)
                self._is_prepared = True

    @property
    def steps_are_compiled(self) -> bool:
        """Whether steps run in compiled loops on the CPU."""
        self.prepare()
        return self._numba_step is not None

    @torch.inference_mode()
    def prefill(self, tokens_BL: Tensor, *, num_rounds: int = 0) -> tuple[Tensor, DecodeState]:
        """Read whole prompts in one parallel pass.

        Args:
            tokens_BL: token ids, int64, on any device.
            num_rounds: hash rounds of this pass and of the steps that follow; 0: the model's.

        Returns:
            Logits of the token after each prompt, float32 [B, V], and the state with which `step` continues.

        Raises:
            UserError: a prompt is longer than the model's positions, or the model has no rotations for so many rounds.
        """
        model, num_rounds = self.model, num_rounds or self.model.num_rounds
        model.check_rounds(num_rounds)
        model.check_length(tokens_BL.shape[1])
        tokens_BL = tokens_BL.to(self.device)
        documents = Documents.plain(tokens_BL)
        first = second = model.embed(tokens_BL, documents.position_BL)
        caches = []
        for block in model.stack.layers:
            out, cache = block.attention.prefill(block.attention_norm(second), documents, num_rounds)
            caches.append(cache)
            first = first + out.float()
            second = second + block.feed_chunked(first, model.chunk)
        state = DecodeState(caches=caches, lengths=[tokens_BL.shape[1]] * tokens_BL.shape[0])
        if state.device.type != "cpu" and self.steps_are_compiled:
            state = state.to(torch.device("cpu"))
        return model.logits(model.final_norm(first[:, -1] + second[:, -1])), state

    @torch.inference_mode()
    def step(self, tokens_B: Tensor, state: DecodeState) -> Tensor:
        """Append one token to every row of `state`, in place; returns logits of the next token, float32 [B, V].

        Raises:
            UserError: a row has no position left.
        """
        self.model.check_length(max(state.lengths) + 1)
        tokens_B = tokens_B.to(state.device)
        self.prepare()
        if self._numba_step is not None:
            return self._numba_step.step(tokens_B, state)
        return plain_step(self.model, tokens_B, state)


def plain_step(model: ReformerLM, tokens_B: Tensor, state: DecodeState) -> Tensor:
    """`Decoder.step` in plain torch, on the device of the model and the state."""
    moment = state.moment()
    first = second = model.embed(tokens_B, moment.position_B)
    for block, cache in zip(model.stack.layers, state.caches, strict=True):
        first = first + block.attention.step(block.attention_norm(second), cache, moment).float()
        second = second + block.feed(first)
    state.lengths = [length + 1 for length in state.lengths]
    return model.logits(model.final_norm(first + second))


def _checked_numba_step(model: ReformerLM) -> NumbaStep | None:
    """The compiled step of a model; None if its weights are not float32 or if the step fails on this machine."""
    if any(parameter.dtype != torch.float32 for parameter in model.parameters()):
        return None
    # Training does not need Numba.
    from music_reformer.model.kernels.numba_step import NUMBA_VERSION, NumbaStep

    on_cpu = all(parameter.device.type == "cpu" for parameter in model.parameters())
    model = model if on_cpu else copy.deepcopy(model).to("cpu")
    steps: list[NumbaStep] = []

    def difference() -> float:
        with torch.inference_mode():
            steps.append(NumbaStep(model))
            tokens_B = torch.zeros(2, dtype=torch.int64)
            _, state = Decoder(model).prefill(tokens_B.unsqueeze(1))
            logits_BV = steps[0].step(tokens_B, state.expand(1))
            return float((logits_BV - plain_step(model, tokens_B, state)).abs().max())

    with _said_if_slow("compiling the decoding step, once for this machine: about ten seconds"):
        found = agrees(
            difference,
            name="the Numba decoding step",
            machine=lambda: f"this machine with numba {NUMBA_VERSION}",
            instead="the plain step, four times slower, takes its place",
        )
    return steps[0] if found else None


@contextmanager
def _said_if_slow(text: str) -> Iterator[None]:
    """Print a line to stderr if the block takes noticeably long."""
    timer = threading.Timer(SLOW_SECONDS, sys.stderr.write, [f"{text}\n"])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
