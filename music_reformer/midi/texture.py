"""Texture: how dense and how high some bars are, and in which pitch classes and rhythm.

Two stretches of bars with the same texture sound like one section, whatever their melodies are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PLACES = 16  # in a bar, for rhythm


@dataclass(frozen=True, eq=False)
class Texture:
    """The texture of some bars.

    Attributes:
        density: log2 of the notes per bar.
        pitch: mean MIDI pitch without drums.
        classes: sounding time of each pitch class, as a vector of length 1, [12].
        rhythm: number of notes at each of `PLACES` in the bar, as a vector of length 1.
    """

    density: float
    pitch: float
    classes: NDArray[np.float64]
    rhythm: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        *,
        onset: NDArray[np.float64],
        duration: NDArray[np.number],
        pitch: NDArray[np.int64],
        is_drum: NDArray[np.bool_],
        num_bars: int,
    ) -> Texture | None:
        """The texture of notes; None if all are drums.

        Args:
            onset: in bars.
            duration: in any unit.
            pitch: MIDI number.
            is_drum: of each note.
            num_bars: in which the notes begin.
        """
        melodic = pitch[~is_drum]
        if not len(melodic):
            return None
        place = np.rint(onset % 1 * PLACES).astype(np.int64) % PLACES
        return cls(
            density=float(np.log2(len(pitch) / num_bars)),
            pitch=float(melodic.mean()),
            classes=_unit(np.bincount(melodic % 12, duration[~is_drum], 12)),
            rhythm=_unit(np.bincount(place, minlength=PLACES)),
        )

    def unlike_classes(self, other: Texture) -> float:
        """How different the pitch classes are: 1 less the cosine."""
        return 1 - float(self.classes @ other.classes)

    def unlike_rhythm(self, other: Texture) -> float:
        """How different the rhythms are: 1 less the cosine."""
        return 1 - float(self.rhythm @ other.rhythm)


def _unit(amount: NDArray[np.number]) -> NDArray[np.float64]:
    return (amount / np.linalg.norm(amount)).astype(np.float64)
