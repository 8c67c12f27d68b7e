"""Pieces with an ending: a cadence, a last chord by all parts, and nothing after it."""

from __future__ import annotations

import numpy as np

from helpers.composing import stand_in
from helpers.stand_in_model import full_score
from music_reformer.generation.closing import Closing, cadence
from music_reformer.generation.generator import Generator
from music_reformer.generation.request import Request
from music_reformer.generation.session import Session
from music_reformer.midi.key import Key

BAR = 3 * 384  # ticks of a bar of `full_score`


def ended(generator: Generator, *, ending: bool, **settings: object) -> Session:
    session = generator.start(full_score(), Request(length="4bars", seed=3, ending=ending, **settings))
    for _ in generator.compose(session):
        pass
    return session


def knowing() -> Generator:
    """A generator that supports directions, with an untrained model."""
    generator = stand_in("Parts")
    generator.knows_names = True
    return generator


def test_the_last_two_bars_are_dominant_and_tonic() -> None:
    assert str(cadence(Key.parse("D major"), 4)) == "? | ? | A | D"
    assert str(cadence(Key.parse("C minor"), 2)) == "G | Cm"
    assert str(cadence(Key.parse("F major"), 1)) == "F"


def test_all_parts_play_once_in_the_last_bar_and_hold_their_note() -> None:
    last = (8 + 3) * BAR
    late = {True: 0, False: 0}
    for ending in (True, False):
        for track in (
            track for score in ended(knowing(), ending=ending, variations=6).scores for track in score.tracks
        ):
            onsets = [note.time for note in track.notes if note.time >= last]
            late[ending] += sum(onset > last for onset in onsets)
            if ending:
                assert last in onsets, track.name
                assert max(onsets) < last + BAR
    assert late[True] < 0.2 * late[False]


def test_only_the_last_bar_is_guided_to_lengths_that_fill_it() -> None:
    vocabulary = knowing().tokenizer.vocabulary
    ids = vocabulary.ids
    closing = Closing(vocabulary, metre=(4, 4), num_bars=2)

    def leans(kind: str, *values: int) -> list[float]:
        logits = np.zeros(len(vocabulary), np.float32)
        closing.lean(logits)
        return [float(logits[ids[kind, value]]) for value in values]

    assert leans("Position", 0, 24) == [0, 0]
    closing.take(ids["Bar", (4, 4)])
    closing.take(ids["Program", 0])
    assert leans("Position", 0, 24)[0] == 0 > leans("Position", 0, 24)[1]
    half, whole, longer = leans("Duration", 24, 96, 192)
    assert whole == 0 > max(half, longer)
    copied = closing.copy()
    closing.take(ids["Bar", (4, 4)])
    assert copied.active
    assert not closing.active


def test_requested_chords_stay_and_no_bar_returns_in_a_cadence() -> None:
    generator = knowing()
    asked = ended(generator, ending=True, chords="|: F :|")._variations[0]
    assert asked.chords is not None
    assert str(asked.chords._sheet) == "|: F :|"
    led = ended(generator, ending=True, form="1-4")._variations[0]
    assert led.recall is not None
    assert len(led.recall._plan) == 2
