"""Does a piece come to its end? Four faults of a last bar, drums aside."""

from __future__ import annotations

import numpy as np
import symusic

from music_reformer.midi.beats import pitched_notes
from music_reformer.midi.key import Key
from music_reformer.midi.score import bar_starts

SHORTEST = 0.25  # of the last bar, for which one of the last notes sounds at least


def ending_faults(score: symusic.Score, last_bar: int, key: Key) -> list[str]:
    """What keeps a bar from sounding like an end; nothing where it does.

    "early": nothing begins in the bar. "late": the last note begins in its second half. "short": no note that sounds
    then lasts a quarter of the bar from there. "tonic": the lowest of them is not the tonic.

    Args:
        score: the whole piece in ticks.
        last_bar: the bar in which it is to end, counted from 0.
        key: in which it is to end.
    """
    notes, lines = pitched_notes(score), bar_starts(score)
    if last_bar + 1 >= len(lines) or not len(notes):
        return ["early"]
    begin, end = lines[last_bar], lines[last_bar + 1]
    last = int(notes.onset.max())
    if last < begin:
        return ["early"]
    sounding = (notes.onset <= last) & (notes.end > last)
    faults = {
        "late": last >= (begin + end) / 2,
        "short": float(notes.end[sounding].max()) - last < SHORTEST * (end - begin),
        "tonic": int(np.min(notes.pitch[sounding])) % 12 != key.tonic,
    }
    return [name for name, failed in faults.items() if failed]
