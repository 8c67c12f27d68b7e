"""A visitor's order: where new music starts, and a `Request`. Every field comes from the network and is checked."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, fields, replace
from typing import Any

from music_reformer.config import Checked, SamplingConfig, require
from music_reformer.config.checked import bounded, one_of
from music_reformer.generation.request import (
    FORM_OF_PIECE,
    MAX_LOCKED,
    MAX_TICK,
    MAX_TRACK,
    Length,
    PartRequest,
    Request,
    Wishes,
)
from music_reformer.midi.key import MAJORS, MINORS
from music_reformer.ui.calls import read_fields

MAX_ORDERED_VARIATIONS = 8
MAX_BARS = 256
MAX_SECONDS = 600
MAX_BAR = 1_000_000
MAX_ROUNDS = 8  # the time to read a prompt is proportional to the rounds
MAX_SEED = 2**31 - 1
MAX_INSTRUMENTS = 15
MIN_TEMPO, MAX_TEMPO = 40, 240
METRES = ("4/4", "3/4", "2/4", "5/4", "6/8", "9/8", "12/8", "5/8", "7/8")
# Each key under one name: G flat major, not F sharp major.
KEYS = tuple(f"{tonic} major" for tonic in MAJORS[1:13]) + tuple(f"{tonic} minor" for tonic in MINORS[1:13])

# Training steps on an opened piece: some six seconds on one core.
STUDY_STEPS = 6
MAX_BEST_OF = 4

# Sampling settings of the styles; the page shows them under "Advanced", where they can be changed.
STYLES = {
    "calm": SamplingConfig(temperature=0.85, top_p=0.9),
    "balanced": SamplingConfig(temperature=1.0, top_p=0.95),
    "adventurous": SamplingConfig(temperature=1.15, top_p=0.98, hold=0.4),
}


@dataclass
class OrderFields(Checked):
    """The JSON of an order (`docs/api.md` describes the fields); -1 and "" stand for missing values."""

    piece: str = ""
    length: str = "16bars"
    variations: int = bounded(1, 1, MAX_ORDERED_VARIATIONS)
    best_of: int = bounded(1, 1, MAX_BEST_OF, hint="1 keeps all that is composed")
    seed: int = bounded(-1, -1, MAX_SEED, hint="-1 means drawn")
    style: str = one_of("balanced", tuple(STYLES))
    sampling: dict[str, float] = field(default_factory=dict)
    cut_bar: int = bounded(-1, -1, MAX_BAR, hint="-1 means all")
    until_bar: int = bounded(-1, -1, MAX_BAR, hint="-1 means all")
    instruments: list[int] = bounded([], -1, 127, size=(0, MAX_INSTRUMENTS), hint="-1 means drums")
    tracks: list[int] = bounded([], 0, MAX_TRACK, size=(0, 256))
    # Each with the fields of `PartRequest`; a new track has a program instead of a track.
    parts: list[dict[str, Any]] = field(default_factory=list)
    locked: list[list[int]] = bounded([], 0, MAX_TICK, size=(0, MAX_LOCKED))
    key: str = ""
    metre: str = one_of("", ("", *METRES))
    tempo: float = bounded(120.0, MIN_TEMPO, MAX_TEMPO, hint="in beats a minute")
    rounds: int = bounded(0, 0, MAX_ROUNDS, hint="0 means as trained")
    # As in `Request`.
    chords: str = ""
    form: str = ""
    density: int = 0
    polyphony: int = 0
    register: int = 0
    dynamics: int = 0
    # Bring the piece to its end within the length.
    ending: bool = False
    # Compose with what /study has learnt from the piece.
    study: bool = True

    def check(self) -> None:
        """Raise `UserError` for invalid fields, and for more music than the page composes at once."""
        super().check()
        length = Length.parse(self.length)
        require(
            (length.bars or 0) <= MAX_BARS and (length.seconds or 0) <= MAX_SECONDS,
            f"A length of {self.length} is more than this page composes at once; "
            f"ask for at most {MAX_BARS} bars or {MAX_SECONDS} seconds.",
        )
        num_bars = self.until_bar - max(self.cut_bar, 0)
        require(
            num_bars <= MAX_BARS,
            f"{num_bars} bars are more than this page composes at once; ask for at most {MAX_BARS}.",
        )
        known = [each.name for each in fields(SamplingConfig)]
        for name in self.sampling:
            require(name in known, f"sampling has no setting {name!r:.40}; it has {', '.join(known)}.")
        self.sampling_config()

    def sampling_config(self) -> SamplingConfig:
        """The style's settings with the visitor's own changes. Raises `UserError` for numbers out of range."""
        changes: dict[str, Any] = dict(self.sampling)
        return replace(STYLES[self.style], **changes)


@dataclass
class Order:
    """What to compose, and where it starts.

    Args:
        piece: key of the piece to continue; "": compose from nothing.
        tempo: of a piece composed from nothing.
        study: compose with what was learnt from the piece, if it has been studied.
        request: what to compose.
    """

    piece: str = ""
    tempo: float = 120.0
    study: bool = True
    request: Request = field(default_factory=Request)

    @classmethod
    def read(cls, data: Any) -> Order:
        """Parse the JSON that a visitor sent.

        Raises:
            UserError: a field is unknown, has the wrong type, or is out of range.
        """
        sent = read_fields(OrderFields, data, name="order")
        # A new piece has no bars to cut.
        is_new = not sent.piece
        request = Request(
            length=sent.length,
            variations=sent.variations,
            best_of=sent.best_of,
            seed=sent.seed if sent.seed >= 0 else random.SystemRandom().randrange(100_000),
            cut_bar=None if is_new or sent.cut_bar < 0 else sent.cut_bar,
            until_bar=None if is_new or sent.until_bar < 0 else sent.until_bar,
            programs=sent.instruments,
            tracks=[] if is_new else sent.tracks,
            parts=[read_fields(PartRequest, part, name="part") for part in sent.parts],
            locked=sent.locked,
            key=sent.key or None,
            metre=sent.metre or None,
            chords=sent.chords or None,
            form=sent.form or FORM_OF_PIECE,
            **{each.name: getattr(sent, each.name) for each in fields(Wishes)},
            sampling=sent.sampling_config(),
            ending=sent.ending,
            rounds=sent.rounds,
        )
        return cls(piece=sent.piece, tempo=sent.tempo, study=sent.study, request=request)


@dataclass
class StudyFields(Checked):
    """What to study: a piece, and the bars that will be composed, which are left out; -1 stands for what is missing."""

    piece: str = ""
    cut_bar: int = bounded(-1, -1, MAX_BAR, hint="-1 means all")
    until_bar: int = bounded(-1, -1, MAX_BAR, hint="-1 means all")

    def request(self) -> Request:
        """A request whose prompt is the music to study."""
        _, cut_bar, until_bar = self.bars
        return Request(cut_bar=cut_bar, until_bar=until_bar, study=STUDY_STEPS)

    @property
    def bars(self) -> tuple[str, int | None, int | None]:
        """The piece, the cut and the end of the hole (None if there is none), as in the request of an order."""
        cut_bar = self.cut_bar if self.cut_bar >= 0 else None
        return self.piece, cut_bar, self.until_bar if self.until_bar >= 0 else None
