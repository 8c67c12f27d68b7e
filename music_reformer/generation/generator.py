"""From a prompt to a stream of notes: what page, batch and tests call. The loop itself is in `session.py`.

    generator = Generator.load("pretrained")
    session = generator.start(score, Request(length="16bars", variations=2, seed=1))
    for progress in session:  # notes as they are made
        ...
    session.scores[0]  # the prompt, event for event, and the continuation

What is guaranteed: the same request (weights, prompt, settings) on the same machine with the same number of threads
gives the same notes, bit by bit; and on the CPU, variation k of a seed is the same whatever the number of variations,
and whatever is composed beside it (`together.py`). On a GPU a matrix product over more rows rounds otherwise (logits
differ by 1e-6), so that once in some hundred pieces a choice may fall otherwise, and the music with it.
"""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import symusic
import torch

from music_reformer.config import require
from music_reformer.generation.hole import read_hole
from music_reformer.generation.prompt import PIANO, Prompt, blank_score, read_prompt
from music_reformer.generation.request import Request
from music_reformer.generation.session import Progress, Session
from music_reformer.generation.variation import NewNote
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.model.attention.cache import DecodeState
from music_reformer.model.decoder import Decoder
from music_reformer.model.weights import load_weights

__all__ = ["Generator", "NewNote", "Progress", "Session"]


class Generator:
    """A model that decodes and its tokenizer, ready to compose. Sessions of several threads may share one.

    Args:
        decoder: the model.
        tokenizer: the one that the model was trained with.
        fingerprint: of the weights, for records.
        can_infill: whether the model has learnt to compose bars anew (`augment.infill`).
        knows_names: whether it has learnt what instruments named in front of a bar mean (`augment.named`).
    """

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: MusicTokenizer,
        *,
        fingerprint: str = "",
        can_infill: bool = True,
        knows_names: bool = False,
    ) -> None:
        self.decoder = decoder
        self.tokenizer = tokenizer
        self.fingerprint = fingerprint
        self.can_infill, self.knows_names = can_infill, knows_names

    @classmethod
    def load(cls, checkpoint: str | Path = "pretrained", device: str = "auto", *, rows: int = 1) -> Generator:
        """Read weights (a folder, a .ckpt file, or "pretrained") onto a device ("auto": a GPU if there is one).

        A GPU reads prompts; it takes the steps, too, only where many rows are composed together.

        Args:
            checkpoint: the weights.
            device: where to.
            rows: variations in one step, of one prompt or several; what is expected, not a limit.

        Raises:
            UserError: there are no such weights or there is no such device.
        """
        loaded = load_weights(checkpoint)
        tokenizer = MusicTokenizer.from_json(loaded.tokenizer_settings)
        return cls(
            Decoder.on_device(loaded.model, device, rows=rows),
            tokenizer,
            fingerprint=loaded.fingerprint,
            can_infill=loaded.can_infill,
            knows_names=loaded.knows_names,
        )

    def start(self, score: symusic.Score | None, request: Request, *, stop: threading.Event | None = None) -> Session:
        """Prepare to compose; nothing is computed before the session is iterated over.

        Args:
            score: the piece, in ticks; it is not altered. None: compose from nothing (120 quarters a minute, 4/4).
            request: what is asked for.
            stop: set it from another thread, and the session ends with what it has.

        Raises:
            UserError: the piece has no such bars, or these weights cannot do what is asked for.
        """
        if score is None:
            score = blank_score(request.programs or [PIANO], key=request.parsed_key())
        return Session(self, self._read(score, request), request=request, stop=stop or threading.Event())

    def _read(self, score: symusic.Score, request: Request) -> Prompt:
        """The part of a piece that the model is given."""
        programs = set(request.programs) or None
        # The other half of the positions is for the new music.
        max_tokens = max(2, self.decoder.config.max_length // 2)
        if request.until_bar is None:
            return read_prompt(
                score,
                tokenizer=self.tokenizer,
                programs=programs,
                cut_bar=request.cut_bar,
                max_tokens=max_tokens,
                named=self.knows_names,
            )
        require(self.can_infill, "these weights cannot recompose bars; train them with augment.infill")
        return read_hole(
            score,
            tokenizer=self.tokenizer,
            first_bar=request.cut_bar or 0,
            until_bar=request.until_bar,
            programs=programs,
            max_tokens=max_tokens,
        )

    def prefill(self, ids: list[int], *, rows: int, rounds: int) -> tuple[np.ndarray, DecodeState]:
        """Read a prompt once for `rows` variations; logits, float32 [rows, V], and the state."""
        with torch.inference_mode():
            logits_BV, state = self.decoder.prefill(torch.tensor([ids]), num_rounds=rounds)
            return logits_BV.expand(rows, -1).cpu().numpy(), state.expand(rows)

    def step(self, tokens: list[int], state: DecodeState) -> np.ndarray:
        """One token for each row of `state`; the logits that follow, float32 [rows, V]."""
        logits_BV: np.ndarray = self.decoder.step(torch.tensor(tokens), state).cpu().numpy()
        return logits_BV
