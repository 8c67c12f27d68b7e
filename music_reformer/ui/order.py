"""What a visitor orders, checked: every field comes from the network."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, fields, replace
from typing import Any

from music_reformer.config import SamplingConfig, require
from music_reformer.errors import UserError
from music_reformer.generation.generator import Length
from music_reformer.midi.key import MAJORS, MINORS, Key

MAX_VARIATIONS = 8
MAX_BARS = 256
MAX_SECONDS = 600
MAX_SEED = 2**31 - 1
MAX_INSTRUMENTS = 15
MIN_TEMPO, MAX_TEMPO = 40, 240
METRES = ("4/4", "3/4", "2/4", "5/4", "6/8", "12/8")
# Each pitch under its usual name: G flat major, not F sharp or C flat.
KEYS = tuple(f"{tonic} major" for tonic in MAJORS[1:13]) + tuple(f"{tonic} minor" for tonic in MINORS[1:13])

# What "calm" and "adventurous" mean; the page shows these numbers under "Advanced", where they can be changed.
STYLES = {
    "calm": SamplingConfig(temperature=0.85, top_p=0.9),
    "balanced": SamplingConfig(temperature=1.0, top_p=0.95),
    "adventurous": SamplingConfig(temperature=1.15, top_p=0.98),
}


@dataclass
class Order:
    """What to compose.

    Args:
        piece: key of the piece to continue; "": compose from nothing.
        length: "16bars" or "30s".
        variations: how many.
        seed: same seed, same music; -1: drawn here.
        style: a key of `STYLES`.
        sampling: fields of `SamplingConfig` that differ from the style's.
        cut_bar: how many bars of the piece to keep; -1: all.
        until_bar: compose only the bars up to this one anew, and keep the rest of the piece behind them; -1: all.
        instruments: General MIDI programs that may play, -1 for drums; none: those of the piece, or a piano. With
            `until_bar` the others keep what they play there.
        key, metre, tempo: of a piece composed from nothing; key "": as it comes.
    """

    piece: str = ""
    length: str = "16bars"
    variations: int = 1
    seed: int = -1
    style: str = "balanced"
    sampling: dict[str, Any] = field(default_factory=dict)
    cut_bar: int = -1
    until_bar: int = -1
    instruments: list[int] = field(default_factory=list)
    key: str = ""
    metre: str = "4/4"
    tempo: float = 120.0

    @classmethod
    def read(cls, data: Any) -> Order:
        """An order from the fields that a visitor sent. Raises `UserError` for one that is unknown or out of range."""
        require(isinstance(data, dict), "An order must be a JSON object, such as {piece: ..., length: 16bars}.")
        known = {field.name for field in fields(cls)}
        for name in data:
            require(name in known, f"The setting {str(name)[:40]!r} is not one of {', '.join(sorted(known))}.")
        return cls(**data)

    def __post_init__(self) -> None:
        length = Length.parse(str(self.length))
        require(
            (length.bars or 0) <= MAX_BARS and (length.seconds or 0) <= MAX_SECONDS,
            f"A length of {self.length} is more than this page composes at once; "
            f"ask for at most {MAX_BARS} bars or {MAX_SECONDS} seconds.",
        )
        _whole("number of variations", self.variations, 1, MAX_VARIATIONS)
        _whole("seed", self.seed, -1, MAX_SEED)
        _whole("cut", self.cut_bar, -1, 1_000_000)
        _whole("end of the new bars", self.until_bar, -1, 1_000_000)
        require(
            self.until_bar - max(self.cut_bar, 0) <= MAX_BARS,
            f"{self.until_bar - self.cut_bar} bars are more than this page composes at once; at most {MAX_BARS}.",
        )
        require(self.style in STYLES, f"The style ({self.style!r}) must be one of {', '.join(STYLES)}.")
        require(
            isinstance(self.instruments, list) and len(self.instruments) <= MAX_INSTRUMENTS,
            f"The instruments must be a list of at most {MAX_INSTRUMENTS}.",
        )
        for program in self.instruments:
            _whole("instrument", program, -1, 127)
        require(self.metre in METRES, f"The metre ({self.metre!r}) must be one of {', '.join(METRES)}.")
        if self.key:
            Key.parse(self.key)
        require(
            isinstance(self.tempo, int | float) and MIN_TEMPO <= self.tempo <= MAX_TEMPO,
            f"The tempo ({self.tempo}) must be {MIN_TEMPO} to {MAX_TEMPO} beats a minute.",
        )
        if self.seed < 0:
            self.seed = random.SystemRandom().randrange(100_000)

    def sampling_config(self) -> SamplingConfig:
        """The style with the visitor's own numbers in it. Raises `UserError` for numbers out of range."""
        try:
            return replace(STYLES[self.style], **self.sampling)
        except TypeError as error:
            raise UserError(f"The sampling settings ({self.sampling}) are not ones this page knows.") from error


def _whole(name: str, number: Any, low: int, high: int) -> None:
    is_whole = isinstance(number, int) and not isinstance(number, bool)
    require(is_whole and low <= number <= high, f"The {name} ({number!r}) must be a whole number from {low} to {high}.")
