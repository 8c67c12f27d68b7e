"""The chorales that come with music21, in the form of the published benchmark's file: where that is not at hand.

    python -m benchmarks.chorales datasets/music21-chorales.npz

Frames of four MIDI pitches (soprano, alto, tenor, bass) on the grid of sixteenths, NaN for rests, under `train`,
`valid` and `test`. They are other arrangements and another split than the published 229, 76 and 77, so figures compare
only with one another. Reading them takes a minute or two.
"""

from __future__ import annotations

import argparse
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PER_QUARTER, VOICES = 4, 4
SHORTEST, LONGEST = 32, 2000  # frames
SHARES = {"train": 0.6, "valid": 0.2, "test": 0.2}


def frames(score: Any) -> NDArray[np.float64] | None:
    """[T, 4] of one score; None if it is not in four voices from high to low."""
    length = round(float(score.highestTime) * PER_QUARTER)
    if len(score.parts) != VOICES or not SHORTEST <= length <= LONGEST:
        return None
    grid = np.full((length, VOICES), np.nan)
    for voice, part in enumerate(score.parts):
        for note in part.flatten().notes:
            begin, end = float(note.offset), float(note.offset) + float(note.quarterLength)
            # What sounds at a place of the grid; a hair is left for fractions.
            first, last = (math.ceil(PER_QUARTER * time - 1e-6) for time in (begin, end))
            grid[first:last, voice] = note.pitches[-1].midi
    if np.isnan(grid).all(axis=0).any():
        return None
    return grid if (np.diff(np.nanmean(grid, axis=0)) < 0).all() else None


def main() -> None:
    from music21 import corpus

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="an .npz that is to be written")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")  # of what music21 makes of its own corpus
    paths = sorted(path for path in map(str, corpus.getComposer("bach")) if "bwv" in path.lower())
    chorales = []
    for number, path in enumerate(paths, start=1):
        grid = frames(corpus.parse(path))
        if grid is not None:
            chorales.append(grid)
        print(f"\r{number} of {len(paths)} scores read, {len(chorales)} chorales", end="", flush=True)
    order = np.random.default_rng(0).permutation(len(chorales))
    ends = np.round(np.cumsum(list(SHARES.values())) * len(chorales)).astype(int)
    splits = {}
    for split, numbers in zip(SHARES, np.split(order, ends[:-1]), strict=True):
        splits[split] = np.empty(len(numbers), dtype=object)
        splits[split][:] = [chorales[number] for number in numbers]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    temporary = options.output.with_suffix(".tmp.npz")
    np.savez_compressed(temporary, **splits)
    temporary.replace(options.output)
    print(f"\n{options.output}: " + ", ".join(f"{len(those)} {split}" for split, those in splits.items()))


if __name__ == "__main__":
    main()
