"""The chords of new bars go on as those of the piece did, and no bar of a piece with chords is without."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from helpers.composing import run, stand_in
from helpers.songs import song
from helpers.stand_in_model import StandIn
from music_reformer.config import SamplingConfig, TokenizerConfig
from music_reformer.generation.generator import Generator
from music_reformer.generation.progression import Progression
from music_reformer.generation.request import Request
from music_reformer.midi.key import Key
from music_reformer.midi.modulation import Modulation
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.midi.vocabulary import Vocabulary

METRE = (4, 4)
VOCABULARY = stand_in("Parts").tokenizer.vocabulary
MAJOR = ("ChordQuality", 0)


def bars_of(*roots: int | None) -> list[int]:
    """BOS, bars with a major chord on each root and one note, and the line of the first new bar; None: no chord."""
    ids, stream = VOCABULARY.ids, [1]
    for root in roots:
        stream += [ids["Bar", METRE]] + ([ids["ChordRoot", root], ids[MAJOR]] if root is not None else [])
        stream += [ids["Program", 0], ids["Velocity", 63], ids["Duration", 24], ids["Pitch", 60]]
    return [*stream, ids["Bar", METRE]]


def progression(*roots: int | None, **settings: Any) -> Progression:
    return Progression(VOCABULARY, bars_of(*roots), metre=METRE, **settings)


def root_probabilities(followed: Progression, logits_V: np.ndarray | None = None) -> np.ndarray:
    """Of the twelve roots, for a model that gives all tokens the same logit, or these."""
    logits_V = np.zeros(len(VOCABULARY), np.float32) if logits_V is None else logits_V.copy()
    followed.lean(logits_V, np.ones(len(VOCABULARY), bool))
    exps = np.exp(logits_V[VOCABULARY.ids_of["ChordRoot"]])
    return exps / exps.sum()


def write(followed: Progression, root: int) -> None:
    """A bar with this chord, up to the line of the next one."""
    for kind, value in (("ChordRoot", root), MAJOR, ("Program", 0), ("Pitch", 60), ("Bar", METRE)):
        followed.take(VOCABULARY.ids[kind, value])


def test_a_loop_of_four_chords_continues() -> None:
    followed = progression(*[0, 9, 5, 7] * 8)
    for root in [0, 9, 5, 7] * 2:
        assert root_probabilities(followed).argmax() == root
        assert root_probabilities(followed)[root] > 0.8
        write(followed, root)


def test_a_short_piece_is_followed_less_closely() -> None:
    """What follows in a piece of eight bars is likelier than anything else, but a repetition as it is would be dull."""
    short = root_probabilities(progression(*[0, 9, 5, 7] * 2))
    assert short.argmax() == 0
    assert short[0] < 0.7 < root_probabilities(progression(*[0, 9, 5, 7] * 8))[0]


def test_a_model_that_would_stay_on_a_chord_is_led_on() -> None:
    """In the piece no chord stays for more than two bars; the model gives a third one 99 of 100."""
    followed = progression(*[0, 0, 5, 5] * 8)
    write(followed, 0)
    write(followed, 0)
    logits_V = np.zeros(len(VOCABULARY), np.float32)
    logits_V[VOCABULARY.ids["ChordRoot", 0]] = np.log(99 * 11)
    assert root_probabilities(followed, logits_V)[5] > 0.5


def test_a_chord_that_the_piece_does_not_have_remains_possible() -> None:
    logits_V, allowed_V = np.zeros(len(VOCABULARY), np.float32), np.zeros(len(VOCABULARY), bool)
    allowed_V[[*VOCABULARY.ids_of["ChordRoot"], *VOCABULARY.ids_of["NoChord"]]] = True
    progression(*[0, 9, 5, 7] * 8).lean(logits_V, allowed_V)
    exps = np.exp(logits_V) * allowed_V
    assert 0.003 < exps[VOCABULARY.ids["ChordRoot", 3]] / exps.sum() < 0.02


def test_leaning_keeps_the_probabilities_of_all_but_chords_and_programs() -> None:
    """Programs keep their probabilities relative to one another."""
    logits_V = np.random.default_rng(0).normal(size=len(VOCABULARY)).astype(np.float32)
    before = np.exp(logits_V - np.logaddexp.reduce(logits_V))
    followed = progression(*[0, 9, 5, 7] * 8)
    followed.take(VOCABULARY.ids["ChordRoot", 9])
    followed.take(VOCABULARY.ids[MAJOR])
    followed.lean(logits_V, np.ones(len(VOCABULARY), bool))
    after = np.exp(logits_V - np.logaddexp.reduce(logits_V))
    programs = VOCABULARY.ids_of["Program"]
    np.testing.assert_allclose(after[programs] / before[programs], after[programs[0]] / before[programs[0]], rtol=1e-4)
    assert after[programs].sum() > before[programs].sum()  # no bar of the piece has a second chord
    for kind in ("Tempo", "Pitch", "Duration"):
        np.testing.assert_allclose(after[VOCABULARY.ids_of[kind]], before[VOCABULARY.ids_of[kind]], rtol=1e-4)


def test_chords_are_written_before_notes_where_the_piece_has_them() -> None:
    everything = np.ones(len(VOCABULARY), bool)
    leaving = [*VOCABULARY.ids_of["Program"], *VOCABULARY.ids_of["Bar"]]
    followed = progression(0, 5)
    assert not followed.narrowed(everything)[leaving].any()
    followed.take(VOCABULARY.ids["ChordRoot", 5])
    assert followed.narrowed(everything).all()
    assert progression(None, None).narrowed(everything).all()


def test_in_another_key_chords_move_with_it() -> None:
    up = Modulation(Key.parse("C major"), Key.parse("D major"))
    followed = progression(*[0, 9, 5, 7] * 8, modulation=up)
    assert root_probabilities(followed).argmax() == 2
    write(followed, 2)
    assert root_probabilities(followed).argmax() == 11


def test_a_copied_progression_is_independent() -> None:
    followed = progression(*[0, 9, 5, 7] * 8)
    other = followed.copy()
    write(other, 0)
    assert root_probabilities(followed).argmax() == 0
    assert root_probabilities(other).argmax() == 9


def test_from_nothing_new_bars_take_the_place_of_the_piece_and_no_chord_stays_for_ever() -> None:
    followed = progression()
    assert followed.narrowed(np.ones(len(VOCABULARY), bool)).all()
    np.testing.assert_allclose(root_probabilities(followed), 1 / 12, rtol=1e-4)  # nothing to go by
    for root in [0, 9, 5, 7] * 2:
        write(followed, root)
    assert root_probabilities(followed).argmax() == 0
    for _ in range(6):
        write(followed, 0)
    assert root_probabilities(followed)[0] < 0.5
    assert not followed.narrowed(np.ones(len(VOCABULARY), bool)).all()  # chords have been written


def test_directions_are_not_taken_for_the_beginning_of_a_bar() -> None:
    """They name programs, and stand in front of the chords."""
    ids = VOCABULARY.ids
    directions = [ids["Directions", None], ids["Program", 0], ids["Music", None]]
    plain = bars_of(*[0, 9, 5, 7] * 8)
    line = plain.index(ids["Bar", METRE], 2) + 1
    directed = [*plain[:line], *directions, *plain[line:]]
    expected = root_probabilities(Progression(VOCABULARY, plain, metre=METRE))
    np.testing.assert_allclose(root_probabilities(Progression(VOCABULARY, directed, metre=METRE)), expected)


def chords_of_new_bars(generator: Generator, vocabulary: Vocabulary) -> list[int]:
    """How many chords the model has written in each new bar that is complete."""
    counts = [0]
    for (token,) in generator.decoder.steps:
        kind = vocabulary.kinds[token]
        if kind == "Bar":
            counts.append(0)
        counts[-1] += kind in ("ChordRoot", "NoChord")
    return counts[:-1]


@pytest.mark.parametrize("hold", [0.0, 1.0])
def test_every_new_bar_has_chords_unless_hold_is_zero(hold: float) -> None:
    """By a model that never writes chords if it can begin the notes."""
    tokenizer = MusicTokenizer(TokenizerConfig(encoding="Parts", use_chords=True))
    generator = Generator(StandIn(tokenizer), tokenizer)
    vocabulary = tokenizer.vocabulary
    generator.decoder.table[0][:, [*vocabulary.ids_of["ChordRoot"], *vocabulary.ids_of["NoChord"]]] -= 30
    request = Request(length="12bars", seed=3, sampling=SamplingConfig(hold=hold))
    run(generator, generator.start(song("AABA"), request))
    counts = chords_of_new_bars(generator, vocabulary)
    assert len(counts) >= 10
    assert (min(counts) > 0) == (hold > 0)


def test_chords_go_on_from_another_bar() -> None:
    """After a section in C, F and G, the chords go on as those of an earlier one did."""
    followed = progression(9, 2, 4, 9, 2, 4, 0, 5, 7, 0, 5, 7)
    assert root_probabilities(followed).argmax() == 0
    followed.go_on_from(5)  # A, D, E, A, D
    assert root_probabilities(followed).argmax() == 4
