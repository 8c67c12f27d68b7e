"""The longest copied n-gram, against brute force and for transformed music."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.melodies import melody, notes
from music_reformer.evaluation.originality import TrainingIndex, onsets_s, suffix_array, symbols
from reference.copies import longest_run


def test_suffixes_are_in_order() -> None:
    random = np.random.default_rng(0)
    for size, alphabet in ((1, 1), (2, 1), (50, 1), (50, 2), (200, 3), (300, 1000)):
        text = random.integers(0, alphabet, size).astype(np.int32)
        found = suffix_array(text)
        assert found.tolist() == sorted(range(size), key=lambda begin: text[begin:].tolist())


@pytest.mark.parametrize("alphabet", [2, 4, 50])
def test_every_run_is_as_long_as_brute_force_finds(alphabet: int) -> None:
    random = np.random.default_rng(alphabet)
    pieces = [random.integers(1, alphabet + 1, random.integers(0, 60)) for _ in range(8)]
    index = TrainingIndex(pieces)
    text = np.concatenate([part for piece in pieces for part in (piece, [0])])
    for _ in range(10):
        query = random.integers(1, alphabet + 2, random.integers(1, 50))  # one symbol that no piece has
        query[5:20] = pieces[3][10:25][: len(query[5:20])] if len(query) >= 20 and len(pieces[3]) >= 25 else query[5:20]
        length, where = index.copied(query)
        assert length.tolist() == [longest_run(query, pieces, begin) for begin in range(len(query))]
        for begin, (run, there) in enumerate(zip(length, where, strict=True)):
            assert query[begin : begin + run].tolist() == text[there : there + run].tolist()


def test_doubled_notes_are_one() -> None:
    piece = notes(melody(1) + melody(1))
    assert symbols(piece, steps_per_beat=8).tolist() == symbols(notes(melody(1)), steps_per_beat=8).tolist()
    assert len(onsets_s(piece, steps_per_beat=8)) == 60


def test_without_a_beat_time_counts_in_seconds() -> None:
    slow, fast = notes(melody(1), bpm=60), notes(melody(1), bpm=120)
    assert symbols(slow, steps_per_beat=8).tolist() == symbols(fast, steps_per_beat=8).tolist()
    assert symbols(slow, steps_per_beat=None).tolist() != symbols(fast, steps_per_beat=None).tolist()
