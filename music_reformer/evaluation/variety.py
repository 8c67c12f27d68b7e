"""Variety: how much texture changes from one eight-bar block of some music to another.

A long continuation can pass every check against the bars before it and still bore: nothing new ever comes. Composers
change density and register three times as much as the model does by itself (docs/decisions/022).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import numpy as np
import symusic

from music_reformer.evaluation.checks import DRUMS, Bars
from music_reformer.midi.score import count_bars
from music_reformer.midi.texture import Texture

BLOCK_BARS = 8
MEASURES = ("density", "register", "pitch classes", "rhythm")


def variety(score: symusic.Score, first_bar: int, num_bars: int) -> dict[str, float] | None:
    """Variety of the whole eight-bar blocks among some bars, by measure.

    "density" and "register" are standard deviations: of log2 notes per bar, and of the mean pitch in semitones. "pitch
    classes" and "rhythm" are the mean of 1 less the cosine, over all pairs of blocks.

    Returns:
        None if there are fewer than two whole blocks, or if one has no pitched notes.
    """
    blocks = [_texture(score, bar) for bar in range(first_bar, first_bar + num_bars - BLOCK_BARS + 1, BLOCK_BARS)]
    textures = [each for each in blocks if each is not None]
    if len(textures) < max(2, len(blocks)):
        return None
    pairs = list(combinations(textures, 2))
    return {
        "density": float(np.std([each.density for each in textures])),
        "register": float(np.std([each.pitch for each in textures])),
        "pitch classes": float(np.mean([one.unlike_classes(other) for one, other in pairs])),
        "rhythm": float(np.mean([one.unlike_rhythm(other) for one, other in pairs])),
    }


def usual_variety(score: symusic.Score, num_bars: int) -> dict[str, float] | None:
    """Mean variety of all stretches of `num_bars` bars of a piece that overlap by half; None if it has none."""
    starts = range(0, count_bars(score) - num_bars + 1, max(1, num_bars // 2))
    return mean_variety(variety(score, start, num_bars) for start in starts)


def mean_variety(found: Iterable[dict[str, float] | None]) -> dict[str, float] | None:
    """The mean of each measure over what is known; None if nothing is."""
    known = [each for each in found if each is not None]
    return {name: float(np.mean([each[name] for each in known])) for name in MEASURES} if known else None


def _texture(score: symusic.Score, first_bar: int) -> Texture | None:
    bars = Bars.of(score, first_bar, BLOCK_BARS)
    return Texture.of(
        onset=bars.onset,
        duration=bars.end - bars.onset,
        pitch=bars.pitch,
        is_drum=bars.program == DRUMS,
        num_bars=BLOCK_BARS,
    )
