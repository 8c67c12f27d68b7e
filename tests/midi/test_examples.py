from __future__ import annotations

from pathlib import Path

import pytest

from music_reformer.midi.examples import EXAMPLES, Part, parse, pitch_number, write_in_all_keys
from music_reformer.midi.score import read_score

ALL_PARTS = [(name, part) for name, example in EXAMPLES.items() for part in example.parts]


@pytest.mark.parametrize(("name", "part"), ALL_PARTS, ids=lambda value: getattr(value, "name", value))
def test_every_bar_is_full(name: str, part: Part) -> None:
    beats = EXAMPLES[name].beats_per_bar
    for number, bar in enumerate(part.text.strip().strip("|").split("|"), start=1):
        length = sum(float(word.split(":")[1]) for word in bar.split())
        assert length % beats == 0, f"bar {number} of {part.name} has {length} beats"


@pytest.mark.parametrize("name", EXAMPLES)
def test_parts_are_equally_long_and_within_the_piano(name: str) -> None:
    example = EXAMPLES[name]
    lengths = {sum(float(word.split(":")[1]) for word in part.text.replace("|", " ").split()) for part in example.parts}
    assert len(lengths) == 1
    score = example.score()
    assert len(score.tracks) == len(example.parts)
    for track in score.tracks:
        assert all(21 <= note.pitch <= 108 and note.duration > 0 and 1 <= note.velocity <= 127 for note in track.notes)


def test_pitches_are_those_of_midi() -> None:
    assert [pitch_number(name) for name in ("C4", "A4", "F#5", "Bb3", "kick")] == [60, 69, 78, 58, 36]


def test_the_notation_reads_lengths_chords_and_rests() -> None:
    assert parse("C4:1 -:.5 E4+G4:2 | A4:1") == [(0, 1, [60]), (1.5, 2, [64, 67]), (3.5, 1, [69])]


def test_the_corpus_in_all_keys_differs_by_key_only(tmp_path: Path) -> None:
    assert write_in_all_keys(tmp_path) == 12 * len(EXAMPLES)
    low, high = (read_score(tmp_path / f"waltz{key}.mid") for key in ("-6", "+5"))
    for one, other in zip(low.tracks, high.tracks, strict=True):
        assert [note.pitch + 11 for note in one.notes] == [note.pitch for note in other.notes]
