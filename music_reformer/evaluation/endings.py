"""Four faults of a piece's last bar, which keep it from sounding like an end; drums do not count."""

from __future__ import annotations

import numpy as np
import symusic

from music_reformer.midi.beats import pitched_notes
from music_reformer.midi.key import Key
from music_reformer.midi.score import bar_starts

SHORTEST = 0.25  # bars for which at least one of the last notes must sound


def ending_faults(score: symusic.Score, last_bar: int, key: Key) -> list[str]:
    """The faults of a last bar; empty if it sounds like an end.

    "early": nothing begins in the bar. "late": the last note begins in its second half. "short": of the notes sounding
    then, none lasts another quarter of the bar. "tonic": the lowest of these notes is not the tonic.

    Args:
        score: the whole piece in ticks.
        last_bar: the bar in which the piece should end, counted from 0.
        key: the key in which it should end.
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
