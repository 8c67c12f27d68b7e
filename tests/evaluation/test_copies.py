"""The longest passage that a piece shares with a training set, and where it is."""

from __future__ import annotations

import pytest

from helpers.melodies import melody, notes
from music_reformer.evaluation.copies import TrainingSet, top_line


def training(*pieces: list[tuple[int, int]]) -> TrainingSet:
    return TrainingSet(
        [f"{number}.mid" for number in range(len(pieces))], [notes(piece) for piece in pieces], steps_per_beat=8
    )


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


def test_no_copied_passage_spans_two_training_pieces() -> None:
    first, second = melody(1), melody(2)
    joined = first + [(step + first[-1][0] + 2, pitch) for step, pitch in second]
    found = training(first, second).copies(notes(joined))["all_notes"]
    assert found["notes"] == 60


def test_copies_in_pieces_of_one_note_or_none() -> None:
    index = training(melody(1))
    assert index.copies(notes([(0, 60)]))["all_notes"] == {"notes": 1}
    drums = notes(melody(1))
    drums.drum[:] = True
    assert index.copies(drums) == {"all_notes": {"notes": 0}, "top_line": {"notes": 0}}
    # Leaps that the training piece does not have.
    assert index.copies(notes([(0, 0), (1, 127)]))["all_notes"] == {"notes": 1}
    assert training([(0, 60)]).copies(notes(melody(1)))["all_notes"] == {"notes": 1}


def test_the_top_line_is_the_highest_of_each_chord() -> None:
    piece = notes([(0, 60), (0, 72), (0, 64), (2, 50), (4, 70), (4, 67)])
    assert top_line(piece).pitch.tolist() == [72, 50, 70]
