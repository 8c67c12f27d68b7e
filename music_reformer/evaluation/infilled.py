"""Similarity of recomposed bars to the original bars, by the measures that papers on infilling report.

- *Pitch-class entropy difference* and *groove similarity*: entropy of a bar's pitch classes, and the share of positions
  at which two bars agree in having an onset or none (Wu and Yang, "The Jazz Transformer on the Front Line", ISMIR 2020;
  their code is MusDr). Papers on infilling compare each new bar with the true one (Malandro, "Composer's Assistant",
  ISMIR 2023).
- *Onset F1*: of notes that agree in instrument, pitch and onset (the note F1 of "Composer's Assistant").
- *Content preservation*: mean cosine of chromas, averaged over two quarters (Lu and Su, "Transferring the Style of
  Homophonic Music", ISMIR 2018; with the step of Cífka et al., "Groove2Groove", IEEE/ACM TASLP 2020).

Good music that differs from the original scores low on all but the first: they measure similarity, not quality.
`around` compares new bars with the bars around them; the true bars serve as the reference.

Shapes: B bars, F frames, S stretches.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from music_reformer.evaluation.checks import POSITIONS, Bars

GROOVE_POSITIONS = 64  # in a bar
FRAMES = 12  # of a chroma, in a quarter
STRETCH, STEP = 2, 1  # quarters over which chromas are averaged, and from one stretch to the next


def against_true(new: Bars, true: Bars, *, quarters: float) -> dict[str, float]:
    """The four measures of new bars against the true ones.

    Args:
        new, true: as many bars of both.
        quarters: length of a bar.
    """
    assert new.num_bars == true.num_bars
    return {
        "entropy difference": float(np.abs(bar_entropies(new) - bar_entropies(true)).mean()),
        "groove similarity": float((onset_grid(new) == onset_grid(true)).mean()),
        "onset F1": onset_f1(new, true),
        "content preservation": content_preservation(new, true, quarters=quarters),
    }


def around(new: Bars, context: Bars) -> dict[str, float]:
    """Compare new bars with the bars around them: difference of mean entropies, and mean groove similarity."""
    groove = onset_grid(new)[:, None] == onset_grid(context)[None]
    return {
        "entropy difference": float(abs(bar_entropies(new).mean() - bar_entropies(context).mean())),
        "groove similarity": float(groove.mean()),
    }


def bar_entropies(bars: Bars) -> NDArray[np.float64]:
    """Entropy in bits of the pitch classes that begin in each bar, without drums, [B]; 0 for bars without notes."""
    pitched = bars.pitched
    counts = np.zeros((bars.num_bars, 12))
    np.add.at(counts, (pitched.onset.astype(int), pitched.pitch % 12), 1)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return -(share * np.log2(np.where(share > 0, share, 1))).sum(axis=1)


def onset_grid(bars: Bars) -> NDArray[np.bool_]:
    """Whether any note begins at each position of each bar, [B, GROOVE_POSITIONS]."""
    grid = np.zeros((bars.num_bars, GROOVE_POSITIONS), dtype=bool)
    # The small constant keeps 15.999... (a rounding error) from becoming 15.
    bar, place = np.divmod((bars.onset * GROOVE_POSITIONS + 1e-6).astype(int), GROOVE_POSITIONS)
    grid[bar, place] = True
    return grid


def onset_f1(new: Bars, true: Bars) -> float:
    """F1 of notes that agree in instrument, pitch and onset (to a 48th of a bar); 1 if neither side has notes."""
    ours, theirs = _notes(new), _notes(true)
    total = ours.total() + theirs.total()
    return 2 * (ours & theirs).total() / total if total else 1.0


def content_preservation(new: Bars, true: Bars, *, quarters: float) -> float:
    """Mean cosine of the averaged chromas; a stretch counts 0 if one side is silent, and is skipped if both are."""
    ours, theirs = (_stretches(bars, quarters) for bars in (new, true))
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    sounds = ours.any(axis=1) | theirs.any(axis=1)
    cosines = (ours * theirs).sum(axis=1) / np.where(lengths > 0, lengths, 1)
    return float(cosines[sounds].mean()) if sounds.any() else 1.0


def _notes(bars: Bars) -> Counter[tuple[int, int, int]]:
    places = np.rint(bars.onset * POSITIONS).astype(int)
    return Counter(zip(bars.program.tolist(), bars.pitch.tolist(), places.tolist(), strict=True))


def _stretches(bars: Bars, quarters: float) -> NDArray[np.float64]:
    """Sounding notes of each pitch class, averaged over every stretch, [S, 12]."""
    pitched = bars.pitched
    num_frames = max(round(bars.num_bars * quarters * FRAMES), 1)
    first = np.rint(pitched.onset * quarters * FRAMES).astype(int)
    last = np.maximum(np.rint(pitched.end * quarters * FRAMES).astype(int), first + 1)
    change = np.zeros((num_frames + 1, 12))
    np.add.at(change, (np.minimum(first, num_frames), pitched.pitch % 12), 1)
    np.add.at(change, (np.minimum(last, num_frames), pitched.pitch % 12), -1)
    sums = np.concatenate([np.zeros((1, 12)), change[:-1].cumsum(axis=0).cumsum(axis=0)])
    begin = np.arange(0, max(num_frames - STRETCH * FRAMES, 0) + 1, STEP * FRAMES)
    end = np.minimum(begin + STRETCH * FRAMES, num_frames)
    return (sums[end] - sums[begin]) / (end - begin)[:, None]
