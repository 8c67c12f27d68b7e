"""Holes: bars are moved to the end without loss or repetition, and the context does not reveal them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import symusic

from helpers.scores import random_score
from music_reformer.config import TokenizerConfig
from music_reformer.midi.bars import BarReader
from music_reformer.midi.infill import ALL, cut_hole, permuted
from music_reformer.midi.parts_grammar import grammar_for
from music_reformer.midi.parts_reader import reader_for
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.midi.vocabulary import BOS, PAD
from reference.bars import divide

TOKENIZERS = {
    "programs": MusicTokenizer(TokenizerConfig()),
    "pedals and bends": MusicTokenizer(TokenizerConfig(use_sustain_pedals=True, use_pitch_bends=True)),
    "no programs": MusicTokenizer(TokenizerConfig(use_programs=False)),
    "no metre, no tempo": MusicTokenizer(TokenizerConfig(use_time_signatures=False, use_tempos=False)),
}


def piece(tokenizer: MusicTokenizer, seed: int = 0) -> np.ndarray:
    return np.array([BOS, *tokenizer.encode(random_score(seed)), tokenizer.eos_id], dtype=np.uint16)


def notes(tokenizer: MusicTokenizer, ids: list[int]) -> Counter:
    return Counter(
        (track.is_drum, track.program, note.time, note.duration, note.pitch, note.velocity)
        for track in tokenizer.decode(ids).tracks
        for note in track.notes
    )


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize(("first", "count"), [(0, 1), (3, 4), (0, 16), (17, 1), (5, 13)])
def test_context_and_hole_of_a_cut_piece_add_up_to_the_piece(name: str, first: int, count: int) -> None:
    tokenizer = TOKENIZERS[name]
    reader = BarReader(tokenizer.vocabulary)
    ids = piece(tokenizer)
    lines = reader.bars(ids)
    first = min(first, len(lines) - 1)
    count = min(count, len(lines) - first)
    for programs in (ALL, {40}, {-1, 0}) if reader.programs(ids) else (ALL,):
        cut = cut_hole(reader, ids, first, count, programs)
        assert cut.before == ids[1 : lines[first]].tolist()
        # As if the hole were filled with nothing, and as if there were nothing but it.
        others, alone = (notes(tokenizer, cut.before + rest) for rest in (cut.behind, cut.hole))
        whole = notes(tokenizer, ids.tolist())
        assert others + (alone - notes(tokenizer, cut.before)) == whole
        assert len(reader.bars(np.array(cut.before + cut.behind))) == len(lines)
        assert len(reader.bars(np.array(cut.hole))) == cut.behind.count(PAD) == count
        assert cut.hole[: len(cut.opening)] == cut.opening
        assert reader.programs(np.array(cut.hole)) <= (programs or reader.programs(ids))
        assert cut.context == [BOS, *cut.behind, BOS, *cut.before, *cut.naming]


def test_other_instruments_stay_and_missing_ones_are_named() -> None:
    tokenizer = TOKENIZERS["programs"]
    reader = BarReader(tokenizer.vocabulary)
    cut = cut_hole(reader, piece(tokenizer), 2, 3, {40})
    (end,) = reader.bars(np.array(cut.behind))[[3]]
    assert reader.programs(np.array(cut.behind[:end])) == {0, -1}
    assert [tokenizer.tokens[i] for i in cut.naming] == ["PAD", "Program_40"]
    assert cut_hole(reader, piece(tokenizer), 2, 3).naming == []


def test_a_permuted_piece_is_context_hole_and_end() -> None:
    tokenizer = TOKENIZERS["programs"]
    reader = BarReader(tokenizer.vocabulary)
    ids = piece(tokenizer)
    cut = cut_hole(reader, ids, 4, 2)
    assert permuted(reader, ids, 4, 2).tolist() == [*cut.context, *cut.hole, tokenizer.eos_id]


@pytest.mark.parametrize("encoding", ["TSD", "MIDILike", "Performance"])
def test_encodings_without_bars_cannot_be_cut(encoding: str) -> None:
    assert not BarReader(MusicTokenizer(TokenizerConfig(encoding=encoding)).vocabulary).has_whole_bars


PARTS = MusicTokenizer(TokenizerConfig(encoding="Parts", use_chords=True))


@pytest.mark.parametrize(("first", "count"), [(0, 1), (3, 4), (0, 16), (17, 1), (5, 13)])
@pytest.mark.parametrize("programs", [ALL, frozenset({40}), frozenset({-1, 0})])
def test_a_hole_in_the_parts_encoding(first: int, count: int, programs: frozenset[int]) -> None:
    reader = reader_for(PARTS.vocabulary)
    ids = np.array([BOS, *PARTS.encode(random_score(1, programs=(0, 0, 40))), PARTS.eos_id], dtype=np.uint16)
    lines = reader.bars(ids)
    cut = cut_hole(reader, ids, min(first, len(lines) - 1), min(count, len(lines) - first), programs)
    others, alone = (notes(PARTS, cut.before + rest) for rest in (cut.behind, cut.hole))
    assert others + (alone - notes(PARTS, cut.before)) == notes(PARTS, ids.tolist())
    assert cut.behind.count(PARTS.vocabulary.ids["Hole", None]) == len(reader.bars(np.array(cut.hole)))
    assert cut.hole[: len(cut.opening)] == cut.opening
    assert ("Directions" in [PARTS.tokens[i] for i in cut.opening]) == bool(programs)
    if programs:
        assert reader.programs(np.array(cut.hole)) <= programs
    # The chords of the missing bars are hidden where everything is to be composed, and known where some of it stays.
    missing = np.array(cut.hole)
    assert PARTS.vocabulary.is_kind("ChordRoot", "NoChord")[missing].any() == (not programs)
    state = grammar_for(PARTS).start()
    for token in [*cut.before, *cut.hole]:
        assert state.allowed()[token] or token == cut.hole[0]
        state.advance(token)


@pytest.mark.parametrize("parts", [{(0, 1)}, {(0, 2)}, {(0, 1), (40, 1)}])
def test_a_hole_of_some_parts_equals_one_found_by_sorting_notes(parts: set[tuple[int, int]]) -> None:
    reader = reader_for(PARTS.vocabulary)
    ids = np.array([BOS, *PARTS.encode(random_score(1, programs=(0, 0, 40))), PARTS.eos_id], dtype=np.uint16)
    whole = reader.notes(ids)
    cut = cut_hole(reader, ids, 3, 4, {program for program, _ in parts}, parts)

    def rows(tokens: list[int], first_bar: int) -> Counter:
        notes = reader.notes(np.array(tokens))
        owners = [notes.parts[part] for part in notes.part]
        return Counter(zip(owners, (notes.bar + first_bar).tolist(), notes.position, notes.pitch, strict=True))

    everything = Counter(
        zip([whole.parts[part] for part in whole.part], whole.bar.tolist(), whole.position, whole.pitch, strict=True)
    )
    taken = Counter({row: n for row, n in everything.items() if row[0] in parts and 3 <= row[1] < 7})
    assert rows(cut.hole, 3) == taken
    assert rows(cut.before, 0) + rows(cut.behind, 3) == everything - taken


def test_pedals_stay_with_their_instrument() -> None:
    tokenizer = TOKENIZERS["pedals and bends"]
    reader = BarReader(tokenizer.vocabulary)
    score = random_score(0)
    beat = score.ticks_per_quarter
    for track in score.tracks:
        if not track.is_drum:
            track.pedals.extend([symusic.Pedal(number * 4 * beat, 2 * beat) for number in range(8)])
    ids = tokenizer.encode(score)

    def pedals(tokens: list[int]) -> Counter:
        names = [tokenizer.tokens[i] for i in tokens]
        return Counter(name for name in names if name.startswith("Pedal"))

    whole = pedals(ids.tolist())
    assert {"Pedal_0", "Pedal_40"} <= set(whole)
    cut = cut_hole(reader, ids, 0, len(reader.bars(ids)), {40})
    assert pedals(cut.hole) == Counter({name: n for name, n in whole.items() if name.endswith("_40")})
    assert pedals(cut.behind) + pedals(cut.hole) == whole


@pytest.mark.parametrize("name", ["programs", "pedals and bends", "no metre, no tempo"])
@pytest.mark.parametrize("seed", range(4))
def test_a_hole_equals_one_found_token_by_token(name: str, seed: int) -> None:
    tokenizer = TOKENIZERS[name]
    reader = BarReader(tokenizer.vocabulary)
    ids = piece(tokenizer, seed)
    bars = [part.tolist() for part in np.split(ids[:-1], reader.bars(ids))[1:]]
    for programs in (ALL, {40}, {-1}, {-1, 0}, {99}):
        for first, count in ((0, 1), (2, 5), (0, len(bars)), (len(bars) - 1, 1)):
            divided = [divide(bar, tokenizer.tokens, programs) for bar in bars[first : first + count]]
            cut = cut_hole(reader, ids, first, count, programs)
            assert cut.hole == [token for line, _, theirs in divided for token in [*line, *theirs]]
            emptied = [token for line, others, _ in divided for token in [*line, PAD, *others]]
            assert cut.behind == [*emptied, *(token for bar in bars[first + count :] for token in bar)]
            assert cut.opening == divided[0][0]
