"""Bars and parts in streams of the Parts encoding, against reading the tokens one by one."""

from __future__ import annotations

import numpy as np
import pytest
import symusic

from helpers.scores import random_score
from music_reformer.config import TokenizerConfig
from music_reformer.midi.bars import BarReader
from music_reformer.midi.infill import cut_hole
from music_reformer.midi.parts import part_order
from music_reformer.midi.parts_reader import Part, PartsReader, reader_for
from music_reformer.midi.parts_stream import PartsDecoder
from music_reformer.midi.tokenizer import MusicTokenizer

TOKENIZER = MusicTokenizer(TokenizerConfig(encoding="Parts", use_chords=True))
VOCABULARY = TOKENIZER.vocabulary
READER = PartsReader(VOCABULARY)
PROGRAMS = (0, 0, 40, 73)


def stream(seed: int) -> np.ndarray:
    return TOKENIZER.encode(random_score(seed, programs=PROGRAMS))


def bars_of(ids: np.ndarray) -> list[tuple[list[int], dict[Part, list[int]]]]:
    """For each bar, token by token: the tokens before its parts, and those of each part, its name included."""
    bars: list[tuple[list[int], dict[Part, list[int]]]] = []
    for line in np.split(ids, np.flatnonzero([VOCABULARY.kinds[token] == "Bar" for token in ids]))[1:]:
        blocks = np.split(line, np.flatnonzero([VOCABULARY.kinds[token] == "Program" for token in line]))
        parts = {}
        for block in blocks[1:]:
            numbered = VOCABULARY.kinds[block[1]] == "Part"
            parts[VOCABULARY.values[block[0]], VOCABULARY.values[block[1]] if numbered else 1] = block.tolist()
        bars.append((blocks[0].tolist(), parts))
    return bars


def test_each_encoding_has_its_reader() -> None:
    assert type(reader_for(VOCABULARY)) is PartsReader
    assert type(reader_for(MusicTokenizer(TokenizerConfig()).vocabulary)) is BarReader


@pytest.mark.parametrize("seed", range(3))
def test_parts_and_programs_are_those_of_the_tokens(seed: int) -> None:
    ids = stream(seed)
    parts = {part for _, found in bars_of(ids) for part in found}
    assert READER.parts(ids) == sorted(parts, key=lambda part: part_order(*part))
    assert READER.programs(ids) == {program for program, _ in parts}
    assert len(READER.bars(ids)) == len(bars_of(ids))


@pytest.mark.parametrize("chosen", [{(0, 2)}, {(0, 1), (73, 1)}, set()])
def test_parts_are_divided_from_the_others(chosen: set[Part]) -> None:
    ids = stream(1)
    others, theirs = READER.divide_parts(ids, chosen)
    expected_others, expected_theirs = [], []
    for head, parts in bars_of(ids):
        expected_others += head + [token for part, tokens in parts.items() if part not in chosen for token in tokens]
        line = head[:3] if VOCABULARY.kinds[head[1]] == "Cut" else head[:1]
        expected_theirs += line + [token for part, tokens in parts.items() if part in chosen for token in tokens]
    assert ids[others].tolist() == expected_others
    assert ids[theirs].tolist() == expected_theirs


def test_chords_are_divided_off_with_the_notes_only_if_all_instruments_are_selected() -> None:
    ids = stream(2)
    chords = np.isin(ids, [token for kind in ("ChordRoot", "NoChord") for token in VOCABULARY.ids_of[kind]])
    assert chords.any()
    others, theirs = READER.divide(ids, {40})
    assert others[chords].all()
    assert not theirs[chords].any()
    others, theirs = READER.divide(ids, set())
    assert theirs[chords].all()
    assert not others[chords].any()
    assert not np.isin(READER.without_chords(ids), ids[chords]).any()
    plain = MusicTokenizer(TokenizerConfig(encoding="Parts"))
    score = random_score(2, programs=PROGRAMS)
    names = [TOKENIZER.tokens[token] for token in READER.without_chords(ids)]
    assert names == [plain.tokens[token] for token in plain.encode(score)]


def test_the_end_of_a_bar_that_is_cut_short_is_not_the_position_of_a_chord() -> None:
    """A new metre begins early in every bar, so that `Cut` and a position stand between bar line and chord."""
    score = symusic.Score(480)
    for bar in range(12):
        score.time_signatures.append(symusic.TimeSignature(bar * 720, 4, 4))
    track = symusic.Track("", 0, False)
    for beat in range(36):
        track.notes.extend(symusic.Note(beat * 240, 240, 48 + (5 * (beat // 3)) % 12 + step, 80) for step in (0, 4, 7))
    score.tracks.append(track)
    ids = TOKENIZER.encode(score)
    names = [TOKENIZER.tokens[token] for token in ids]
    ends = [place + 2 for place, name in enumerate(names) if name == "Cut"]
    assert any(names[end].startswith("Chord") for end in ends)
    plain = MusicTokenizer(TokenizerConfig(encoding="Parts"))
    assert [TOKENIZER.tokens[token] for token in READER.without_chords(ids)] == [
        plain.tokens[token] for token in plain.encode(score)
    ]
    for first, count in [(0, 1), (3, 4), (11, 1), (0, 12)]:
        cut = cut_hole(READER, ids, first, count)
        for stretch in (cut.behind, cut.hole):
            written = [TOKENIZER.tokens[token] for token in stretch]
            assert all(written[place + 1] == "Position_36" for place, name in enumerate(written) if name == "Cut")
        assert cut.behind.count(VOCABULARY.ids["Hole", None]) == count


@pytest.mark.parametrize("seed", range(3))
def test_notes_are_those_that_decoding_gives(seed: int) -> None:
    ids = stream(seed)
    found = READER.notes(ids)
    starts = np.concatenate([[0], np.cumsum(found.bar_lengths)])
    decoder = PartsDecoder(VOCABULARY)
    decoded = [note for token in ids.tolist() for note in decoder.advance(token)]
    assert len(decoded) == len(found.pitch)
    for note, bar, part, position, duration, pitch in zip(
        decoded, found.bar, found.part, found.position, found.duration, found.pitch, strict=True
    ):
        assert found.parts[part] == (-1 if note.drum else note.program, note.part)
        assert (note.start_tick, note.pitch) == (starts[bar] + position, pitch)
        assert note.end_tick - note.start_tick == duration


def test_parts_get_other_programs_in_the_order_that_these_have() -> None:
    ids = stream(0)
    new = {(40, 1): (10, 1), (0, 2): (100, 1)}
    expected = []
    for head, parts in bars_of(ids):
        expected += head
        renamed = {new.get(part, part): tokens[1 + (part[1] > 1) :] for part, tokens in parts.items()}
        for part in sorted(renamed, key=lambda part: part_order(*part)):
            expected += [*READER._name(part), *renamed[part]]
    assert READER.reassigned(ids, new).tolist() == expected
    back = {after: before for before, after in new.items()}
    assert np.array_equal(READER.reassigned(READER.reassigned(ids, new), back), ids)


def test_a_part_can_be_silent_in_some_bars() -> None:
    ids = stream(0)
    silent = {(1, (0, 1)), (3, (40, 1))}
    expected = []
    for number, (head, parts) in enumerate(bars_of(ids)):
        expected += head
        for part, tokens in parts.items():
            expected += [] if (number, part) in silent else tokens
    assert READER.without(ids, silent).tolist() == expected


def test_instruments_only_named_in_directions_do_not_play() -> None:
    ids = stream(0)
    named = np.concatenate([ids[:1], np.array(READER.naming({5, -1}), dtype=ids.dtype), ids[1:]])
    assert READER.programs(named) == READER.programs(ids)
    assert [TOKENIZER.tokens[token] for token in READER.naming({5, -1})] == [
        "Directions", "Program_-1", "Program_5", "Music",
    ]  # fmt: skip
