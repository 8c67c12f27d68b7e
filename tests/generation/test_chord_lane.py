"""Requested chords are in the stream where the model reads them, and the notes follow them."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.composing import run, stand_in
from helpers.stand_in_model import full_score
from music_reformer.errors import UserError
from music_reformer.generation.chord_lane import ChordLane, lowest_part
from music_reformer.generation.generator import Generator
from music_reformer.generation.request import Request
from music_reformer.midi.lead_sheet import LeadSheet
from music_reformer.midi.parts import GRID
from music_reformer.midi.parts_reader import PartsReader

METRE = (3, 4)


def read_by_bar(generator: Generator) -> list[list[str]]:
    """The chord tokens, and their positions, that the model has read of each new bar."""
    vocabulary = generator.tokenizer.vocabulary
    bars: list[list[str]] = [[]]
    in_head = True
    for (token,) in generator.decoder.steps:
        kind = vocabulary.kinds[token]
        if kind == "Bar":
            bars.append([])
            in_head = True
        elif kind == "Program":
            in_head = False
        elif in_head:
            bars[-1].append(generator.tokenizer.tokens[token])
    return bars


def test_the_model_reads_chords_in_front_of_the_notes_of_their_bars() -> None:
    generator = stand_in("Parts")
    run(generator, generator.start(full_score(), Request(length="5bars", seed=3, chords="Am7 | D7 G7/B | N | % | Eb")))
    assert read_by_bar(generator)[:5] == [
        ["ChordRoot_9", "ChordQuality_9"],
        ["ChordRoot_2", "ChordQuality_7", f"Position_{GRID}", "ChordRoot_7", "ChordQuality_7", "ChordBass_11"],
        ["NoChord"],
        ["NoChord"],
        ["ChordRoot_3", "ChordQuality_0"],
    ]


def test_open_bars_are_left_to_the_model() -> None:
    asked, free = stand_in("Parts"), stand_in("Parts")
    asked_notes = run(asked, asked.start(full_score(), Request(length="3bars", chords="? | ? | ?")))
    free_notes = run(free, free.start(full_score(), Request(length="3bars")))
    assert asked_notes == free_notes


@pytest.mark.parametrize("until_bar", [None, 6])
def test_pitches_lean_to_the_chord(until_bar: int | None) -> None:
    """The share of notes in F sharp major, by an untrained model, in new bars and in a hole."""

    def inside(chords: str | None) -> float:
        generator = stand_in("Parts")
        request = Request(length="4bars", seed=2, chords=chords, cut_bar=2 if until_bar else None, until_bar=until_bar)
        notes = run(generator, generator.start(full_score(), request))
        pitched = [note.pitch % 12 in (6, 10, 1) for note in notes if not note.drum]
        assert len(pitched) > 12
        return float(np.mean(pitched))

    assert inside("|: F# :|") > 2.5 * inside(None)


def test_the_lowest_part_begins_a_chord_on_its_bass() -> None:
    generator = stand_in("Parts")
    vocabulary = generator.tokenizer.vocabulary
    sheet = LeadSheet.parse("C/E G")
    lane = ChordLane(vocabulary, sheet, metre=(4, 4), lowest=(33, 1), writes=True)
    ids = vocabulary.ids

    def leans(*tokens: tuple[str, object]) -> np.ndarray:
        follower = lane.copy()
        for kind, value in tokens:
            follower.take(ids[kind, value])
        logits = np.zeros(len(vocabulary), np.float32)
        follower.lean(logits)
        first = ids["Pitch", 36]
        return logits[first : first + 12]

    bass = leans(("Program", 33), ("Velocity", 63), ("Duration", 24))
    assert bass.argmax() == 4
    assert bass[0] < bass[4] - 3
    other = leans(("Program", 0), ("Velocity", 63), ("Duration", 24))
    assert other[0] > other[4] > other[7] > 0 > other[2]  # root, third and fifth are wanted, the second not
    heard = leans(("Program", 0), ("Velocity", 63), ("Duration", 24), ("Pitch", 52))
    assert heard[4] < heard[7] < heard[0]  # the third has been played
    assert heard[0] == other[0]
    later = leans(("Program", 0), ("Position", 48), ("Velocity", 63), ("Duration", 24))
    assert later[7] > later[2] > 0 > later[0]  # of G, the fifth is wanted less than the root, and C is outside
    drums = leans(("Program", -1), ("Velocity", 63), ("Duration", 24))
    assert not drums.any()


def test_a_note_held_into_the_next_chord_belongs_to_both_chords() -> None:
    generator = stand_in("Parts")
    vocabulary = generator.tokenizer.vocabulary
    ids = vocabulary.ids
    lane = ChordLane(vocabulary, LeadSheet.parse("C F"), metre=(4, 4), lowest=None, writes=True)
    logits = {}
    for duration in (24, 96):
        follower = lane.copy()
        for token in (ids["Program", 0], ids["Velocity", 63], ids["Duration", duration]):
            follower.take(token)
        logits[duration] = np.zeros(len(vocabulary), np.float32)
        follower.lean(logits[duration])
    c, g = ids["Pitch", 60], ids["Pitch", 67]
    assert logits[24][g] > 0
    assert logits[96][c] == logits[24][c]  # in both
    assert logits[96][g] < logits[24][g]  # in the first alone


def test_the_last_chords_of_the_piece_can_be_requested_again() -> None:
    """The chords of as many bars before the cut as are new."""
    score = full_score()
    generator = stand_in("Parts")
    session = generator.start(score, Request(length="3bars", chords="piece"))
    assert session._variations[0].chords is not None
    sheet = session._variations[0].chords._sheet
    assert len(sheet.bars) == 3
    assert sheet.repeat_from == 0
    hole = generator.start(score, Request(cut_bar=2, until_bar=4, chords="piece"))
    assert hole._variations[0].chords is not None
    assert len(hole._variations[0].chords._sheet.bars) == 2


def test_chords_of_the_piece_need_a_piece() -> None:
    generator = stand_in("Parts")
    with pytest.raises(UserError, match="needs a piece with chords before the cut"):
        generator.start(None, Request(length="3bars", chords="piece"))


@pytest.mark.parametrize("settings", [{"chords": "Am"}, {"density": 1}, {"dynamics": -2}])
def test_chords_are_refused_for_weights_of_other_encodings(settings: dict[str, object]) -> None:
    generator = stand_in("REMI")
    with pytest.raises(UserError, match="these weights cannot follow chords"):
        generator.start(full_score(), Request(length="2bars", **settings))


def test_the_lowest_part_is_found() -> None:
    generator = stand_in("Parts")
    prompt = generator.start(full_score(), Request(length="2bars")).prompt
    assert lowest_part(PartsReader(generator.tokenizer.vocabulary), prompt.past_ids) == (33, 1)
