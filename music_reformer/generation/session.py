"""The generate loop: one request from its first token to its last note.

A step takes the logits of all variations that still run, masks them by the grammar, throws their dice, and feeds the
tokens back; now and then a variation is told who is to play (`roll_call.py`) before it goes on. One that has its length
leaves the batch and composes no more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import symusic

from music_reformer.generation.chord_guard import ChordGuard
from music_reformer.generation.loop_guard import LOOP_LOGIT, LoopGuard
from music_reformer.generation.prompt import Prompt
from music_reformer.generation.request import Request
from music_reformer.generation.sampling import Sampler
from music_reformer.generation.variation import NewNote, Variation
from music_reformer.midi.grammar import GrammarState
from music_reformer.midi.key import Key
from music_reformer.model.attention.cache import DecodeState

if TYPE_CHECKING:
    from music_reformer.generation.generator import Generator

SECONDS_BETWEEN_YIELDS = 0.2
# Added to pitches outside the key that was asked for: about 20 times rarer, yet a strong wish for one is heard.
FOREIGN_LOGIT = -3.0


@dataclass(frozen=True)
class Progress:
    """What has happened since the last one.

    Attributes:
        notes: new ones of all variations.
        done: fraction 0 to 1 of the asked-for length, of each variation.
        finished: of each variation.
        tokens_per_second: of all variations together, prompt not counted.
        seconds_left: estimate; None before there is anything to go by.
    """

    notes: list[NewNote]
    done: list[float]
    finished: list[bool]
    tokens_per_second: float
    seconds_left: float | None


class Session:
    """One request, under way. Iterate over it once; it may be left or stopped at any time and keeps what it has.

    Attributes:
        prompt: where the cut is, and the tokens that the model reads.
    """

    def __init__(
        self,
        generator: Generator,
        prompt: Prompt,
        *,
        request: Request,
        stop: threading.Event,
    ) -> None:
        self.prompt = prompt
        self._generator = generator
        self._rounds = request.rounds
        self._stop = stop
        vocabulary, variations, sampling = prompt.state.vocabulary, request.variations, request.sampling
        if prompt.until_tick is not None:
            end = prompt.until_grid
        else:
            length = request.parsed_length()
            end = prompt.grid_after(bars=length.bars, seconds=length.seconds)
        past, most_repeats, most_at_once = prompt.past_ids, sampling.most_repeats, sampling.most_at_once
        loop_guard = LoopGuard(vocabulary, past, most=most_repeats) if most_repeats else None
        chord_guard = ChordGuard(vocabulary, past, most=most_at_once) if most_at_once else None
        self._end_seconds = prompt.seconds(prompt.tick(end))
        self._variations = [
            Variation(
                number=number,
                prompt=prompt,
                state=prompt.state.copy(),
                end=end,
                loop_guard=loop_guard and loop_guard.copy(),
                chord_guard=chord_guard and chord_guard.copy(),
                roll_call=prompt.roll_call and prompt.roll_call.copy(),
            )
            for number in range(variations)
        ]
        pitch_tokens = [i for kind in ("Pitch", "NoteOn") for i in vocabulary.ids_of.get(kind, ())]
        self._sampler = Sampler(sampling, seed=request.seed, num_variations=variations, pitch_tokens=pitch_tokens)
        for number in range(variations):
            self._sampler.hear(number, prompt.past_ids)
        self._permitted = _permitted(prompt.state)
        self._key_V = _foreign_to(request.parsed_key(), prompt.state) * np.float32(FOREIGN_LOGIT)
        self._num_tokens = 0
        # The variations that are not finished: a row of the model's state each.
        self._rows = list(self._variations)
        self._began = time.monotonic()
        self._steps = self._run()

    @property
    def dropped_bars(self) -> int:
        """Bars at the beginning that the model did not see, because the prompt is too long for it."""
        return self.prompt.dropped_bars

    @property
    def end_seconds(self) -> float:
        """Where the asked-for length ends, in seconds from the beginning of the whole piece."""
        return self._end_seconds

    @property
    def hole_end_seconds(self) -> float | None:
        """Where the bars that are composed anew end, in seconds from the beginning; None: the piece is continued."""
        return self._end_seconds if self.prompt.until_tick is not None else None

    @property
    def num_tokens(self) -> int:
        """Tokens composed so far, of all variations together."""
        return self._num_tokens

    @property
    def scores(self) -> list[symusic.Score]:
        """What there is so far of each variation: the prompt up to the cut, then the new notes."""
        return [variation.score() for variation in self._variations]

    def stop(self) -> None:
        """End at the next token; complete notes stay."""
        self._stop.set()

    def __iter__(self) -> Iterator[Progress]:
        return self._steps

    @property
    def num_rows(self) -> int:
        """Variations that are not finished."""
        return len(self._rows)

    def begin(self) -> tuple[np.ndarray, DecodeState]:
        """Read the prompt: the logits of what comes first, [rows, V], and the state of all rows."""
        logits_BV, state = self._generator.prefill(self.prompt.ids, rows=len(self._rows), rounds=self._rounds)
        self._began = time.monotonic()
        return logits_BV, state

    def step(self, tokens: list[int], state: DecodeState) -> np.ndarray:
        """Tell the model the token of each row of `state`, which may be several sessions'; the logits that follow."""
        return self._generator.step(tokens, state)

    def take_turn(self, logits_BV: np.ndarray, lengths: list[int]) -> tuple[list[int], list[int]]:
        """Choose a token for each row, or go on reading to the model what it is to know before that.

        Args:
            logits_BV: of each row.
            lengths: tokens that the model has had of each row.

        Returns:
            Of the rows that go on: the tokens, and their places among the rows before; none when all is done.
        """
        rows = self._rows
        tokens = []
        for row, wanted_V in zip(rows, logits_BV + self._key_V, strict=True):
            if not row.unread:
                if discouraged := row.discouraged():
                    wanted_V[discouraged] += LOOP_LOGIT
                row.take(self._sampler.choose(wanted_V, row.allowed(self._permitted), row.number))
                self._num_tokens += 1
            tokens.append(row.unread.pop(0))
        over = self._stop.is_set() or max(lengths) >= self._generator.decoder.config.max_length
        going = [] if over else [place for place, row in enumerate(rows) if not row.finished]
        self._rows = [rows[place] for place in going]
        return [tokens[place] for place in going], going

    def end(self) -> Progress:
        """Nothing more comes."""
        self._rows = []
        for variation in self._variations:
            variation.finished = True
        return self.progress()

    def _run(self) -> Iterator[Progress]:
        yield self.progress()
        logits_BV, state = self.begin()
        last_yield = self._began
        while self._rows and not self._stop.is_set():
            before = len(self._rows)
            tokens, going = self.take_turn(logits_BV, state.lengths)
            if tokens:
                if len(going) < before:
                    state.keep(going)
                logits_BV = self.step(tokens, state)
            if time.monotonic() - last_yield >= SECONDS_BETWEEN_YIELDS and tokens:
                yield self.progress()
                last_yield = time.monotonic()
        yield self.end()

    def progress(self) -> Progress:
        """Where the session stands, with the notes since the last call."""
        elapsed = time.monotonic() - self._began
        done = [variation.done() for variation in self._variations]
        slowest = min(done)
        return Progress(
            notes=[note for variation in self._variations for note in variation.fresh_notes()],
            done=done,
            finished=[variation.finished for variation in self._variations],
            tokens_per_second=self._num_tokens / elapsed if elapsed > 0 else 0.0,
            seconds_left=elapsed * (1 - slowest) / slowest if slowest > 0 else None,
        )


def _permitted(state: GrammarState) -> np.ndarray:
    """Tokens that a continuation may use at all, bool [vocab_size].

    No end: the visitor gets the length that was asked for. No change of metre or tempo: the upload's are in force, and
    the length was counted in them.
    """
    vocabulary = state.vocabulary
    permitted = np.ones(len(vocabulary.kinds), dtype=bool)
    for kind in ("PAD", "BOS", "EOS", "Tempo", "TimeSig"):
        permitted[vocabulary.ids_of.get(kind, [])] = False
    if vocabulary.has_bars and ("TimeSig", state.metre) in vocabulary.ids:
        permitted[vocabulary.ids["TimeSig", state.metre]] = True  # every bar repeats it
    return permitted


def _foreign_to(key: Key | None, state: GrammarState) -> np.ndarray:
    """1.0 at the beginnings of notes outside `key` (drums have no key), float [vocab_size]; no key: zeros."""
    vocabulary = state.vocabulary
    foreign = np.zeros(len(vocabulary.kinds), np.float32)
    if key is not None:
        pitches = [i for kind in ("Pitch", "NoteOn") for i in vocabulary.ids_of.get(kind, ())]
        foreign[[i for i in pitches if int(vocabulary.values[i] or 0) % 12 not in key.pitch_classes]] = 1.0
    return foreign
