"""The longest copied n-gram, against brute force and against what is done to the music."""

from __future__ import annotations

import numpy as np
import pytest
import symusic

from music_reformer.evaluation.copies import TrainingSet, top_line
from music_reformer.evaluation.notes import Notes
from music_reformer.evaluation.originality import TrainingIndex, onsets_s, suffix_array, symbols
from reference.copies import longest_run


def melody(seed: int, num_notes: int = 60) -> list[tuple[int, int]]:
    """(beat eighths, pitch) of a made-up piece."""
    random = np.random.default_rng(seed)
    return [(int(2 * i + random.integers(0, 2)), int(random.integers(48, 84))) for i in range(num_notes)]


def notes(events: list[tuple[int, int]], *, bpm: float = 100.0, program: int = 0) -> Notes:
    score = symusic.Score(480)
    score.tempos.append(symusic.Tempo(0, bpm))
    track = symusic.Track("", program, False)
    track.notes.extend([symusic.Note(step * 60, 60, pitch, 80) for step, pitch in events])
    score.tracks.append(track)
    return Notes.of(score)


def training(*pieces: list[tuple[int, int]]) -> TrainingSet:
    return TrainingSet(
        [f"{number}.mid" for number in range(len(pieces))], [notes(piece) for piece in pieces], steps_per_beat=8
    )


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


def test_a_passage_is_found_in_another_key_tempo_and_instrument() -> None:
    source, other = melody(1), melody(2)
    passage = [(step + 64, pitch + 5) for step, pitch in source[20:35]]
    # The same place in time as in the source, modulo nothing: between its notes lie the same distances.
    query = [(step, pitch) for step, pitch in melody(3, 20)] + [(step + 40, pitch) for step, pitch in passage]
    found = training(other, source).copies(notes(query, bpm=63, program=40))["all_notes"]
    assert found["notes"] == 15
    assert found["source"] == "1.mid"
    assert found["from_second"] == pytest.approx((passage[0][0] + 40) / 8 * 60 / 63, abs=0.01)
    assert found["source_second"] == pytest.approx(source[20][0] / 8 * 60 / 100, abs=0.01)


def test_one_note_changed_or_added_cuts_a_copy() -> None:
    source = melody(1)
    index = training(source)
    assert index.copies(notes(source))["all_notes"]["notes"] == 60
    changed = [(step, pitch + (number == 40)) for number, (step, pitch) in enumerate(source)]
    assert index.copies(notes(changed))["all_notes"]["notes"] == 40
    added = [*source, (source[50][0], 30)]
    assert index.copies(notes(added))["all_notes"]["notes"] == 50
    # Under the top line nothing has changed: the note that was added lies below.
    assert index.copies(notes(added))["top_line"]["notes"] == 60


def test_no_copy_runs_over_the_end_of_a_piece() -> None:
    first, second = melody(1), melody(2)
    joined = first + [(step + first[-1][0] + 2, pitch) for step, pitch in second]
    found = training(first, second).copies(notes(joined))["all_notes"]
    assert found["notes"] == 60


def test_pieces_of_one_note_or_none() -> None:
    index = training(melody(1))
    assert index.copies(notes([(0, 60)]))["all_notes"] == {"notes": 1}
    drums = notes(melody(1))
    drums.drum[:] = True
    assert index.copies(drums) == {"all_notes": {"notes": 0}, "top_line": {"notes": 0}}
    # Leaps that the training piece does not have.
    assert index.copies(notes([(0, 0), (1, 127)]))["all_notes"] == {"notes": 1}
    assert training([(0, 60)]).copies(notes(melody(1)))["all_notes"] == {"notes": 1}


def test_doubled_notes_are_one() -> None:
    piece = notes(melody(1) + melody(1))
    assert symbols(piece, steps_per_beat=8).tolist() == symbols(notes(melody(1)), steps_per_beat=8).tolist()
    assert len(onsets_s(piece, steps_per_beat=8)) == 60


def test_without_a_beat_time_counts_in_seconds() -> None:
    slow, fast = notes(melody(1), bpm=60), notes(melody(1), bpm=120)
    assert symbols(slow, steps_per_beat=8).tolist() == symbols(fast, steps_per_beat=8).tolist()
    assert symbols(slow, steps_per_beat=None).tolist() != symbols(fast, steps_per_beat=None).tolist()


def test_the_top_line_is_the_highest_of_each_chord() -> None:
    piece = notes([(0, 60), (0, 72), (0, 64), (2, 50), (4, 70), (4, 67)])
    assert top_line(piece).pitch.tolist() == [72, 50, 70]
