"""Directions describe the bars after them correctly, and are never predicted."""

from __future__ import annotations

import numpy as np
import pytest
import symusic

from helpers.scores import random_score
from music_reformer.config import AugmentConfig, TokenizerConfig
from music_reformer.data.augment import Augmenter
from music_reformer.midi.directions import (
    Directions,
    PartDirection,
    density_level,
    describe,
    polyphony_level,
    register_level,
    with_directions,
)
from music_reformer.midi.key import Key
from music_reformer.midi.parts import GRID
from music_reformer.midi.parts_grammar import grammar_for
from music_reformer.midi.parts_reader import PartsReader
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.midi.vocabulary import program_of

TOKENIZER = MusicTokenizer(TokenizerConfig(encoding="Parts"))
VOCABULARY = TOKENIZER.vocabulary
READER = PartsReader(VOCABULARY)


def piece(seed: int) -> np.ndarray:
    score = random_score(seed, programs=(0, 0, 40, 73))
    return np.array([TOKENIZER.bos_id, *TOKENIZER.encode(score), TOKENIZER.eos_id], dtype=np.uint16)


def names(ids: np.ndarray | list[int]) -> list[str]:
    return [TOKENIZER.tokens[token] for token in ids]


def counted(score: symusic.Score, begin: int, end: int) -> dict[tuple[int, int], tuple[float, float, float]]:
    """The oracle: (notes per quarter, mean pitch, notes at once) of each part between two positions."""
    found, seen = {}, {}
    for track in score.tracks:
        program = program_of(track)
        seen[program] = seen.get(program, 0) + 1
        notes = [note for note in track.notes if begin <= note.time < end]
        if notes:
            busy = {time for note in notes for time in range(note.time, note.time + note.duration)}
            mean = sum(note.pitch for note in notes) / len(notes)
            found[program, seen[program]] = (
                len(notes) / ((end - begin) / GRID),
                mean,
                sum(note.duration for note in notes) / len(busy),
            )
    return found


@pytest.mark.parametrize("seed", range(5))
def test_directions_equal_those_counted_naively(seed: int) -> None:
    ids = piece(seed)
    firsts = [0, 3, 4, 9]
    score = TOKENIZER.decode(ids)
    lines = [4 * GRID * bar if bar <= 8 else 4 * GRID * 8 + 3 * GRID * (bar - 8) for bar in range(40)]
    num_bars = len(READER.bars(ids))
    for directions, (first, until) in zip(
        describe(READER.notes(ids), firsts), zip(firsts, [*firsts[1:], num_bars], strict=True), strict=True
    ):
        expected = {
            part: (
                int(density_level(np.array(density))),
                None if part[0] < 0 else int(register_level(np.array(mean))),
                int(polyphony_level(np.array(together))),
            )
            for part, (density, mean, together) in counted(score, lines[first], lines[until]).items()
        }
        assert directions.parts is not None
        assert {each.part: (each.density, each.register, each.polyphony) for each in directions.parts} == expected
        assert directions.ends_in == (num_bars - first if num_bars - first <= 32 else None)


def test_the_key_of_a_section_is_that_of_most_of_its_bars() -> None:
    """Ten bars in C major, ten in E major: chords of both over drums, which have no key."""
    score = symusic.Score(GRID)
    piano, drums = symusic.Track("", 0, False), symusic.Track("", 0, True)
    for bar in range(20):
        tonic = 0 if bar < 10 else 4
        for beat, degree in enumerate((0, 5, 7, 0)):
            time = (4 * bar + beat) * GRID
            for step in (0, 4, 7):
                piano.notes.append(symusic.Note(time, GRID, 48 + tonic + degree + step, 80))
            drums.notes.append(symusic.Note(time, GRID, 37, 80))
    score.tracks.append(piano)
    score.tracks.append(drums)
    score.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    notes = READER.notes(np.array(TOKENIZER.encode(score)))
    assert [str(each.key) for each in describe(notes, [0, 4, 8, 13])] == ["C major", "C major", "E major", "E major"]
    only_drums = symusic.Score(GRID)
    only_drums.tracks.append(drums)
    (described,) = describe(READER.notes(np.array(TOKENIZER.encode(only_drums))), [0])
    assert described.key is None


def test_levels_count_half_octaves_third_octaves_and_half_notes() -> None:
    assert density_level(np.array([0.25, 1, 4, 100])).tolist() == [4, 8, 12, 15]
    assert register_level(np.array([0, 60, 63.9, 127])).tolist() == [0, 15, 15, 31]
    assert polyphony_level(np.array([1, 2, 3, 40])).tolist() == [0, 2, 4, 15]


def test_directions_are_written_as_tokens() -> None:
    given = Directions((PartDirection((0, 2), polyphony=4), PartDirection((40, 1), 8, 9, 0)), 3, Key.parse("A minor"))
    assert names(given.tokens(VOCABULARY)) == [
        "Directions", "Key_21", "EndsIn_3", "Program_40", "Density_8", "Register_9", "Polyphony_0",
        "Program_0", "Part_2", "Polyphony_4", "Music",
    ]  # fmt: skip
    assert Directions().tokens(VOCABULARY) == []
    ids = piece(1)
    directed = with_directions(READER, VOCABULARY, ids, [(0, Directions()), (2, given), (5, Directions((), 1))])
    is_given = VOCABULARY.is_given(directed)
    assert np.array_equal(directed[~is_given], ids)
    assert names(directed[is_given]) == [*names(given.tokens(VOCABULARY)), "Directions", "EndsIn_1", "Music"]
    assert TOKENIZER.decode(directed).note_num() == TOKENIZER.decode(ids).note_num()
    assert READER.programs(directed) == READER.programs(ids)


@pytest.mark.parametrize("seed", range(30))
def test_training_pieces_with_directions_are_pieces(seed: int) -> None:
    augment = Augmenter(VOCABULARY, AugmentConfig(transpose=0, tempo=0.0, named=1.0))
    ids = piece(seed % 5)
    directed = augment(ids, np.random.default_rng(seed))
    music = directed[~VOCABULARY.is_given(directed)]
    state = grammar_for(TOKENIZER).start()
    for token in directed[1:]:
        assert state.allowed()[token], names(directed[:10])
        state.advance(int(token))
    # Parts may be silent, but no note is new, and what is said of who plays is true.
    whole = {(t.program, t.is_drum, n.time, n.pitch) for t in TOKENIZER.decode(ids).tracks for n in t.notes}
    kept = {(t.program, t.is_drum, n.time, n.pitch) for t in TOKENIZER.decode(music).tracks for n in t.notes}
    assert kept <= whole
    opened = np.flatnonzero(directed == VOCABULARY.ids["Directions", None])
    closed = np.flatnonzero(directed == VOCABULARY.ids["Music", None])
    lines = np.append(READER.bars(directed), len(directed))
    for begin, end in zip(opened, closed, strict=True):
        told = {VOCABULARY.values[i] for i in directed[begin:end] if VOCABULARY.kinds[i] == "Program"}
        playing = READER.programs(directed[end : lines[np.searchsorted(lines, end)]])
        assert not told or playing <= told


def test_directions_are_given_often_and_left_out_often() -> None:
    augment = Augmenter(VOCABULARY, AugmentConfig(transpose=0, tempo=0.0, named=1.0))
    seen = [set(names(augment(piece(1), np.random.default_rng(seed)))) for seed in range(60)]
    for kind in ("Key", "Density", "Register", "Polyphony", "EndsIn"):
        share = np.mean([any(name.startswith(kind) for name in each) for each in seen])
        assert 0.3 < share < 0.95, kind
