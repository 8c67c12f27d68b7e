"""What a visitor orders: where the music starts, and a `Request`. Every field comes from the network and is checked."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, fields, replace
from typing import Any

from music_reformer.config import SamplingConfig, require
from music_reformer.errors import UserError
from music_reformer.generation.request import Request
from music_reformer.midi.key import MAJORS, MINORS

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

# Fields of a request that orders know by another name, and values with which an order leaves a field at its default.
NAMES = {"instruments": "programs"}
DEFAULTS = {"cut_bar": -1, "until_bar": -1, "key": ""}
SOURCE = ("piece", "metre", "tempo")
KNOWN = {*SOURCE, "style", "instruments", *(each.name for each in fields(Request) if each.name != "programs")}


@dataclass
class Order:
    """What to compose, and where it starts.

    Args:
        piece: key of the piece to continue; "": compose from nothing.
        metre, tempo: of a piece composed from nothing.
        request: what is asked for.
    """

    piece: str = ""
    metre: str = "4/4"
    tempo: float = 120.0
    request: Request = field(default_factory=Request)

    @classmethod
    def read(cls, data: Any) -> Order:
        """An order from the JSON that a visitor sent (`docs/api.md` lists its fields).

        Raises:
            UserError: a field is unknown, has the wrong type, or is out of range.
        """
        require(isinstance(data, dict), "An order must be a JSON object, such as {piece: ..., length: 16bars}.")
        for name in data:
            require(name in KNOWN, f"The setting {str(name)[:40]!r} is not one of {', '.join(sorted(KNOWN))}.")
        instruments = data.get("instruments", [])
        require(
            isinstance(instruments, list) and len(instruments) <= MAX_INSTRUMENTS,
            f"The instruments must be a list of at most {MAX_INSTRUMENTS}.",
        )
        sent = {NAMES.get(name, name): value for name, value in data.items() if DEFAULTS.get(name, data) != value}
        source = {name: sent.pop(name) for name in SOURCE if name in sent}
        sampling = _sampling(sent.pop("style", "balanced"), sent.pop("sampling", {}))
        if sent.get("seed", -1) == -1:
            sent["seed"] = random.SystemRandom().randrange(100_000)
        order = cls(request=Request(sampling=sampling, **sent), **source)
        # A piece keeps its own key, and in a new one there is nothing to cut.
        unused = ("key",) if order.piece else ("cut_bar", "until_bar")
        return replace(order, request=Request.of(order.request, **dict.fromkeys(unused)))

    def __post_init__(self) -> None:
        request = self.request
        length = request.parsed_length()
        require(
            (length.bars or 0) <= MAX_BARS and (length.seconds or 0) <= MAX_SECONDS,
            f"A length of {request.length} is more than this page composes at once; "
            f"ask for at most {MAX_BARS} bars or {MAX_SECONDS} seconds.",
        )
        require(
            request.variations <= MAX_VARIATIONS,
            f"The number of variations ({request.variations}) must be a whole number from 1 to {MAX_VARIATIONS}.",
        )
        require(
            0 <= request.seed <= MAX_SEED, f"The seed ({request.seed}) must be a whole number from 0 to {MAX_SEED}."
        )
        num_bars = (request.until_bar or 0) - (request.cut_bar or 0)
        require(num_bars <= MAX_BARS, f"{num_bars} bars are more than this page composes at once; at most {MAX_BARS}.")
        require(isinstance(self.piece, str), "The piece must be a key that /open or /compose returned, or empty.")
        require(self.metre in METRES, f"The metre ({self.metre!r:.40}) must be one of {', '.join(METRES)}.")
        require(
            isinstance(self.tempo, int | float) and MIN_TEMPO <= self.tempo <= MAX_TEMPO,
            f"The tempo ({self.tempo!r:.40}) must be {MIN_TEMPO} to {MAX_TEMPO} beats a minute.",
        )


def _sampling(style: Any, changes: Any) -> SamplingConfig:
    """A style with the visitor's own numbers in it."""
    named = isinstance(style, str) and style in STYLES
    require(named, f"The style ({style!r:.40}) must be one of {', '.join(STYLES)}.")
    require(isinstance(changes, dict), "The sampling settings must be a JSON object, such as {temperature: 1.2}.")
    try:
        return replace(STYLES[style], **changes)
    except TypeError as error:
        raise UserError(f"The sampling settings ({changes!r:.80}) are not ones this page knows.") from error
