"""`Request`: the settings of one composition, the same for command line, page, tests and benchmarks.

Settings of a composition are declared and checked here, and used where they take effect. `GenerateConfig` of the
command line inherits the fields, so a new field can be given as `name=value` without further work; an order of the page
contains a `Request`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeVar

from music_reformer.config import MAX_SEED, Checked, SamplingConfig, require
from music_reformer.config.checked import bounded, free_text, one_of
from music_reformer.midi.form_plan import FormPlan
from music_reformer.midi.key import Key
from music_reformer.midi.lead_sheet import LeadSheet
from music_reformer.midi.parts import METRES

MAX_VARIATIONS = 64
MAX_BARS = 10_000
MAX_TRACK = 65_535
MAX_SECONDS = 24 * 3600.0
MAX_STEPS = 4
MAX_PARTS = 256
MAX_LOCKED = 2000  # notes
MAX_TICK = 2**31 - 1
ROLES = ("play", "rest", "lock")
CHORDS_OF_PIECE = "piece"
FORM_OF_PIECE = "piece"

AnyRequest = TypeVar("AnyRequest", bound="Request")


@dataclass(frozen=True)
class Length:
    """How much to compose, counted from the cut: bars or seconds, exactly one of them."""

    bars: int | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str) -> Length:
        """Read a length such as "16bars" or "30s".

        Raises:
            UserError: the text is neither, or the number is out of range.
        """
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(bars?|s|sec|seconds?)\s*", text.lower())
        require(match is not None, f"length ({text!r:.60}) must be a number of bars or seconds, such as 16bars or 30s")
        assert match is not None
        number, in_bars = float(match[1]), match[2].startswith("bar")
        if in_bars:
            whole = 1 <= number <= MAX_BARS and number == int(number)
            require(whole, f"length ({text!r:.60}) must be a whole number of bars from 1 to {MAX_BARS}")
            return cls(bars=int(number))
        within = 0 < number <= MAX_SECONDS
        require(within, f"length ({text!r:.60}) must be above 0 and at most {MAX_SECONDS:.0f} seconds")
        return cls(seconds=number)


@dataclass(frozen=True)
class Wishes:
    """How new bars should differ from the bars before them, in steps; 0 means as before (`generation/steering.py`)."""

    density: int = 0
    polyphony: int = 0
    register: int = 0
    dynamics: int = 0

    def __add__(self, other: Wishes) -> Wishes:
        """The sum of both, clamped to `MAX_STEPS` either way."""
        both = {each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)}
        return Wishes(**{name: max(-MAX_STEPS, min(MAX_STEPS, steps)) for name, steps in both.items()})


@dataclass
class PartRequest(Checked):
    """Settings of one part: a track of the piece, or a new track.

    Raises:
        UserError: a field has the wrong type or is out of range, or neither or both of `track` and `program` are given.
    """

    prefix: ClassVar[str] = "parts."
    # Number of a track of the file, from 0; null: a new track.
    track: int | None = bounded(None, 0, MAX_TRACK)
    # General MIDI instrument of a new track, or -1 for drums.
    program: int | None = bounded(None, -1, 127, hint="an instrument of General MIDI, or -1 for drums")
    # rest: silent in the new bars. lock: keeps its notes in recomposed bars.
    role: str = one_of("play", ROLES)
    # Added to the settings of all parts.
    density: int = bounded(0, -MAX_STEPS, MAX_STEPS, hint="0 means as all parts")
    polyphony: int = bounded(0, -MAX_STEPS, MAX_STEPS, hint="0 means as all parts")
    register: int = bounded(0, -MAX_STEPS, MAX_STEPS, hint="0 means as all parts")
    dynamics: int = bounded(0, -MAX_STEPS, MAX_STEPS, hint="0 means as all parts")

    def check(self) -> None:
        """Raise `UserError` for invalid fields, and unless exactly one of `track` and `program` is given."""
        super().check()
        require(
            (self.track is None) != (self.program is None),
            "parts: each is either a track of the piece or a program for a new track; give exactly one of them",
        )
        require(
            self.program is None or (self.role == "play" and self.wishes == Wishes()),
            f"parts: a new track (program {self.program}) has nothing to differ from yet; give its program only",
        )

    @property
    def wishes(self) -> Wishes:
        """How the part should differ, in addition to the wishes for all parts."""
        return Wishes(**{each.name: getattr(self, each.name) for each in fields(Wishes)})


@dataclass
class Request(Checked):
    """What to compose, and how. Fields are checked on construction.

    Raises:
        UserError: a field has the wrong type or is out of range, or fields contradict each other.
    """

    # How much to compose: "16bars" or "30s", counted from the cut. Ignored if until_bar is given.
    length: str = "16bars"
    # Number of continuations, composed side by side.
    variations: int = bounded(1, 1, MAX_VARIATIONS, hint="give several seeds for more")
    # Compose best_of times as many, and keep those that stay closest to the piece (`evaluation/ranking.py`).
    best_of: int = bounded(1, 1, MAX_VARIATIONS, hint="1 keeps all")
    # Seed of the random numbers; another seed changes every variation.
    seed: int = bounded(1, 0, MAX_SEED)
    # Number of bars of the piece to keep and continue; null: all, through the bar in which the last note begins.
    cut_bar: int | None = bounded(None, 0, 1_000_000)
    # Bring the piece to its end within the length; for weights that follow directions.
    ending: bool = False
    # Recompose the bars from cut_bar (the first is 0) up to, not including, this one; null: continue from the cut.
    until_bar: int | None = bounded(None, 1, 1_000_000)
    # Instruments that may play, -1 for drums; empty: those of the piece, or a piano. With until_bar, others keep their
    # notes.
    programs: list[int] = bounded([], -1, 127, size=(0, 129), hint="an instrument of General MIDI, or -1 for drums")
    # With until_bar, recompose only these tracks of the file (the first is 0); empty: programs decide.
    tracks: list[int] = bounded([], 0, MAX_TRACK, size=(0, 256))
    # Single parts: which rest, keep their notes or are new, and how each should differ (`PartRequest`).
    parts: list[PartRequest] = field(default_factory=list)
    # Notes to keep in recomposed bars, each as [track of the file, tick, pitch].
    locked: list[list[int]] = bounded([], 0, MAX_TICK, size=(0, MAX_LOCKED))
    # Key, such as "A minor": pitches outside it become rare; null: the model decides.
    key: str | None = None
    # Metre of the new bars, such as "7/8"; null: as before. Not for recomposed bars.
    metre: str | None = None
    # Chords of the new bars, such as "Am7 | D7 G/B | %" (`midi/lead_sheet.py`); "piece": repeat those of as many bars
    # before them (with until_bar: of the recomposed bars themselves); null: the model decides.
    chords: str | None = free_text(None)
    # Sections or bars of the piece that return one after another, such as "A | new 8 | 5-12", those followed by "'"
    # varied (`midi/form_plan.py`); "piece": those that probably return, unless something else is requested
    # (`midi/returns.py`); null: the model decides.
    form: str | None = free_text(FORM_OF_PIECE)
    # How each part should differ from what it has played, in steps: of a factor sqrt(2) in notes (density), half a note
    # begun at once (polyphony), a third of an octave (register), 10 in MIDI velocity (dynamics).
    density: int = bounded(0, -MAX_STEPS, MAX_STEPS, hint="0 means as before")
    polyphony: int = bounded(0, -MAX_STEPS, MAX_STEPS, hint="0 means as before")
    register: int = bounded(0, -MAX_STEPS, MAX_STEPS, hint="0 means as before")
    dynamics: int = bounded(0, -MAX_STEPS, MAX_STEPS, hint="0 means as before")
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    # Largest number of training steps on the piece before continuing it; 0: none.
    study: int = bounded(0, 0, 1000, hint="0 means none")
    # Hash rounds; 0: as in training.
    rounds: int = bounded(0, 0, 64, hint="0 means as trained")

    def check(self) -> None:
        """Raise `UserError` for invalid fields, and for fields that contradict each other."""
        super().check()
        self.parsed_length()
        self.parsed_key()
        require(
            self.parsed_metre() is None or self.until_bar is None,
            f"metre ({self.metre!r:.20}) is for new bars, but recomposed bars keep the metre of the piece; leave out "
            "metre or until_bar",
        )
        if self.chords != CHORDS_OF_PIECE:
            self.parsed_chords()
        if self.form != FORM_OF_PIECE:
            self.parsed_form()
        cut = self.cut_bar or 0
        require(
            self.until_bar is None or self.until_bar > cut,
            f"until_bar ({self.until_bar}) must be above cut_bar ({cut}): the bars from cut_bar up to until_bar are "
            "recomposed",
        )
        require(
            not self.tracks or (self.until_bar is not None and not self.programs),
            f"tracks ({self.tracks}) are for recomposing bars: give until_bar, too, and leave out programs",
        )
        self._check_parts()
        require(
            self.num_composed <= MAX_VARIATIONS,
            f"variations ({self.variations}) times best_of ({self.best_of}) must be at most {MAX_VARIATIONS}",
        )
        self.programs = sorted(set(self.programs))
        self.tracks = sorted(set(self.tracks))

    def _check_parts(self) -> None:
        require(len(self.parts) <= MAX_PARTS, f"parts has {len(self.parts)} entries; give at most {MAX_PARTS}")
        named = [part.track for part in self.parts if part.track is not None]
        twice = next((track for track in named if named.count(track) > 1), None)
        require(twice is None, f"parts: track {twice} is named twice; join its two entries")
        require(
            all(len(note) == 3 for note in self.locked),
            "locked: each note must be three numbers, its track in the file, its tick and its pitch",
        )
        stays = sorted(part.track for part in self.parts if part.role == "lock" and part.track is not None)
        require(
            not (stays or self.locked) or self.until_bar is not None,
            "locked parts and notes need bars that are recomposed: give until_bar, too",
        )
        both = sorted(set(stays) & set(self.tracks))
        require(not both, f"tracks {both} cannot be recomposed and locked; leave them out of tracks or of parts")

    @classmethod
    def of(cls: type[AnyRequest], settings: Request, **changes: Any) -> AnyRequest:
        """A request with the fields of `settings`, which may have further fields, and the given changes."""
        return cls(**{each.name: getattr(settings, each.name) for each in fields(cls)} | changes)

    @property
    def asks_for_change(self) -> bool:
        """Whether any part should differ from what it has played."""
        return self.wishes != Wishes() or any(part.wishes != Wishes() for part in self.parts)

    @property
    def num_composed(self) -> int:
        """Number of continuations to compose, of which `variations` are kept."""
        return self.variations * self.best_of

    def parsed_length(self) -> Length:
        """`length` as bars or seconds."""
        return Length.parse(self.length)

    def parsed_key(self) -> Key | None:
        """`key`, parsed."""
        return Key.parse(self.key) if self.key is not None else None

    def parsed_metre(self) -> tuple[int, int] | None:
        """`metre` as beats and unit."""
        if self.metre is None:
            return None
        match = re.fullmatch(r"\s*(\d{1,2})\s*/\s*(\d{1,2})\s*", self.metre)
        metre = (int(match[1]), int(match[2])) if match else None
        require(metre in METRES, f'metre ({self.metre!r:.20}) must be beats and unit of a bar, such as "7/8" or "3/4"')
        return metre

    def parsed_chords(self) -> LeadSheet | None:
        """`chords` as chords by bar; not for "piece"."""
        return LeadSheet.parse(self.chords) if self.chords is not None else None

    def parsed_form(self) -> FormPlan | None:
        """`form` as the sections of the new bars; not for "piece"."""
        return FormPlan.parse(self.form) if self.form is not None else None

    @property
    def wishes(self) -> Wishes:
        """How all parts should differ."""
        return Wishes(**{each.name: getattr(self, each.name) for each in fields(Wishes)})
