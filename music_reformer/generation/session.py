"""One request in progress: its variations, their permitted tokens, and how much is done.

A session does not run the model. The loop (`loop.py`) hands it the model's logits, and feeds the tokens that it chooses
back to the model.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace

import numpy as np
import symusic

from music_reformer.generation.cast import Cast
from music_reformer.generation.chord_lane import ChordLane, lowest_part
from music_reformer.generation.closing import Closing
from music_reformer.generation.director import HEARD_BARS, heard_bars
from music_reformer.generation.ensemble import Ensemble, modulation_to
from music_reformer.generation.given_notes import GivenNotes
from music_reformer.generation.leaving import Leaving
from music_reformer.generation.manners import Manner, MannerPlan
from music_reformer.generation.monotony_guard import MonotonyGuard
from music_reformer.generation.polyphony_guard import PolyphonyGuard
from music_reformer.generation.progression import Progression
from music_reformer.generation.prompt import Prompt
from music_reformer.generation.recall import Recall
from music_reformer.generation.repetition_guard import RepetitionGuard
from music_reformer.generation.request import Request, Wishes
from music_reformer.generation.sampling import Sampler
from music_reformer.generation.steering import Steering
from music_reformer.generation.variation import NewNote, NewSection, Variation
from music_reformer.midi.grammar import GrammarState
from music_reformer.midi.key import Key
from music_reformer.midi.lead_sheet import LeadSheet
from music_reformer.midi.modulation import UNCHANGED
from music_reformer.midi.parts_reader import PartsReader, reader_for
from music_reformer.model.decoder import Decoder

# Added to the logits of notes outside the requested key: makes them 20 times rarer, yet a strong preference still wins.
FOREIGN_LOGIT = -3.0
# Kinds of tokens that a continuation never uses: no end, because the length is given; no change of metre or tempo,
# because the length was counted in those of the piece; no directions, because these only tell the model what to play.
EXCLUDED_KINDS = ("PAD", "BOS", "EOS", "Tempo", "TimeSig", "Cut", "Hole", "Directions")


@dataclass(frozen=True)
class SessionProgress:
    """A report of a session.

    Attributes:
        notes: notes of all variations that are new since the last report.
        done: composed fraction of the length, 0 to 1, of each variation.
        finished: whether each variation is complete.
        tokens_per_second: speed of all variations together; reading the prompt does not count.
        seconds_left: estimated time until all are complete; None while nothing is composed.
    """

    notes: list[NewNote]
    done: list[float]
    finished: list[bool]
    tokens_per_second: float
    seconds_left: float | None


class Session:
    """One request in progress. It may be abandoned or stopped at any time, and keeps what has been composed.

    Args:
        prompt: the piece up to the cut, and the tokens that the model reads.
        request: what to compose.
        decoder: the model; composing ends when prompt and new tokens fill its positions.
        stop: ends the session when it is set, from any thread.
        chords: chords of the new bars; None: the model chooses.
        recall: brings back bars of the piece; None: nothing returns on purpose.
        manners: of sections that are played differently from the last bars; None: there are none.

    Attributes:
        num_tokens: tokens composed so far, over all variations.
        end_tick, end_seconds: end of the requested length, in ticks of the score and in seconds from its beginning.
    """

    def __init__(
        self,
        prompt: Prompt,
        request: Request,
        *,
        decoder: Decoder,
        stop: threading.Event,
        chords: LeadSheet | None = None,
        recall: Recall | None = None,
        manners: MannerPlan | None = None,
    ) -> None:
        self.prompt, self.request, self.decoder = prompt, request, decoder
        self.num_tokens = 0
        self._max_length = decoder.config.max_length
        self._stop = stop
        length, vocabulary = request.parsed_length(), prompt.state.vocabulary
        end = prompt.grid_after(bars=length.bars, seconds=length.seconds)
        if prompt.until_tick is not None:
            end = prompt.until_grid
        self.end_tick = prompt.tick(end)
        self.end_seconds = prompt.seconds(self.end_tick)
        self._variations = _variations(prompt, request, end, chords, recall, manners)
        pitch_tokens = [i for kind in ("Pitch", "NoteOn") for i in vocabulary.ids_of.get(kind, ())]
        self._sampler = Sampler(
            request.sampling, seed=request.seed, num_variations=request.num_composed, pitch_tokens=pitch_tokens
        )
        for number in range(request.num_composed):
            self._sampler.hear(number, prompt.past_ids)
        self._permitted_V = _permitted(prompt.state)
        self._key_V = _foreign_to(request.parsed_key(), prompt.state) * np.float32(FOREIGN_LOGIT)
        # Variations that are not finished: each has a row of the model's state.
        self._rows = list(self._variations)
        self._began = time.monotonic()

    @property
    def num_rows(self) -> int:
        """Variations that are not finished."""
        return len(self._rows)

    @property
    def dropped_bars(self) -> int:
        """Bars that the model did not see because the piece is too long for it."""
        return self.prompt.dropped_bars

    @property
    def hole_end_seconds(self) -> float | None:
        """End of the recomposed bars in seconds from the beginning of the piece; None if the piece is continued."""
        return self.end_seconds if self.prompt.until_tick is not None else None

    @property
    def scores(self) -> list[symusic.Score]:
        """The piece with what has been composed so far, of each variation."""
        return [variation.score() for variation in self._variations]

    def stop(self) -> None:
        """End at the next token; complete notes stay."""
        self._stop.set()

    def start_clock(self) -> None:
        """Start the clock for speed and time left; called when the prompt has been read."""
        self._began = time.monotonic()

    def take_turn(self, logits_BV: np.ndarray, lengths: list[int]) -> tuple[list[int], list[int]]:
        """Choose each row's next token; rows with unread tokens (names, directions) give the model these first.

        Args:
            logits_BV: the model's logits, float32; one row per unfinished variation.
            lengths: number of tokens of each row that the model has read.

        Returns:
            The next tokens of the rows that continue, and the indices of these rows; empty when the session is over.
        """
        if self._stop.is_set():
            self._rows = []
            return [], []
        rows, tokens = self._rows, []
        for row, wanted_V in zip(rows, logits_BV + self._key_V, strict=True):
            if not row.unread:
                allowed_V = row.allowed(self._permitted_V)
                row.lean(wanted_V, allowed_V)
                row.take(self._sampler.choose(wanted_V, allowed_V, row.number))
                self.num_tokens += 1
            tokens.append(row.unread.pop(0))
        full = max(lengths) >= self._max_length
        going = [] if full else [number for number, row in enumerate(rows) if not row.finished]
        self._rows = [rows[number] for number in going]
        return [tokens[number] for number in going], going

    def end(self) -> SessionProgress:
        """Close the session; returns the last report."""
        self._rows = []
        for variation in self._variations:
            variation.finished = True
        return self.progress()

    def progress(self) -> SessionProgress:
        """Report the state of the session, and the notes since the last report."""
        elapsed = time.monotonic() - self._began
        done = [variation.done() for variation in self._variations]
        slowest = min(done)
        return SessionProgress(
            notes=[note for variation in self._variations for note in variation.fresh_notes()],
            done=done,
            finished=[variation.finished for variation in self._variations],
            tokens_per_second=self.num_tokens / elapsed if elapsed > 0 else 0.0,
            seconds_left=elapsed * (1 - slowest) / slowest if slowest > 0 else None,
        )


def _variations(
    prompt: Prompt,
    request: Request,
    end: float,
    chords: LeadSheet | None,
    recall: Recall | None,
    manners: MannerPlan | None,
) -> list[Variation]:
    """The variations of a request at the cut, each with its own grammar state and guards."""
    vocabulary, past, sampling = prompt.state.vocabulary, prompt.past_ids, request.sampling
    repetition_guard = RepetitionGuard(vocabulary, past, most=sampling.most_repeats) if sampling.most_repeats else None
    monotony_guard = _monotony_guard(prompt, request)
    polyphony_guard = (
        PolyphonyGuard(vocabulary, past, most=sampling.most_at_once, cast=prompt.cast)
        if sampling.most_at_once
        else None
    )
    ensemble = _ensemble(prompt, request)
    steering = _steering(prompt, request)
    lane = _chord_lane(prompt, chords)
    progression = _progression(prompt, request)
    closing = _closing(prompt, request)
    given = GivenNotes(vocabulary, prompt.given, metre=prompt.state.metre) if prompt.given else None
    leaving = Leaving(vocabulary, metre=prompt.state.metre) if vocabulary.part_by_part else None
    sections = _sections(prompt, request, manners)
    # Followers start at the line of the first new bar; a late note of the prompt may have been rounded into this bar.
    followers: list[Ensemble | Steering | ChordLane | Progression | Recall | Closing | Leaving | None]
    followers = [ensemble, steering, lane, progression, recall, closing, leaving]
    for token in _behind_line(prompt):
        for follower in followers:
            if follower is not None:
                follower.take(token)
    return [
        Variation(
            number=number,
            prompt=prompt,
            state=prompt.state.copy(),
            end=end,
            repetition_guard=repetition_guard and repetition_guard.copy(),
            monotony_guard=monotony_guard and monotony_guard.copy(),
            polyphony_guard=polyphony_guard and polyphony_guard.copy(),
            ensemble=ensemble and ensemble.copy(),
            steering=steering and steering.copy(),
            chords=lane and lane.copy(),
            progression=progression and progression.copy(),
            recall=recall and recall.copy(),
            closing=closing and closing.copy(),
            given=given and given.copy(),
            leaving=leaving and leaving.copy(),
            reminder=prompt.reminder and prompt.reminder.copy(),
            sections=sections[number],
        )
        for number in range(request.num_composed)
    ]


def _monotony_guard(prompt: Prompt, request: Request) -> MonotonyGuard | None:
    """Keeps parts from playing a bar over and over; None if they may, or if the encoding has no parts."""
    vocabulary = prompt.state.vocabulary
    if not request.sampling.most_repeats or not vocabulary.part_by_part:
        return None
    past = prompt.past_ids if prompt.until_tick is None else prompt.around_ids
    lines = [place for place, token in enumerate(past) if vocabulary.kinds[token] == "Bar"]
    return MonotonyGuard(vocabulary, past[lines[0] + 1 :], metre=vocabulary.values[past[lines[0]]])


def _behind_line(prompt: Prompt) -> list[int]:
    """The tokens of the prompt after its last bar line; none before a hole, where these are only directions."""
    return prompt.past_ids[prompt.bar_line + 1 :] if prompt.until_tick is None else []


def _sections(prompt: Prompt, request: Request, manners: MannerPlan | None) -> list[list[NewSection]]:
    """The sections of each variation that are in manners of their own."""
    made: dict[tuple[int, Wishes, int], NewSection] = {}

    def section(manner: Manner) -> NewSection:
        # An ensemble counts the bars to the end of the piece from here; nothing else depends on the first bar.
        key = manner.heard_bar, manner.wishes, manner.first_bar if request.ending else 0
        if key not in made:
            cast = replace(prompt.cast, wishes=prompt.cast.wishes + manner.wishes)
            ensemble = _ensemble(prompt, request, cast, heard=manner.heard, first_bar=manner.first_bar)
            steering = _steering(prompt, request, cast, heard=manner.heard)
            assert ensemble is not None
            assert steering is not None
            made[key] = NewSection(manner, cast, ensemble, steering)
        return replace(made[key], manner=manner)

    plans = [manners.of(number) if manners is not None else [] for number in range(request.num_composed)]
    return [[section(manner) for manner in plan] for plan in plans]


def _ensemble(
    prompt: Prompt, request: Request, cast: Cast | None = None, *, heard: slice | None = None, first_bar: int = 0
) -> Ensemble | None:
    """The ensemble of the piece, or of a hole's new parts; None if there are none or the encoding has no parts."""
    vocabulary, hold = prompt.state.vocabulary, request.sampling.hold
    reader = reader_for(vocabulary)
    if not hold or not isinstance(reader, PartsReader):
        return None
    if prompt.until_tick is not None:
        new = prompt.cast.unheard
        cast = Cast(frozenset(program for program, _ in new), parts=new, newcomers=new)
        line = [vocabulary.ids["Bar", prompt.state.metre]]
        return Ensemble(reader, vocabulary, line, metre=prompt.state.metre, cast=cast, weight=hold) if new else None
    return Ensemble(
        reader,
        vocabulary,
        prompt.past_ids,
        metre=prompt.state.metre,
        cast=cast or prompt.cast,
        weight=hold,
        key=request.parsed_key(),
        last_bar=prompt.bars_in(request.parsed_length()) - 1 - first_bar if request.ending else None,
        heard=heard,
    )


def _steering(
    prompt: Prompt, request: Request, cast: Cast | None = None, *, heard: slice | None = None
) -> Steering | None:
    """Keeps parts playing as before, or changes them as requested; None if neither is wanted."""
    vocabulary, hold = prompt.state.vocabulary, request.sampling.hold
    reader = reader_for(vocabulary)
    is_continued = prompt.until_tick is None
    wishes = prompt.cast.is_wished or request.key is not None
    if not isinstance(reader, PartsReader) or not ((hold and is_continued) or wishes):
        return None
    return Steering(
        reader,
        vocabulary,
        prompt.past_ids if is_continued else prompt.around_ids,
        metre=prompt.state.metre,
        cast=cast or prompt.cast,
        heard=heard,
        num_bars=HEARD_BARS if is_continued else 2 * HEARD_BARS,
        keeps_pitch_classes=is_continued,
        key=request.parsed_key(),
        weight=hold or 1.0,
    )


def _chord_lane(prompt: Prompt, chords: LeadSheet | None) -> ChordLane | None:
    """Leads the new bars through the requested chords; None without any."""
    if chords is None:
        return None
    vocabulary = prompt.state.vocabulary
    reader = reader_for(vocabulary)
    assert isinstance(reader, PartsReader)
    return ChordLane(
        vocabulary,
        chords,
        metre=prompt.state.metre,
        lowest=lowest_part(reader, prompt.past_ids, prompt.cast),
        writes=not prompt.stays,
    )


def _progression(prompt: Prompt, request: Request) -> Progression | None:
    """Lets chords follow one another as in the piece; None in a hole, or if the piece is not held to."""
    vocabulary, hold, past = prompt.state.vocabulary, request.sampling.hold, prompt.past_ids
    reader = reader_for(vocabulary)
    if not hold or not isinstance(reader, PartsReader) or prompt.until_tick is not None:
        return None
    key, ids = request.parsed_key(), np.array(past)
    span = heard_bars(reader, ids) if key is not None else None
    modulation = modulation_to(key, reader.notes(ids[span])) if span is not None else UNCHANGED
    return Progression(vocabulary, past, metre=prompt.state.metre, modulation=modulation, weight=hold)


def _closing(prompt: Prompt, request: Request) -> Closing | None:
    """Brings the piece to its end; None if that is not requested."""
    if not request.ending or prompt.until_tick is not None:
        return None
    num_bars = prompt.bars_in(request.parsed_length())
    return Closing(prompt.state.vocabulary, metre=prompt.state.metre, num_bars=num_bars)


def _permitted(state: GrammarState) -> np.ndarray:
    """Tokens that a continuation may use, bool [V]."""
    vocabulary = state.vocabulary
    permitted_V = np.ones(len(vocabulary.kinds), dtype=bool)
    for kind in EXCLUDED_KINDS:
        permitted_V[vocabulary.ids_of.get(kind, [])] = False
    if vocabulary.part_by_part:
        permitted_V[vocabulary.ids_of["Bar"]] = False
        permitted_V[vocabulary.ids["Bar", state.metre]] = True
    elif vocabulary.has_bars and ("TimeSig", state.metre) in vocabulary.ids:
        permitted_V[vocabulary.ids["TimeSig", state.metre]] = True  # every bar repeats it
    return permitted_V


def _foreign_to(key: Key | None, state: GrammarState) -> np.ndarray:
    """1.0 for tokens that begin notes outside `key` (not drums), else 0.0, float32 [V]; zeros without a key."""
    vocabulary = state.vocabulary
    foreign_V = np.zeros(len(vocabulary.kinds), np.float32)
    if key is not None:
        pitches = [i for kind in ("Pitch", "NoteOn") for i in vocabulary.ids_of.get(kind, ())]
        foreign_V[[i for i in pitches if int(vocabulary.values[i] or 0) % 12 not in key.pitch_classes]] = 1.0
    return foreign_V
