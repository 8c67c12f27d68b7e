"""Finds the chord of every beat: the path of chords that fits the notes and changes where chords change.

A chord is scored by how long each pitch class, counted from the chord's root, sounds in the beat and beside it: in the
lower voices, in the upper ones, and in the bass. Changes are scored by the strength of the beat and by the two chords,
counted from the root of the first. So transposing a score transposes its chords. The scores are the weights of a
conditional random field (a log-linear model of the whole path), fitted on POP909's training songs by
`benchmarks/fit_chords.py`.

Shapes: B beats, C chords (12 roots times Q qualities, and no chord as the last), F features, Q qualities without "N",
S strengths of beats.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.midi.beats import Beats, PitchedNotes, beats_of, pitched_notes, sounding_ticks

Floats = NDArray[np.float64] | NDArray[np.float32]

WEIGHTS = Path(__file__).with_name("harmony.npz")
FEATURES = ("low", "high", "bass", "first half", "before", "after", "presence")
# The weight of a pitch among the low voices is a logistic function of it: one half LOW_BELOW_MEAN semitones below the
# mean pitch of the piece, falling over a width of LOW_SOFTNESS semitones. All other weight counts as high.
LOW_BELOW_MEAN, LOW_SOFTNESS = 3.0, 3.0
# Two hours of quick beats. Beyond that no chords are found: time and memory grow with the beats, and a file of a few
# bytes in 64/128 can have millions.
MAX_BEATS = 30_000


@dataclass(frozen=True, eq=False)
class HarmonyWeights:
    """The fitted scores.

    Attributes:
        chord: score of a pitch class that sounds throughout the beat, by feature, semitones above the root, and
            quality, float [F, 12, Q].
        quality: score of each quality, whatever sounds, [Q].
        silence: scores of no chord: by feature, for everything that sounds, and last a constant, [F + 1].
        stay: score of keeping the chord, by strength of the beat, [S].
        change: score of a new chord, by semitones from old root to new, old quality and new quality, [12, Q, Q].
        leave, enter: scores of changes from a chord to none and from none to a chord.
        bass: score of a pitch class as the bass, by semitones above the root and quality of the chord, [12, Q].
        bass_sounds: score of a bass that is the lowest pitch class throughout the beat.
        bass_stays: score of keeping the bass under the same chord.
    """

    chord: NDArray[np.float64]
    quality: NDArray[np.float64]
    silence: NDArray[np.float64]
    stay: NDArray[np.float64]
    change: NDArray[np.float64]
    leave: float
    enter: float
    bass: NDArray[np.float64]
    bass_sounds: float
    bass_stays: float

    @functools.cached_property
    def moves(self) -> NDArray[np.float32]:
        """Score of a move from any chord to any, by strength of the beat, [S, C to, C from].

        In single precision, whose sums take half the time.
        """
        size = 12 * len(self.quality)
        step = (np.arange(12) - np.arange(12)[:, None]) % 12
        change = np.zeros((size + 1, size + 1), np.float32)
        change[:size, :size] = self.change[step].transpose(0, 2, 1, 3).reshape(size, size)
        change[:size, size] = self.leave
        change[size, :size] = self.enter
        moves = np.tile(change.T, (len(self.stay), 1, 1))
        moves[:, np.arange(size + 1), np.arange(size + 1)] = self.stay[:, None]
        return moves

    @functools.cached_property
    def bass_moves(self) -> NDArray[np.float64]:
        """Score of a move from any bass to any: under the same chord; where the chord is new, [2, 12, 12]."""
        return np.stack([self.bass_stays * np.eye(12), np.zeros((12, 12))])

    @classmethod
    def read(cls, path: Path = WEIGHTS) -> HarmonyWeights:
        """Read from a file of arrays with the names of the attributes."""
        with np.load(path) as arrays:
            return cls(**{name: arrays[name].astype(np.float64) for name in arrays})


@functools.cache
def fitted() -> HarmonyWeights:
    """The weights that the package carries."""
    return HarmonyWeights.read()


@dataclass(frozen=True, eq=False)
class Harmony:
    """The chord of every beat.

    Attributes:
        beats: the beats.
        root, bass: pitch classes, 0 where there is no chord, int64 [B].
        quality: index of the quality; Q where there is no chord, int64 [B].
    """

    beats: Beats
    root: NDArray[np.int64]
    quality: NDArray[np.int64]
    bass: NDArray[np.int64]


def harmony_of(score: symusic.Score, weights: HarmonyWeights | None = None) -> Harmony:
    """The chord of every beat of a score in ticks, drums ignored, by the fitted weights or others.

    A score of more than `MAX_BEATS` has none.
    """
    weights = weights or fitted()
    beats = beats_of(score)
    if len(beats) > MAX_BEATS:
        nothing = np.zeros(len(beats), np.int64)
        return Harmony(beats, nothing, np.full(len(beats), len(weights.quality)), nothing)
    profiles = pitch_class_profiles(pitched_notes(score), beats)
    path = best_path(chord_scores(profiles, weights), beats.strength, weights.moves)
    num_qualities = len(weights.quality)
    is_chord = path < 12 * num_qualities
    root = np.where(is_chord, path // num_qualities, 0)
    quality = np.where(is_chord, path % num_qualities, num_qualities)
    bass = np.where(is_chord, _bass_path(profiles[:, FEATURES.index("bass")], root, quality, path, weights), 0)
    return Harmony(beats, root, quality, bass)


def pitch_class_profiles(notes: PitchedNotes, beats: Beats) -> NDArray[np.float64]:
    """How much of each beat each pitch class sounds, by feature, [B, F, 12].

    Both halves of a beat count by themselves, so that the bass of each half is its lowest note. Beats shorter than a
    quarter count for less.
    """
    middle = (beats.tick[:-1] + beats.tick[1:]) // 2
    halves = np.empty(2 * len(beats) + 1, np.int64)
    halves[::2], halves[1::2] = beats.tick, middle
    # Whole octaves that hold all notes.
    lowest = int(notes.pitch.min(initial=127)) // 12 * 12
    num_pitches = max(int(notes.pitch.max(initial=0)) // 12 * 12 + 12 - lowest, 12)
    sounding = sounding_ticks(notes, notes.pitch - lowest, num_pitches, halves, np.ones(len(notes)))
    share = np.minimum(sounding / np.maximum(np.diff(halves), 1)[:, None], 1.0)
    pitch = np.arange(num_pitches)
    mean_pitch = float(share.sum(axis=0) @ pitch) / max(float(share.sum()), 1e-9)
    low = 1 / (1 + np.exp((pitch - mean_pitch + LOW_BELOW_MEAN) / LOW_SOFTNESS))
    # The share of the time in which a pitch is the lowest, as if pitches came and went independently.
    silent_below = np.cumprod(1 - share, axis=1)
    bass = share.copy()
    bass[:, 1:] *= silent_below[:, :-1]
    low_share = _by_pitch_class(share * low)
    high_share = _by_pitch_class(share * (1 - low))
    sounds = np.minimum(low_share + high_share, 1.0)
    sound = _mean_of_halves(sounds)
    profiles = np.stack(
        [
            _mean_of_halves(low_share),
            _mean_of_halves(high_share),
            _mean_of_halves(_by_pitch_class(bass)),
            sounds[::2],
            np.concatenate([np.zeros((1, 12)), sound[:-1]]),
            np.concatenate([sound[1:], np.zeros((1, 12))]),
            np.sqrt(sound),  # so that a short third counts
        ],
        axis=1,
    )
    return profiles * np.minimum(beats.quarters, 1.0)[:, None, None]


def _by_pitch_class(by_pitch: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum over octaves, at most 1."""
    return np.minimum(by_pitch.reshape(len(by_pitch), -1, 12).sum(axis=1), 1.0)


def _mean_of_halves(halves: NDArray[np.float64]) -> NDArray[np.float64]:
    return (halves[::2] + halves[1::2]) / 2


def chord_scores(profiles: NDArray[np.float64], weights: HarmonyWeights) -> NDArray[np.float32]:
    """How well each chord fits each beat, [B, C]."""
    num_beats, num_features, _ = profiles.shape
    from_root = (np.arange(12)[:, None] + np.arange(12)) % 12
    single = profiles.astype(np.float32)
    turned = single[:, :, from_root].transpose(0, 2, 1, 3).reshape(num_beats * 12, num_features * 12)
    fit = turned @ weights.chord.reshape(num_features * 12, -1).astype(np.float32) + weights.quality.astype(np.float32)
    silence = single.sum(axis=2) @ weights.silence[:-1].astype(np.float32) + np.float32(weights.silence[-1])
    return np.concatenate([fit.reshape(num_beats, -1), silence[:, None]], axis=1)


def best_path(scores: Floats, kind: NDArray[np.int64], moves: Floats) -> NDArray[np.int64]:
    """The states with the highest sum of scores (Viterbi's algorithm), [B].

    Args:
        scores: of each state at each beat, [B, C].
        kind: of the move into each beat, which selects from `moves`, [B]; that of the first is not read.
        moves: score of a move by its kind, [S, C to, C from], so that the maximum runs along memory.
    """
    best = np.empty_like(scores)
    best[0] = scores[0]
    sums = np.empty_like(moves[0])
    for beat in range(1, len(scores)):
        np.add(moves[kind[beat]], best[beat - 1], out=sums)
        np.maximum.reduce(sums, axis=1, out=best[beat])
        best[beat] += scores[beat]
    path = np.empty(len(scores), np.int64)
    path[-1] = best[-1].argmax()
    # Only along the best path is it needed where a maximum came from.
    for beat in range(len(scores) - 1, 0, -1):
        path[beat - 1] = (moves[kind[beat], path[beat]] + best[beat - 1]).argmax()
    return path


def _bass_path(
    bass: NDArray[np.float64],
    root: NDArray[np.int64],
    quality: NDArray[np.int64],
    chord: NDArray[np.int64],
    weights: HarmonyWeights,
) -> NDArray[np.int64]:
    """The pitch class of the bass of each beat, given its chord, [B]."""
    from_root = (np.arange(12) - root[:, None]) % 12
    prior = np.concatenate([weights.bass, np.zeros((12, 1))], axis=1)[from_root, quality[:, None]]
    scores = prior + weights.bass_sounds * bass
    is_new = np.diff(chord, prepend=-1) != 0
    return best_path(scores, is_new.astype(np.int64), weights.bass_moves)
