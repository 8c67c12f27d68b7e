"""`Request`: the settings of one composition, the same for command line, page, tests and benchmarks.

A setting of a composition is declared and checked here, and used where it takes effect. `GenerateConfig` of the command
line inherits the fields, so a new one is typed as `name=value` without further work; an order of the page contains a
`Request`.
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
    """How new bars are to differ from those before them, in steps; 0 is as before (`generation/steering.py`)."""

    density: int = 0
    polyphony: int = 0
    register: int = 0
    dynamics: int = 0

    def __add__(self, other: Wishes) -> Wishes:
        """Both together, within `MAX_STEPS`."""
        both = {each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)}
        return Wishes(**{name: max(-MAX_STEPS, min(MAX_STEPS, steps)) for name, steps in both.items()})


@dataclass
class PartRequest(Checked):
    """What is asked of one part: of a track of the piece, or of a new track.

    Raises:
        UserError: a field has the wrong type or is out of range, or it names no track, or two.
    """

    prefix: ClassVar[str] = "parts."
    # Of the file, the first is 0; null: a new one.
    track: int | None = bounded(None, 0, MAX_TRACK)
    # Instrument of a new track, of General MIDI, or -1 for drums.
    program: int | None = bounded(None, -1, 127, hint="an instrument of General MIDI, or -1 for drums")
    # rest: silent in the new bars. lock: what the track plays in bars that are recomposed stays.
    role: str = one_of("play", ROLES)
    # On top of what is asked of all parts.
    density: int = bounded(0, -MAX_STEPS, MAX_STEPS, hint="0 means as all parts")
    polyphony: int = bounded(0, -MAX_STEPS, MAX_STEPS, hint="0 means as all parts")
    register: int = bounded(0, -MAX_STEPS, MAX_STEPS, hint="0 means as all parts")
    dynamics: int = bounded(0, -MAX_STEPS, MAX_STEPS, hint="0 means as all parts")

    def check(self) -> None:
        """Raise `UserError` for a field that breaks its rule, and for a part that is neither."""
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
        """How the part is to differ, beyond what is asked of all."""
        return Wishes(**{each.name: getattr(self, each.name) for each in fields(Wishes)})


@dataclass
class Request(Checked):
    """What to compose, and how. Every field is checked when a request is made.

    Raises:
        UserError: a field has the wrong type or is out of range.
    """

    # How much to compose: "16bars" or "30s", counted from the cut. Ignored where until_bar is given.
    length: str = "16bars"
    # Continuations, composed side by side.
    variations: int = bounded(1, 1, MAX_VARIATIONS, hint="give several seeds for more")
    # So many times as many are composed, and those that stay closest to the piece are kept (`evaluation/ranking.py`).
    best_of: int = bounded(1, 1, MAX_VARIATIONS, hint="1 keeps all")
    # Requests that differ in the seed differ in every variation.
    seed: int = bounded(1, 0, MAX_SEED)
    # Bars of the piece to keep and go on from; null: all, through the one in which the last note begins.
    cut_bar: int | None = bounded(None, 0, 1_000_000)
    # Bring the piece to its end within the length; for weights that follow directions.
    ending: bool = False
    # Recompose the bars from cut_bar (the first is 0) up to this one, not included; null: go on from the cut.
    until_bar: int | None = bounded(None, 1, 1_000_000)
    # Instruments that may play, -1 for drums; empty: those of the piece, or a piano. With until_bar the others stay.
    programs: list[int] = bounded([], -1, 127, size=(0, 129), hint="an instrument of General MIDI, or -1 for drums")
    # Of the bars up to until_bar, recompose these tracks of the file alone (the first is 0); empty: by programs.
    tracks: list[int] = bounded([], 0, MAX_TRACK, size=(0, 256))
    # Of single parts: who rests, who stays as it is, new tracks, and how each is to differ (`PartRequest`).
    parts: list[PartRequest] = field(default_factory=list)
    # Notes that stay in bars that are recomposed, each as its track in the file, its tick and its pitch.
    locked: list[list[int]] = bounded([], 0, MAX_TICK, size=(0, MAX_LOCKED))
    # Such as "A minor": pitches outside this key become rare; null: the model alone decides.
    key: str | None = None
    # Such as "7/8": metre of the new bars; null: as before. Not for bars that are recomposed.
    metre: str | None = None
    # Such as "Am7 | D7 G/B | %": chords of the new bars, one by one (`midi/lead_sheet.py`); "piece": those of as many
    # bars before them, again (with until_bar, of the recomposed bars themselves); null: the model alone decides.
    chords: str | None = free_text(None)
    # Such as "A | new 8 | 5-12": sections or bars of the piece that come again, one after another, with "'" after them
    # varied (`midi/form_plan.py`); "piece": what probably returns, where nothing else is asked for (`midi/returns.py`);
    # null: the model alone decides.
    form: str | None = free_text(FORM_OF_PIECE)
    # What each part plays, against what it has played: steps of half an octave more notes, of half a note more at once,
    # of a third of an octave higher, of 10 louder (MIDI velocity).
    density: int = bounded(0, -MAX_STEPS, MAX_STEPS, hint="0 means as before")
    polyphony: int = bounded(0, -MAX_STEPS, MAX_STEPS, hint="0 means as before")
    register: int = bounded(0, -MAX_STEPS, MAX_STEPS, hint="0 means as before")
    dynamics: int = bounded(0, -MAX_STEPS, MAX_STEPS, hint="0 means as before")
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    # Steps for which the weights learn from the piece before they continue it, at most; 0: none.
    study: int = bounded(0, 0, 1000, hint="0 means none")
    # Hash rounds; 0: as the model was trained.
    rounds: int = bounded(0, 0, 64, hint="0 means as trained")

    def check(self) -> None:
        """Raise `UserError` for a field that breaks its rule, and for fields that contradict each other."""
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
        """Whether all parts or some are to differ from what they have played."""
        return self.wishes != Wishes() or any(part.wishes != Wishes() for part in self.parts)

    @property
    def num_composed(self) -> int:
        """Continuations that are composed, of which `variations` are kept."""
        return self.variations * self.best_of

    def parsed_length(self) -> Length:
        """`length` as bars or seconds."""
        return Length.parse(self.length)

    def parsed_key(self) -> Key | None:
        """`key` as its pitches."""
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
        """`chords`, which must not be those of the piece, as chords by the bar."""
        return LeadSheet.parse(self.chords) if self.chords is not None else None

    def parsed_form(self) -> FormPlan | None:
        """`form`, which must not be that of the piece, as the sections of the new bars."""
        return FormPlan.parse(self.form) if self.form is not None else None

    @property
    def wishes(self) -> Wishes:
        """How all parts are to differ."""
        return Wishes(**{each.name: getattr(self, each.name) for each in fields(Wishes)})
