"""From a prompt to a stream of notes: the one generate loop, used by page, batch and tests.

    generator = Generator.load("pretrained")
    session = generator.start(score, length="16bars", variations=2, seed=1)
    for progress in session:  # notes as they are made
        ...
    session.scores[0]  # the prompt, event for event, and the continuation

What is guaranteed: the same request (weights, prompt, settings, number of variations) on the same machine with the same
number of threads gives the same notes, bit by bit. Variation k of a seed throws the same dice whatever the number of
variations; but a matrix product over more rows rounds otherwise (logits differ by 1e-6), so that once in some hundred
pieces a choice may fall otherwise, and the music with it.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import symusic
import torch
from torch import Tensor

from music_reformer.config import SamplingConfig, require
from music_reformer.generation.prompt import PIANO, Prompt, blank_score, read_prompt, write_continuation
from music_reformer.generation.sampling import Sampler
from music_reformer.midi.grammar import GrammarState
from music_reformer.midi.stream import DRUMS, Note
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.model.decode_state import DecodeState
from music_reformer.model.reformer import ReformerLM
from music_reformer.model.weights import load_weights

SECONDS_BETWEEN_YIELDS = 0.2
MAX_VARIATIONS = 64
MAX_BARS = 10_000
MAX_SECONDS = 24 * 3600.0
# A model that got stuck could fill one bar for ever: past this many tokens in a bar only time may move on. The densest
# REMI bar in a sample of POP909 has 276, in one of ASAP 366.
MAX_TOKENS_PER_BAR = 1024


@dataclass(frozen=True)
class Length:
    """How much to compose: bars or seconds, counted from the cut; exactly one of them is given."""

    bars: int | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str | Length) -> Length:
        """Read a length such as "16bars" or "30s".

        Raises:
            UserError: it is neither, or it is nothing, or it is beyond all measure.
        """
        if isinstance(text, Length):
            return text
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(bars?|s|sec|seconds?)\s*", str(text).lower())
        require(match is not None, f"length ({text!r}) must be a number of bars or seconds, such as 16bars or 30s")
        assert match is not None
        number, in_bars = float(match[1]), match[2].startswith("bar")
        if in_bars:
            whole = number == int(number) and 1 <= number <= MAX_BARS
            require(whole, f"length ({text!r}) must be a whole number of bars from 1 to {MAX_BARS}")
            return cls(bars=int(number))
        require(0 < number <= MAX_SECONDS, f"length ({text!r}) must be above 0 and at most {MAX_SECONDS:.0f} seconds")
        return cls(seconds=number)


@dataclass(frozen=True, slots=True)
class NewNote:
    """A note just composed; times in seconds from the beginning of the whole piece."""

    variation: int
    program: int
    drum: bool
    pitch: int
    velocity: int
    start_s: float
    end_s: float


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


class Generator:
    """A model and its tokenizer, ready to compose. Sessions of several threads may share one.

    Args:
        model: moved to `eval()`; stays on its device.
        tokenizer: the one that the model was trained with.
        fingerprint: of the weights, for records.
    """

    def __init__(self, model: ReformerLM, tokenizer: MusicTokenizer, *, fingerprint: str = "") -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.fingerprint = fingerprint
        self.device = next(model.parameters()).device
        self._default_rounds = model.num_rounds
        self._lock = threading.Lock()

    @classmethod
    def load(cls, checkpoint: str | Path = "pretrained", device: str = "auto") -> Generator:
        """Read weights (a folder, a .ckpt file, or "pretrained") onto a device ("auto": a GPU if there is one).

        Raises:
            UserError: there are no such weights or there is no such device.
        """
        loaded = load_weights(checkpoint)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            model = loaded.model.to(device)
        except (RuntimeError, AssertionError) as error:
            require(False, f"device ({device!r}) cannot be used here ({str(error).splitlines()[0]}); try cpu")
        tokenizer = MusicTokenizer.from_json(loaded.tokenizer_settings)
        return cls(model, tokenizer, fingerprint=loaded.fingerprint)

    def start(
        self,
        prompt: symusic.Score | None = None,
        *,
        length: str | Length = "16bars",
        variations: int = 1,
        seed: int = 0,
        sampling: SamplingConfig | None = None,
        cut_bar: int | None = None,
        programs: set[int] | None = None,
        rounds: int = 0,
        stop: threading.Event | None = None,
    ) -> Session:
        """Prepare to compose; nothing is computed before the session is iterated over.

        Args:
            prompt: in ticks, or None to compose from nothing (120 quarters a minute, 4/4).
            length: how much; "16bars" are bars of the metre at the cut.
            variations: how many continuations, composed side by side.
            seed: two sessions that differ in it differ in all variations.
            sampling: temperature and the rest; None: the defaults.
            cut_bar: how many bars of the prompt to keep; None: all, through the one in which its last note begins.
            programs: instruments that may play, -1 for drums; None: those of the prompt, or a piano.
            rounds: hash rounds; 0: as the model was trained.
            stop: set it from another thread, and the session ends with what it has.

        Raises:
            UserError: a setting makes no sense.
        """
        require(1 <= variations <= MAX_VARIATIONS, f"variations ({variations}) must be 1 to {MAX_VARIATIONS}")
        for program in programs or ():
            require(-1 <= program <= 127, f"program ({program}) must be 0 to 127, or -1 for drums")
        # Half of the positions are for what is to come.
        read = read_prompt(
            prompt if prompt is not None else blank_score(programs or {PIANO}),
            tokenizer=self.tokenizer,
            programs=programs,
            cut_bar=cut_bar,
            max_tokens=max(2, self.model.config.max_length // 2),
        )
        return Session(
            self,
            read,
            length=Length.parse(length),
            variations=variations,
            seed=seed,
            sampling=sampling or SamplingConfig(),
            rounds=rounds or self._default_rounds,
            stop=stop or threading.Event(),
        )

    def prefill(self, ids: list[int], *, rows: int, rounds: int) -> tuple[Tensor, DecodeState]:
        """Read a prompt once for `rows` variations; logits [rows, V] on the CPU in float32, and the state."""
        with self._lock, torch.inference_mode():
            self._set_rounds(rounds)
            logits_BV, state = self.model.prefill(torch.tensor([ids], device=self.device))
            return logits_BV.float().cpu().expand(rows, -1), state.expand(rows)

    def step(self, tokens: list[int], state: DecodeState, *, rounds: int) -> Tensor:
        """One token for each row of `state`; the logits that follow, [rows, V] on the CPU in float32."""
        with self._lock, torch.inference_mode():
            self._set_rounds(rounds)
            return self.model.step(torch.tensor(tokens, device=self.device), state).float().cpu()

    def _set_rounds(self, rounds: int) -> None:
        if rounds != self.model.num_rounds:
            self.model.num_rounds = rounds


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
        length: Length,
        variations: int,
        seed: int,
        sampling: SamplingConfig,
        rounds: int,
        stop: threading.Event,
    ) -> None:
        self.prompt = prompt
        self._generator = generator
        self._rounds = rounds
        self._stop = stop
        vocabulary = prompt.state.vocabulary
        end = prompt.grid_after(bars=length.bars, seconds=length.seconds)
        self._variations = [
            _Variation(number=number, prompt=prompt, state=prompt.state.copy(), end=end) for number in range(variations)
        ]
        pitch_tokens = [i for kind in ("Pitch", "NoteOn") for i in vocabulary.ids_of.get(kind, ())]
        self._sampler = Sampler(sampling, seed=seed, num_variations=variations, pitch_tokens=pitch_tokens)
        for number in range(variations):
            self._sampler.hear(number, prompt.ids)
        self._permitted = _permitted(prompt.state)
        self._num_tokens = 0
        self._steps = self._run()

    @property
    def dropped_bars(self) -> int:
        """Bars at the beginning that the model did not see, because the prompt is too long for it."""
        return self.prompt.dropped_bars

    @property
    def scores(self) -> list[symusic.Score]:
        """What there is so far of each variation: the prompt up to the cut, then the new notes."""
        return [variation.score() for variation in self._variations]

    def stop(self) -> None:
        """End at the next token; complete notes stay."""
        self._stop.set()

    def __iter__(self) -> Iterator[Progress]:
        return self._steps

    def _run(self) -> Iterator[Progress]:
        began = time.monotonic()
        yield self._progress(began)
        rows = list(self._variations)
        logits_BV, state = self._generator.prefill(self.prompt.ids, rows=len(rows), rounds=self._rounds)
        max_length = self._generator.model.config.max_length
        began = last_yield = time.monotonic()
        while rows and not self._stop.is_set():
            allowed_BV = torch.stack([row.allowed(self._permitted) for row in rows])
            tokens = self._sampler.choose(logits_BV, allowed_BV, [row.number for row in rows])
            for row, token in zip(rows, tokens, strict=True):
                row.take(token)
            self._num_tokens += len(rows)
            going = [place for place, row in enumerate(rows) if not row.finished]
            if state.length >= max_length:
                break
            if len(going) < len(rows):
                rows = [rows[place] for place in going]
                tokens = [tokens[place] for place in going]
                if rows:
                    state = state.select(torch.tensor(going))
            if rows:
                logits_BV = self._generator.step(tokens, state, rounds=self._rounds)
            if time.monotonic() - last_yield >= SECONDS_BETWEEN_YIELDS and rows:
                yield self._progress(began)
                last_yield = time.monotonic()
        for variation in self._variations:
            variation.finished = True
        yield self._progress(began)

    def _progress(self, began: float) -> Progress:
        elapsed = time.monotonic() - began
        done = [variation.done() for variation in self._variations]
        slowest = min(done)
        return Progress(
            notes=[note for variation in self._variations for note in variation.fresh_notes()],
            done=done,
            finished=[variation.finished for variation in self._variations],
            tokens_per_second=self._num_tokens / elapsed if elapsed > 0 else 0.0,
            seconds_left=elapsed * (1 - slowest) / slowest if slowest > 0 else None,
        )


@dataclass
class _Variation:
    """One continuation in the making.

    Attributes:
        end: grid tick at which it is long enough. Notes that begin before it keep their length.
    """

    number: int
    prompt: Prompt
    state: GrammarState
    end: float
    finished: bool = False
    notes: list[Note] = field(default_factory=list)
    _num_told: int = 0
    _bar: int = 0
    _tokens_in_bar: int = 0

    def allowed(self, permitted: Tensor) -> Tensor:
        """The grammar's mask, narrowed to what this request permits, and to time alone in an endless bar."""
        mask = self.state.allowed() & permitted
        if self._tokens_in_bar > MAX_TOKENS_PER_BAR:
            time_only = mask & self.state.grammar.time_mask
            if time_only.any():  # a note that was begun is completed first
                return time_only
        return mask

    def take(self, token: int) -> None:
        """Add a token; the variation is finished when its time has come and its notes have ended."""
        state = self.state
        for note in state.advance(token):
            self._keep(note)
        if state.bar != self._bar:
            self._bar, self._tokens_in_bar = state.bar, 0
        self._tokens_in_bar += 1
        if state.tick >= self.end:
            state.closing = True  # where notes are pairs, the model still ends those that sound
            if not state.sounds_since(self.prompt.cut_grid):
                self.finished = True
            elif state.tick >= self.end + state.ticks_per_bar:
                for note in state.end_notes()[1]:
                    self._keep(note)
                self.finished = True

    def _keep(self, note: Note) -> None:
        # The ends of the prompt's own notes, where they are events, are not news.
        if note.start_tick >= self.prompt.cut_grid:
            self.notes.append(note)
            # No second stroke of this key at this very moment.
            self.state.hold(DRUMS if note.drum else note.program, note.pitch, note.start_tick + 1)

    def done(self) -> float:
        """Fraction of the length."""
        if self.finished and not self._stopped_early():
            return 1.0
        cut = self.prompt.cut_grid
        return min(1.0, max(0.0, (self.state.tick - cut) / (self.end - cut)))

    def _stopped_early(self) -> bool:
        return self.state.tick < self.end

    def fresh_notes(self) -> list[NewNote]:
        """Notes since the last call."""
        fresh, self._num_told = self.notes[self._num_told :], len(self.notes)
        return [self._told(note) for note in fresh]

    def _told(self, note: Note) -> NewNote:
        start = self.prompt.tick(note.start_tick)
        length = max(1, round((note.end_tick - note.start_tick) * self.prompt.ticks_per_grid))
        return NewNote(
            variation=self.number,
            program=note.program,
            drum=note.drum,
            pitch=note.pitch,
            velocity=note.velocity,
            start_s=self.prompt.seconds(start),
            end_s=self.prompt.seconds(start + length),
        )

    def score(self) -> symusic.Score:
        """The prompt and what has been composed so far."""
        before = self.prompt.state
        return write_continuation(
            self.prompt,
            self.notes,
            self.state.bends[len(before.bends) :],
            [press for press in self.state.presses[len(before.presses) :] if press.start_tick >= self.prompt.cut_grid],
            has_programs=self.state.vocabulary.has_programs,
        )


def _permitted(state: GrammarState) -> Tensor:
    """Tokens that a continuation may use at all, bool [vocab_size].

    No end: the visitor gets the length that was asked for. No change of metre or tempo: the upload's are in force, and
    the length was counted in them.
    """
    vocabulary = state.vocabulary
    permitted = torch.ones(len(vocabulary.kinds), dtype=torch.bool)
    for kind in ("PAD", "BOS", "EOS", "Tempo", "TimeSig"):
        permitted[vocabulary.ids_of.get(kind, [])] = False
    if vocabulary.has_bars and ("TimeSig", state.metre) in vocabulary.ids:
        permitted[vocabulary.ids["TimeSig", state.metre]] = True  # every bar repeats it
    return permitted
