"""Finding the beats and bars of freely played music."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.playing import TICKS_PER_SECOND, played
from music_reformer.midi.beats import pitched_notes
from music_reformer.midi.examples import EXAMPLES
from music_reformer.midi.pulse import BarPointer, bars_in, beats_in, onsets_of


@pytest.mark.parametrize("example", ["evening", "waltz", "ground"])
@pytest.mark.parametrize("rubato", [0.0, 0.08])
def test_beats_of_a_free_player_are_found(example: str, rubato: float) -> None:
    score, beats = played(example, rubato=rubato)
    notes = pitched_notes(score)
    begin, end = notes.onset / TICKS_PER_SECOND, notes.end / TICKS_PER_SECOND
    found = beats_in(onsets_of(begin, end, notes.pitch, notes.velocity))
    inside = beats[(beats > begin.min() - 0.1) & (beats < begin.max() + 0.1)]
    # Half or twice as many are beats, too, as long as they are in step.
    finer = np.sort(np.concatenate([beats, (beats[1:] + beats[:-1]) / 2]))
    near = [np.abs(finer - each).min() < 0.07 for each in found[(found > inside[0] - 0.1) & (found < inside[-1] + 0.1)]]
    assert np.mean(near) > 0.9
    assert len(near) >= 0.45 * len(inside)


@pytest.mark.parametrize(("example", "beats"), [("evening", 4), ("waltz", 3)])
@pytest.mark.parametrize("early", [0, 1, 2])
def test_bars_are_found(example: str, beats: int, early: int) -> None:
    score = EXAMPLES[example].score()
    notes = pitched_notes(score)
    start = notes.onset / score.ticks_per_quarter + early
    length = (notes.end - notes.onset) / score.ticks_per_quarter
    assert bars_in(start, length, notes.pitch) == (beats, early % beats)


def test_the_likeliest_path_is_the_best_of_all_paths() -> None:
    """The oracle scores every sequence of beat lengths, frame by frame."""
    strength = np.zeros(50)
    strength[[3, 20, 36, 48]] = 1.0
    strength[[11, 28]] = 0.4
    model = BarPointer.of(np.array([13, 16, 20]))
    best = max(_all_paths(len(strength), model), key=lambda path: _score(strength, path, model))
    frames = best[0] + np.concatenate([[0], np.cumsum([model.periods[tempo] for tempo in best[1]])])
    assert model.beat_frames(strength).tolist() == [frame for frame in frames.tolist() if 0 <= frame < len(strength)]


Path = tuple[int, tuple[int, ...]]  # the frame of the first beat, at most 0, and the tempos of the beats from there on


def _all_paths(num_frames: int, model: BarPointer) -> list[Path]:
    """All paths that cover the frames."""
    paths: list[Path] = []

    def extend(begin: int, reached: int, tempos: tuple[int, ...]) -> None:
        if reached >= num_frames:
            paths.append((begin, tempos))
            return
        for tempo, period in enumerate(model.periods.tolist()):
            extend(begin, reached + period, (*tempos, tempo))

    for tempo, period in enumerate(model.periods.tolist()):
        for begin in range(-period + 1, 1):
            extend(begin, begin + period, (tempo,))
    return paths


def _score(strength: np.ndarray, path: Path, model: BarPointer) -> float:
    """Log probability of a path and the onsets, up to a constant."""
    begin, tempos = path
    starts = np.concatenate([[0], np.cumsum(model.periods)[:-1]])
    total = model.prior[tempos[0]] - np.log(model.periods[tempos[0]])
    frame = begin
    for number, tempo in enumerate(tempos):
        if number:
            total += model.change[tempos[number - 1], tempo]
        for place in range(model.periods[tempo]):
            if 0 <= frame < len(strength):
                state = starts[tempo] + place
                total += model.silence[state] + strength[frame] * model.log_rate[state]
            frame += 1
    return float(total)
