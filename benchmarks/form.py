"""How well sections are found: against POP909's forms by hand (Dai, Zhang and Dannenberg, 2020).

    python -m benchmarks.form --corpora ../shared/corpora
    python -m benchmarks.form --corpora ../shared/corpora --fit

Boundaries: F-measure of found and labelled first bars of sections, the first of the song left out, exact and within one
bar; mean over songs. Letters: F-measure of pairs of bars that share a letter, capitals and small letters apart as
labelled. Songs count whose form lies on the bar lines of the score. `--fit` prints the weights
of `midi/form.py`: logistic regression on the signs of a boundary, counted lengths, and the trust and the likeness that
do best on training songs.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.fit_chords import songs
from benchmarks.harness import show, write
from music_reformer.data.corpora.pop909_labels import LabelledSong
from music_reformer.midi.beats import beats_of
from music_reformer.midi.form import (
    FITTED,
    LONGEST,
    SIGNS,
    FormWeights,
    bar_contents,
    best_boundaries,
    boundary_signs,
    letters_of,
    standardised_likeness,
)

Form = list[tuple[int, int, str]]  # (first bar, bars, letter)


@dataclass(frozen=True, eq=False)
class LabelledForm:
    """What of a song is needed, and its labelled form."""

    likeness: NDArray[np.float64]
    signs: NDArray[np.float64]
    form: Form

    @property
    def boundaries(self) -> list[int]:
        return sorted({first for first, _, _ in self.form if 0 < first < len(self.signs)})


def forms(corpora: Path, *splits: str) -> Iterator[LabelledForm]:
    for _, song in songs(corpora, *splits):
        form = in_bars(song)
        if form:
            contents = bar_contents(song.score)
            likeness = standardised_likeness(contents)
            yield LabelledForm(likeness, boundary_signs(contents, likeness), form)


def in_bars(song: LabelledSong) -> Form:
    """The labelled form, in bars of the score; empty where a section begins between bar lines, or it is not placed."""
    ticks = beats_of(song.score).bar_ticks
    bar = int(ticks[1] - ticks[0])
    if not song.is_aligned or any(span.start % bar for span in song.form):
        return []
    return [(round(span.start / bar), round((span.end - span.start) / bar), span.value.letter) for span in song.form]


def find(song: LabelledForm, weights: FormWeights) -> Form:
    odds = song.signs @ weights.signs + weights.base
    return with_letters(best_boundaries(weights.trust * odds, weights.length), song, weights)


def with_letters(starts: list[int], song: LabelledForm, weights: FormWeights) -> Form:
    letters = letters_of(starts, song.likeness, weights.same)
    ends = [*starts[1:], len(song.signs)]
    return [(first, end - first, letter) for first, end, letter in zip(starts, ends, letters, strict=True)]


def f_measure(hits: int, found: int, labelled: int) -> float:
    return 2 * hits / (found + labelled) if found + labelled else 1.0


def boundary_f(found: Sequence[int], labelled: Sequence[int], tolerance: int) -> float:
    """Every boundary is matched once."""
    left = list(labelled)
    hits = 0
    for bar in found:
        near = [other for other in left if abs(other - bar) <= tolerance]
        if near:
            left.remove(min(near, key=lambda other: abs(other - bar)))
            hits += 1
    return f_measure(hits, len(found), len(labelled))


def letter_f(found: Form, labelled: Form, num_bars: int) -> float:
    """Of pairs of bars that share a letter, within what is labelled."""

    def by_bar(form: Form) -> NDArray[np.int64]:
        letters = sorted({letter for _, _, letter in form})
        bars = np.full(num_bars, -1)
        for first, length, letter in form:
            bars[max(first, 0) : max(first + length, 0)] = letters.index(letter)
        return bars

    one, other = by_bar(found), by_bar(labelled)
    one, other = one[other >= 0], other[other >= 0]
    pairs = np.triu_indices(len(one), 1)
    same_found, same_labelled = ((bars[:, None] == bars)[pairs] for bars in (one, other))
    return f_measure(int((same_found & same_labelled).sum()), int(same_found.sum()), int(same_labelled.sum()))


def scores(found: list[Form], labelled: list[LabelledForm]) -> dict[str, float]:
    """Means over songs."""
    rows: dict[str, list[float]] = {"exact": [], "within a bar": [], "letters": []}
    for form, song in zip(found, labelled, strict=True):
        starts = [first for first, _, _ in form if first > 0]
        rows["exact"].append(boundary_f(starts, song.boundaries, 0))
        rows["within a bar"].append(boundary_f(starts, song.boundaries, 1))
        rows["letters"].append(letter_f(form, song.form, len(song.signs)))
    return {name: statistics.mean(values) for name, values in rows.items()}


def logistic(signs: NDArray[np.float64], is_boundary: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Weights and constant of a logistic regression, by Newton's method."""
    inputs = np.concatenate([signs, np.ones((len(signs), 1))], axis=1)
    weights = np.zeros(inputs.shape[1])
    for _ in range(20):
        chance = 1 / (1 + np.exp(-inputs @ weights))
        slope = inputs.T @ (is_boundary - chance) - 0.01 * weights
        curvature = (inputs * (chance * (1 - chance))[:, None]).T @ inputs + 0.01 * np.eye(len(weights))
        weights += np.linalg.solve(curvature, slope)
    return weights[:-1], float(weights[-1])


def fit(training: list[LabelledForm]) -> FormWeights:
    is_boundary = [np.isin(np.arange(1, len(song.signs)), song.boundaries) for song in training]
    labels = np.concatenate(is_boundary).astype(np.float64)
    signs, constant = logistic(np.concatenate([song.signs[1:] for song in training]), labels)
    base = constant - float(np.log(labels.mean() / (1 - labels.mean())))
    counts = np.ones(LONGEST + 1)
    for song in training:
        for length in np.diff([0, *song.boundaries, len(song.signs)]):
            counts[min(int(length), LONGEST)] += 1
    length = np.log(counts / counts.sum())
    best: tuple[float, FormWeights] | None = None
    some = training[:150]
    for trust in (0.7, 1.0, 1.5, 2.0):
        weights = FormWeights(signs, base, length, trust, 1.0)
        value = scores([find(song, weights) for song in some], some)["within a bar"]
        if best is None or value > best[0]:
            best = value, weights
    assert best is not None
    trust, best = best[1].trust, None
    for same in np.arange(0.0, 3.01, 0.25).tolist():
        weights = FormWeights(signs, base, length, trust, same)
        value = scores([find(song, weights) for song in some], some)["letters"]
        if best is None or value > best[0]:
            best = value, weights
    assert best is not None
    return best[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--fit", action="store_true")
    options = parser.parse_args()
    if options.fit:
        weights = fit(list(forms(options.corpora, "train")))
        print(dict(zip(SIGNS, np.round(weights.signs, 2).tolist(), strict=True)))
        print(round(weights.base, 2), np.round(weights.length, 2).tolist(), weights.trust, weights.same)
        return
    labelled = list(forms(options.corpora, "validation", "test"))

    def every(bars: int, song: LabelledForm) -> Form:
        return with_letters(list(range(0, len(song.signs), bars)), song, FITTED)

    methods: dict[str, list[Form]] = {
        "found": [find(song, FITTED) for song in labelled],
        "every 4 bars": [every(4, song) for song in labelled],
        "every 8 bars": [every(8, song) for song in labelled],
        "labelled boundaries": [with_letters([0, *song.boundaries], song, FITTED) for song in labelled],
    }
    rows: list[dict[str, Any]] = [{"method": name, **scores(found, labelled)} for name, found in methods.items()]
    show(
        f"Form, {len(labelled)} songs (validation, test)",
        list(rows[0]),
        [[row["method"], *(f"{value:.2f}" for value in list(row.values())[1:])] for row in rows],
    )
    print(write("form", settings={"songs": len(labelled)}, rows=rows, device="cpu"))


if __name__ == "__main__":
    main()
