"""Returning bars: note for note if the weight is large enough, whatever the model would play."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest
import symusic

from helpers.composing import run, stand_in
from helpers.songs import song
from helpers.stand_in_model import full_score
from music_reformer.config import SamplingConfig
from music_reformer.errors import UserError
from music_reformer.generation import recall
from music_reformer.generation.generator import Generator
from music_reformer.generation.recall import modulated, read_bars
from music_reformer.generation.request import PartRequest, Request
from music_reformer.midi.key import Key
from music_reformer.midi.modulation import Modulation
from music_reformer.midi.parts import DURATIONS, GRID
from music_reformer.midi.tokenizer import MusicTokenizer

BAR = 3 * 384  # ticks of a bar of `full_score`
Notes = dict[int, set[tuple[int, int, int, int]]]


def notes_of(score: symusic.Score, first_bar: int, num_bars: int) -> Notes:
    """(position, duration, pitch, velocity) of the notes of some bars, by program (-1 for drums), on the grid."""
    found: Notes = defaultdict(set)
    for track in score.tracks:
        for note in track.notes:
            start = math.floor(note.time * GRID / 384 + 0.5) - first_bar * 3 * GRID
            length = min(DURATIONS, key=lambda each: abs(each - max(1, math.floor(note.duration * GRID / 384 + 0.5))))
            if 0 <= start < num_bars * 3 * GRID:
                level = 4 * max(1, (note.velocity + 3) // 4) - 1
                found[-1 if track.is_drum else track.program].add((start, length, note.pitch, level))
    return found


def compose(generator: Generator, form: str | None, **settings: object) -> symusic.Score:
    session = generator.start(full_score(), Request(length="4bars", seed=3, form=form, **settings))
    run(generator, session)
    return session.scores[0]


@pytest.fixture
def certain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the weight of returning notes larger than any preference of the model."""
    monkeypatch.setattr(recall, "EXACT_LOGIT", 1000.0)


@pytest.mark.usefixtures("certain")
def test_exact_returns_repeat_bars_note_for_note() -> None:
    """The oracle is the same bars of the score, rounded to the grid."""
    score = compose(stand_in("Parts"), "new 1 | 2-3")
    assert notes_of(score, 9, 2) == notes_of(full_score(), 1, 2)
    assert notes_of(score, 8, 1) != notes_of(full_score(), 1, 1)
    assert len(notes_of(full_score(), 1, 2)) == 3


@pytest.mark.usefixtures("certain")
def test_returning_bars_are_transposed_to_a_requested_key_except_drums() -> None:
    score, asked = full_score(), compose(stand_in("Parts"), "1-4", key="A major")
    before, after = notes_of(score, 0, 4), notes_of(asked, 8, 4)
    semitones = {high[2] - low[2] for low, high in zip(sorted(before[0]), sorted(after[0]), strict=True)}
    assert len(semitones) == 1
    assert -5 <= min(semitones) <= 6
    assert after[-1] == before[-1]


@pytest.mark.usefixtures("certain")
def test_the_form_of_a_hole_can_name_its_own_bars() -> None:
    """Also for a single instrument, while the others stay unchanged."""
    for programs in ([], [33]):
        score = compose(stand_in("Parts"), "3-4", cut_bar=2, until_bar=4, programs=programs)
        assert notes_of(score, 2, 2) == notes_of(full_score(), 2, 2)


def test_exact_returns_are_closest_to_the_piece_then_varied_ones_then_new_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """With larger weights, because an untrained model does not expect the returning notes."""
    monkeypatch.setattr(recall, "EXACT_LOGIT", 12.0)
    monkeypatch.setattr(recall, "VARIED_LOGIT", 7.0)
    wanted = notes_of(full_score(), 1, 4)

    def share(form: str | None) -> float:
        made = notes_of(compose(stand_in("Parts"), form), 8, 4)
        return sum(len(made[each] & wanted[each]) for each in wanted) / sum(map(len, wanted.values()))

    exact, varied, new = share("2-5"), share("2-5'"), share(None)
    assert exact > varied + 0.1
    assert varied > new + 0.1


@pytest.mark.parametrize(
    ("settings", "returns"),
    [
        ({}, True),
        ({"form": None}, False),
        ({"chords": "Am"}, False),
        ({"key": "A minor"}, False),
        ({"metre": "3/4"}, False),
        ({"density": 1}, False),
        ({"dynamics": -2}, False),
        ({"parts": [PartRequest(program=42)]}, False),
        ({"sampling": SamplingConfig(hold=0)}, False),
        ({"cut_bar": 8, "until_bar": 12}, False),
        ({"density": 1, "form": "1-4"}, True),
    ],
)
def test_likely_returns_happen_unless_something_else_is_requested(settings: dict, returns: bool) -> None:
    piece = song("abcdefgh" + "ijklmnop" + "abcdefgh")
    session = stand_in("Parts").start(piece, Request(length="4bars", **settings))
    assert (session._variations[0].recall is not None) == returns


def test_sections_marked_new_are_composed_freely() -> None:
    assert notes_of(compose(stand_in("Parts"), "new 4"), 8, 4) == notes_of(compose(stand_in("Parts"), None), 8, 4)


def test_bars_are_read_as_they_stand_in_the_stream() -> None:
    """Also after a tempo and a shortened bar; a duration of several tokens counts as one."""
    tokenizer = MusicTokenizer(stand_in("Parts").tokenizer.config)
    vocabulary = tokenizer.vocabulary
    text = """
        Bar_4/4 Cut Position_48 Tempo_120.0 ChordRoot_2 ChordQuality_7 Position_24 NoChord
        Program_0 Velocity_63 Duration_768 Duration_24 Pitch_60 Position_24 Pitch_64
        Bar_4/4 Position_12 Tempo_120.0 ChordRoot_0 ChordQuality_0 ChordBass_4
        Program_0 Part_2 Velocity_67 Duration_6 Pitch_50
    """
    names = text.split()
    tempo = next(name for name in tokenizer.tokens if name.startswith("Tempo_12"))
    ids = [tokenizer.tokens.index(tempo if name.startswith("Tempo") else name) for name in names]
    bars = read_bars(vocabulary, ids, {0, 1, 7})
    assert [tokenizer.tokens[token] for token in bars[0].chords] == names[4:8]
    assert [tokenizer.tokens[token] for token in bars[1].chords] == ["ChordRoot_0", "ChordQuality_0", "ChordBass_4"]
    assert [(note.position, note.pitch, note.duration) for note in bars[0].parts[0, 1]] == [(0, 60, 792), (24, 64, 792)]
    assert list(bars[1].parts) == [(0, 2)]
    assert not bars[7].parts
    up = modulated(bars[1], Modulation(Key.parse("C major"), Key.parse("Bb major")), vocabulary)
    assert [tokenizer.tokens[token] for token in up.chords] == ["ChordRoot_10", "ChordQuality_0", "ChordBass_2"]
    assert up.parts[0, 2][0].pitch == 48


def test_impossible_forms_are_refused() -> None:
    generator = stand_in("Parts")
    with pytest.raises(UserError, match="bars 8-9 cannot come again, because there are 8 bars"):
        generator.start(full_score(), Request(form="8-9"))
    with pytest.raises(UserError, match="needs a piece whose bars can come again"):
        generator.start(None, Request(form="1"))
    with pytest.raises(UserError, match="cannot follow chords, form"):
        stand_in("REMI").start(full_score(), Request(form="1"))
