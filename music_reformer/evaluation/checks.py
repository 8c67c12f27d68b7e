"""Nine checks of a continuation against the 16 bars before it: does it stay the same piece?

The checks are strict proxies for listening: of composers' own continuations, 63 % pass all nine. Each check compares
the new bars with the bars before the cut, so that no style is preferred.

Shapes: N notes, S positions in a bar.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.midi.score import bar_starts, note_columns

BARS_BEFORE = 16
POSITIONS = 48  # positions of onsets in a bar
DRUMS = -1

# Thresholds at which the checks fail, relative to the bars before the cut.
IN_KEY, IN_KEY_RELATIVE = 0.85, 0.9
PITCH_CLASS_CORRELATION = 0.5
DENSITY = (0.5, 1.8)
RHYTHM_CORRELATION = 0.75
MEAN_PITCH, HIGH_PITCH = 7, 12  # semitones
SAME_BARS_IN_A_ROW = 3
LIKENESS, LIKENESS_MARGIN = 0.85, 0.2
NOTES_OF_AN_INSTRUMENT = 16
POLYPHONY_FACTOR, POLYPHONY_MARGIN = 1.7, 1.0

# Krumhansl and Kessler (1982): how well each pitch class fits a major and a minor key, from the tonic up.
MAJOR_PROFILE = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR_PROFILE = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11)
# Natural minor and the leading note, which minor keys raise at every cadence.
MINOR_SCALE = (0, 2, 3, 5, 7, 8, 10, 11)


@dataclass(frozen=True)
class Bars:
    """The notes that begin in some consecutive bars of a piece.

    Attributes:
        num_bars: how many bars.
        onset, end: in bars from the first of them, float64 [N]; no note sounds past the last bar.
        pitch: MIDI number, int64 [N].
        program: General MIDI program, -1 for drums, int64 [N].
    """

    num_bars: int
    onset: NDArray[np.float64]
    end: NDArray[np.float64]
    pitch: NDArray[np.int64]
    program: NDArray[np.int64]

    @classmethod
    def of(cls, score: symusic.Score, first: int, num_bars: int) -> Bars:
        """Bars `first` to `first + num_bars` of a score in ticks; bars beyond its end are empty."""
        lines = np.array(bar_starts(score), dtype=np.float64)
        columns = note_columns(score.tracks)
        program = np.repeat(
            [DRUMS if track.is_drum else track.program for track in score.tracks],
            [len(track.notes) for track in score.tracks],
        ).astype(np.int64)
        numbers = np.arange(len(lines), dtype=np.float64)
        onset = np.interp(columns["time"], lines, numbers) - first
        end = np.interp(columns["time"] + columns["duration"], lines, numbers) - first
        keep = (onset >= 0) & (onset < num_bars)
        return cls(num_bars, onset[keep], np.minimum(end[keep], num_bars), columns["pitch"][keep], program[keep])

    @property
    def pitched(self) -> Bars:
        """Without drums."""
        keep = self.program != DRUMS
        return replace(self, **{name: getattr(self, name)[keep] for name in ("onset", "end", "pitch", "program")})

    def __len__(self) -> int:
        return len(self.pitch)


def failed_checks(score: symusic.Score, cut_bar: int, num_bars: int) -> list[str]:
    """Names of the checks that new bars fail; arguments as of `distances`."""
    return [name for name, distance in distances(score, cut_bar, num_bars).items() if distance > 1]


def distances(score: symusic.Score, cut_bar: int, num_bars: int) -> dict[str, float]:
    """Distances of bars `cut_bar` to `cut_bar + num_bars` from the 16 bars before them, by check; above 1, it fails.

    Checks of pitch are left out if either side has only drums. A piece without notes before the cut cannot be judged.

    Args:
        score: the whole piece in ticks, new bars included.
        cut_bar: the first new bar, counted from 0.
        num_bars: how many new bars.
    """
    first = max(0, cut_bar - BARS_BEFORE)
    before, after = Bars.of(score, first, cut_bar - first), Bars.of(score, cut_bar, num_bars)
    wanted = _instruments(before)
    missing = len(wanted - set(after.program.tolist()))
    empty = _share_of_empty_bars(after)
    found = {
        "density": _ratio_distance(_density(after) / max(_density(before), 1e-9)),
        "rhythm": (1 - _correlation(_rhythm(before), _rhythm(after))) / (1 - RHYTHM_CORRELATION),
        "empty bars": 1 + empty if empty else 0.0,
        "loops": max(
            _most_in_a_row(after) / max(SAME_BARS_IN_A_ROW, _most_in_a_row(before)),
            _likeness(after) / max(LIKENESS, _likeness(before) + LIKENESS_MARGIN),
        ),
        "instruments": 1 + missing / len(wanted) if missing else 0.0,
    }
    if len(before.pitched) and len(after.pitched):
        found |= _distances_of_pitch(before.pitched, after.pitched)
    return found


def _distances_of_pitch(before: Bars, after: Bars) -> dict[str, float]:
    profiles = _pitch_classes(before), _pitch_classes(after)
    scale = key_scale(profiles[0])
    in_key_before, in_key_after = (float(profile[list(scale)].sum()) for profile in profiles)
    in_key = min(IN_KEY, IN_KEY_RELATIVE * in_key_before)
    higher = float(np.percentile(after.pitch, 95) - np.percentile(before.pitch, 95))
    return {
        "key": (1 - in_key_after) / (1 - in_key),
        "pitch classes": (1 - _correlation(*profiles)) / (1 - PITCH_CLASS_CORRELATION),
        "register": max(abs(float(after.pitch.mean() - before.pitch.mean())) / MEAN_PITCH, higher / HIGH_PITCH),
        "polyphony": _polyphony(after) / (POLYPHONY_FACTOR * _polyphony(before) + POLYPHONY_MARGIN),
    }


def _ratio_distance(ratio: float) -> float:
    """0 for equal densities, 1 at either limit."""
    return float(np.log(max(ratio, 1e-9)) / np.log(DENSITY[1] if ratio > 1 else DENSITY[0]))


def key_scale(pitch_classes: NDArray[np.float64]) -> tuple[int, ...]:
    """Pitch classes of the key that fits best (Krumhansl and Schmuckler: the profile that correlates most)."""
    found = []
    for profile, scale in ((MAJOR_PROFILE, MAJOR_SCALE), (MINOR_PROFILE, MINOR_SCALE)):
        for tonic in range(12):
            fit = _correlation(np.roll(profile, tonic), pitch_classes)
            found.append((fit, tuple(sorted((tonic + step) % 12 for step in scale))))
    return max(found)[1]


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Pearson's correlation; 1 if both are constant (and so equal in shape), 0 if only one is."""
    one, other = one - one.mean(), other - other.mean()
    norms = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    if min(norms) < 1e-12:
        return 1.0 if max(norms) < 1e-12 else 0.0
    return float(one @ other) / (norms[0] * norms[1])


def _density(bars: Bars) -> float:
    return len(bars) / max(1, bars.num_bars)


def _pitch_classes(bars: Bars) -> NDArray[np.float64]:
    """Share of sounding time by pitch class, [12]."""
    time = np.bincount(bars.pitch % 12, weights=np.maximum(bars.end - bars.onset, 1e-6), minlength=12)
    return time / time.sum()


def _rhythm(bars: Bars) -> NDArray[np.float64]:
    """Onsets by position in the bar, [S]."""
    return np.bincount(_positions(bars), minlength=POSITIONS).astype(np.float64)


def _positions(bars: Bars) -> NDArray[np.int64]:
    return np.minimum(np.round((bars.onset % 1) * POSITIONS), POSITIONS - 1).astype(np.int64)


def _share_of_empty_bars(bars: Bars) -> float:
    sounds = np.zeros(bars.num_bars, dtype=bool)
    for onset, end in zip(bars.onset, bars.end, strict=True):
        sounds[int(onset) : max(int(np.ceil(end - 1e-6)), int(onset) + 1)] = True
    return float(1 - sounds.mean()) if bars.num_bars else 0.0


def contents_by_bar(bars: Bars) -> list[frozenset[tuple[int, ...]]]:
    """(program, position in 48ths of the bar, pitch) of the notes of each bar."""
    contents: list[set[tuple[int, ...]]] = [set() for _ in range(bars.num_bars)]
    notes = zip(bars.onset.astype(int), bars.program, _positions(bars), bars.pitch, strict=True)
    for bar, *note in notes:
        contents[bar].add(tuple(map(int, note)))
    return [frozenset(notes) for notes in contents]


def _most_in_a_row(bars: Bars) -> int:
    """Largest number of equal bars in a row; bars without notes do not count."""
    contents = contents_by_bar(bars)
    most = run = 1
    for last, content in itertools.pairwise(contents):
        run = run + 1 if content and content == last else 1
        most = max(most, run)
    return most


def _likeness(bars: Bars) -> float:
    """Mean Jaccard index of neighbouring bars."""
    contents = contents_by_bar(bars)
    pairs = [(one, other) for one, other in itertools.pairwise(contents) if one or other]
    return float(np.mean([len(one & other) / len(one | other) for one, other in pairs])) if pairs else 0.0


def _instruments(bars: Bars) -> set[int]:
    """Programs that begin at least `NOTES_OF_AN_INSTRUMENT` notes."""
    programs, counts = np.unique(bars.program, return_counts=True)
    return set(programs[counts >= NOTES_OF_AN_INSTRUMENT].tolist())


def _polyphony(bars: Bars) -> float:
    """Mean number of notes that sound at once while any does."""
    times = np.concatenate([bars.onset, bars.end])
    changes = np.concatenate([np.ones(len(bars)), -np.ones(len(bars))])
    order = np.lexsort((changes, times))
    sounding, lengths = np.cumsum(changes[order])[:-1], np.diff(times[order])
    busy = lengths[sounding > 0].sum()
    return float((sounding * lengths).sum() / busy) if busy > 0 else 0.0
