"""Closing: leads a piece that should end to its last chord (Parts encoding).

The model is told in how many bars the piece ends (`director.py`), but follows this less strictly than a listener
expects. So the last two bars get dominant and tonic (`chord_lane.py`), and in the last bar the downbeat and durations
that fill the bar become likelier, so that all parts end together and nothing follows.
"""

from __future__ import annotations

import copy

import numpy as np
from numpy.typing import NDArray

from music_reformer.generation.parts_follower import WITHIN_A_NOTE, PartsFollower
from music_reformer.midi.chords import Chord
from music_reformer.midi.key import Key
from music_reformer.midi.lead_sheet import BarOfChords, LeadSheet
from music_reformer.midi.vocabulary import Vocabulary

# Added, in the last bar, to the logits of positions after the downbeat, of durations below half a bar, and of durations
# that reach beyond the end of the bar.
LATER_LOGIT, SHORT_LOGIT, LONG_LOGIT = -9.0, -4.0, -4.0


def cadence(key: Key, num_bars: int) -> LeadSheet:
    """Chords of `num_bars` bars: dominant and tonic in the last two (in a single bar, the tonic); the others open."""
    tonic, dominant = key.tonic, (key.tonic + 7) % 12
    last: list[BarOfChords] = [
        (Chord(dominant, "maj", dominant),),
        (Chord(tonic, "min" if key.is_minor else "maj", tonic),),
    ]
    return LeadSheet((*((),) * (num_bars - 2), *last[-num_bars:]))


class Closing:
    """Follows one stream token by token, from the line of the first new bar on.

    Args:
        vocabulary: of the tokenizer.
        metre: metre of that bar.
        num_bars: number of new bars; the last is the end of the piece.
    """

    def __init__(self, vocabulary: Vocabulary, *, metre: tuple[int, int], num_bars: int) -> None:
        ids_of = vocabulary.ids_of
        self._last_bar = num_bars - 1
        self._place = PartsFollower(vocabulary, metre)
        positions, durations = ids_of["Position"], ids_of["Duration"]
        self._later = slice(positions[0] + 1, positions[-1] + 1)  # the first is the downbeat
        self._duration_ids = slice(durations[0], durations[-1] + 1)
        self._durations = np.array([vocabulary.values[token] for token in durations], np.float32)

    def copy(self) -> Closing:
        """An independent copy at the same place."""
        other = copy.copy(self)
        other._place = self._place.copy()
        return other

    @property
    def active(self) -> bool:
        """Whether the current bar is the last."""
        return self._place.bar == self._last_bar

    def take(self, token: int) -> None:
        """Note the next token."""
        self._place.follow(token)

    def lean(self, logits_V: NDArray[np.float32]) -> None:
        """In the last bar, lower in place the logits of late positions and of durations that do not fill the bar."""
        place = self._place
        if not self.active:
            return
        if place.kind not in WITHIN_A_NOTE:
            logits_V[self._later] += np.float32(LATER_LOGIT)
        left = place.length - place.position
        short, long = self._durations < place.length / 2, self._durations > left
        logits_V[self._duration_ids] += np.where(short, SHORT_LOGIT, np.where(long, LONG_LOGIT, 0.0)).astype(np.float32)
