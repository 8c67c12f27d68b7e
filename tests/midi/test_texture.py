"""Texture: density, register, pitch classes and rhythm of some bars."""

from __future__ import annotations

import numpy as np
import pytest

from music_reformer.midi.texture import Texture


def texture(*notes: tuple[float, float, int], drums: int = 0, num_bars: int = 1) -> Texture | None:
    """Of notes (onset in bars, duration, pitch), and of drums on the first place."""
    onset, duration, pitch = np.array([*notes, *[(0.0, 0.1, 36)] * drums]).T
    is_drum = np.arange(len(onset)) >= len(notes)
    return Texture.of(onset=onset, duration=duration, pitch=pitch.astype(int), is_drum=is_drum, num_bars=num_bars)


SCALE = [(place / 8, 0.125, pitch) for place, pitch in enumerate((60, 62, 64, 65, 67, 69, 71, 72))]


def test_measures_of_a_scale() -> None:
    found = texture(*SCALE, num_bars=2)
    assert found is not None
    assert found.density == pytest.approx(2)  # eight notes in two bars
    assert found.pitch == pytest.approx(66.25)
    assert np.flatnonzero(found.rhythm).tolist() == list(range(0, 16, 2))
    assert found.classes[0] == pytest.approx(2 * found.classes[2])
    assert found.unlike_classes(found) == pytest.approx(0)


def test_transposition_leaves_rhythm_and_density_alone() -> None:
    low, high = texture(*SCALE), texture(*((onset, duration, pitch + 6) for onset, duration, pitch in SCALE))
    assert low is not None
    assert high is not None
    assert high.pitch - low.pitch == pytest.approx(6)
    assert low.density == high.density
    assert low.unlike_rhythm(high) == pytest.approx(0)
    assert low.unlike_classes(high) > 0.3


def test_drums_count_as_density_and_rhythm_alone() -> None:
    without, with_drums = texture(*SCALE), texture(*SCALE, drums=8)
    assert without is not None
    assert with_drums is not None
    assert with_drums.density == without.density + 1
    assert with_drums.pitch == without.pitch
    assert with_drums.unlike_rhythm(without) > 0.1
    assert with_drums.unlike_classes(without) == pytest.approx(0)


def test_drums_alone_have_no_texture() -> None:
    assert texture(drums=4) is None
