"""One variation in progress: the state of its token stream, and the notes decoded from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import symusic

from music_reformer.generation.cast import Cast
from music_reformer.generation.chord_lane import ChordLane
from music_reformer.generation.closing import Closing
from music_reformer.generation.continuation import NewNoteTracks, write_continuation
from music_reformer.generation.director import Director
from music_reformer.generation.ensemble import Ensemble
from music_reformer.generation.given_notes import GivenNotes
from music_reformer.generation.instrument_reminder import InstrumentReminder
from music_reformer.generation.leaving import Leaving
from music_reformer.generation.manners import Manner
from music_reformer.generation.monotony_guard import MonotonyGuard
from music_reformer.generation.polyphony_guard import PolyphonyGuard
from music_reformer.generation.progression import Progression
from music_reformer.generation.prompt import Prompt
from music_reformer.generation.recall import Recall
from music_reformer.generation.repetition_guard import RepetitionGuard
from music_reformer.generation.steering import Steering
from music_reformer.midi.grammar import GrammarState
from music_reformer.midi.stream import Note
from music_reformer.midi.vocabulary import DRUMS

# A stuck model could fill one bar for ever: past this many tokens in a bar, only tokens that advance time are allowed.
# The densest REMI bar has 276 tokens in a sample of POP909, and 366 in one of ASAP; the densest Parts bar of 3,360
# pieces, orchestral ones among them, has 788.
MAX_TOKENS_PER_BAR = 2048
# Added to the logits of notes that continue a repetition: each becomes 150 times rarer, and a bar has several.
REPETITION_LOGIT = -5.0
# Added to the logits of notes that continue a bar that a part has played too often.
MONOTONY_LOGIT = -3.0


@dataclass(frozen=True, slots=True)
class NewNote:
    """A newly composed note; times are in seconds from the beginning of the piece.

    Attributes:
        track: index of its track in the finished score.
    """

    variation: int
    track: int
    program: int
    drum: bool
    pitch: int
    velocity: int
    start_s: float
    end_s: float


@dataclass(frozen=True)
class NewSection:
    """A section of the new bars in a manner of its own, and what holds the music to it."""

    manner: Manner
    cast: Cast
    ensemble: Ensemble
    steering: Steering


@dataclass
class Variation:
    """One variation in progress.

    Attributes:
        end: grid tick at which the requested length ends. Notes that begin before it keep their length.
        sections: those still to come that change the manner of playing.
        unread: tokens that the model has to read before the next one is chosen.
    """

    number: int
    prompt: Prompt
    state: GrammarState
    end: float
    repetition_guard: RepetitionGuard | None = None
    monotony_guard: MonotonyGuard | None = None
    polyphony_guard: PolyphonyGuard | None = None
    ensemble: Ensemble | None = None
    steering: Steering | None = None
    chords: ChordLane | None = None
    progression: Progression | None = None
    recall: Recall | None = None
    closing: Closing | None = None
    given: GivenNotes | None = None
    leaving: Leaving | None = None
    reminder: InstrumentReminder | Director | None = None
    sections: Sequence[NewSection] = ()
    unread: list[int] = field(default_factory=list)
    finished: bool = False
    notes: list[Note] = field(default_factory=list)
    _tracks: NewNoteTracks = field(init=False)
    _num_told: int = 0
    _bar: int = 0
    _num_lines: int = 0  # bar lines composed
    _tokens_in_bar: int = 0

    def __post_init__(self) -> None:
        self._tracks = NewNoteTracks(self.prompt, self.state.vocabulary)

    def allowed(self, permitted: np.ndarray) -> np.ndarray:
        """Tokens that may come next, bool [V]: grammar and request permit them, and no bar or chord is endless."""
        mask = self.state.allowed() & permitted
        if self.ensemble is not None and not self._returns_exactly:
            mask = self.ensemble.narrowed(mask)
        if self.chords is not None:
            mask = self.chords.narrowed(mask)
        if self.progression is not None:
            mask = self.progression.narrowed(mask)
        if self.given is not None:
            mask = self.given.narrowed(mask)
        if self._tokens_in_bar > MAX_TOKENS_PER_BAR:
            time_only = mask & self.state.grammar.time_mask
            if time_only.any():  # else a note that has begun is completed first
                return time_only
        excessive = self.polyphony_guard.excessive() if self.polyphony_guard is not None else []
        if excessive:
            narrowed = mask.copy()
            narrowed[excessive] = False
            mask = narrowed if narrowed.any() else mask  # a note that has begun is completed first
        return mask

    def lean(self, logits_V: np.ndarray, allowed_V: np.ndarray) -> None:
        """Adjust logits in place: lower repetitions and what does not suit the piece, raise what is requested.

        Args:
            logits_V: the model's logits, float32.
            allowed_V: tokens that may come next, bool.
        """
        closes = self.closing is not None and self.closing.active
        is_planned = closes or self._returns  # a plan that needs no further guidance
        if not closes and not self._returns_exactly:
            self._lean_against_repetition(logits_V)
        by_pitch_class = self.chords is None or self.chords.chord is None
        if self.progression is not None and not is_planned and by_pitch_class:
            self.progression.lean(logits_V, allowed_V)
        if self.ensemble is not None and not is_planned:
            self.ensemble.lean(logits_V, by_pitch_class=by_pitch_class)
        if self.steering is not None and (not is_planned or (self.steering.is_wished and not closes)):
            self.steering.lean(logits_V, by_pitch_class=by_pitch_class)
        for guide in (self.recall, self.chords, self.closing, self.given):
            if guide is not None:
                guide.lean(logits_V)
        if self.ensemble is not None and not self._returns_exactly:
            self.ensemble.lead_to_due(logits_V)
        if self.leaving is not None:
            self.leaving.keep(logits_V, allowed_V)

    def _lean_against_repetition(self, logits_V: np.ndarray) -> None:
        """Lower, in place, the logits of notes that continue a repetition, except for notes of a returning bar."""
        for guard, logit in ((self.repetition_guard, REPETITION_LOGIT), (self.monotony_guard, MONOTONY_LOGIT)):
            repeating = guard.repeating() if guard is not None else []
            if repeating and self.recall is not None:
                returning = self.recall.wanted()
                repeating = [token for token in repeating if token not in returning]
            logits_V[repeating] += logit

    @property
    def _returns(self) -> bool:
        """Whether a bar of the piece returns in the current bar."""
        return self.recall is not None and self.recall.active

    @property
    def _returns_exactly(self) -> bool:
        """Whether it returns unchanged, apart from parts that rest."""
        return self.recall is not None and self.recall.is_exact

    def take(self, token: int) -> None:
        """Append a token. The variation is finished once the length is reached and all its notes have ended."""
        state = self.state
        told = self.reminder.take(token) if self.reminder is not None else []
        section = self._section_at(token)
        if section is not None and isinstance(self.reminder, Director):
            told = self.reminder.change_manner(section.manner.heard, section.cast)
        # Names precede the bar line, directions follow it.
        self.unread += [token, *told] if isinstance(self.reminder, Director) else [*told, token]
        followers = (
            *(self.repetition_guard, self.monotony_guard, self.polyphony_guard),
            *(self.ensemble, self.steering, self.chords, self.progression, self.recall),
            *(self.closing, self.given, self.leaving),
        )
        for follower in followers:
            if follower is not None:
                follower.take(token)
        if section is not None:
            self._begin(section)
        is_given = self.given is not None and self.given.wrote_one
        for note in state.advance(token):
            if not is_given:  # a locked note is already in the piece
                self._keep(note)
        if state.bar != self._bar:
            self._bar, self._tokens_in_bar = state.bar, 0
        self._tokens_in_bar += 1
        if state.tick >= self.end:
            state.closing = True  # if note ends are events, the model still ends sounding notes
            if not state.sounds_since(self.prompt.cut_grid):
                self.finished = True
            elif state.tick >= self.end + state.ticks_per_bar:
                for note in state.end_notes()[1]:
                    self._keep(note)
                self.finished = True

    def _section_at(self, token: int) -> NewSection | None:
        """The section that begins after a token, if that is the line of its first bar."""
        if self.state.vocabulary.kinds[token] != "Bar":
            return None
        self._num_lines += 1
        if not self.sections or self.sections[0].manner.first_bar != self._num_lines:
            return None
        section, *self.sections = self.sections
        return section

    def _begin(self, section: NewSection) -> None:
        """Hold the music to the manner of a section from here on."""
        if self.ensemble is not None:
            self.ensemble = section.ensemble.going_on(self.ensemble)
        if self.steering is not None:
            self.steering = section.steering.going_on(self.steering)
        if self.progression is not None:
            self.progression.go_on_from(section.manner.heard_bar)

    def _keep(self, note: Note) -> None:
        # If note ends are events, the stream also ends notes of the prompt, which are not new. If bars are written part
        # by part, the last bar is written whole, beyond the requested end.
        if self.prompt.cut_grid <= note.start_tick < self.end:
            self.notes.append(note)
            # The same key cannot be struck again at the same moment.
            self.state.hold(DRUMS if note.drum else note.program, note.pitch, note.start_tick + 1, note.part)

    def done(self) -> float:
        """Composed fraction of the length, 0 to 1."""
        if self.finished and not self._stopped_early():
            return 1.0
        cut = self.prompt.cut_grid
        return min(1.0, max(0.0, (self.state.tick - cut) / (self.end - cut)))

    def _stopped_early(self) -> bool:
        return self.state.tick < self.end

    def fresh_notes(self) -> list[NewNote]:
        """Notes decoded since the last call; in encodings that write a bar part by part, only of complete bars."""
        fresh = self.notes[self._num_told :]
        if self.state.vocabulary.part_by_part and not self.finished:
            fresh = [note for note in fresh if note.start_tick < self.state.tick]
        self._num_told += len(fresh)
        return [self._told(note) for note in fresh]

    def _told(self, note: Note) -> NewNote:
        start = self.prompt.onset(note)
        length = max(1, round((note.end_tick - note.start_tick) * self.prompt.ticks_per_grid))
        return NewNote(
            variation=self.number,
            track=self._tracks.of(DRUMS if note.drum else note.program, note.pitch, note.part),
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
            self._tracks,
            self.notes,
            self.state.bends[len(before.bends) :],
            [press for press in self.state.presses[len(before.presses) :] if press.start_tick >= self.prompt.cut_grid],
        )
