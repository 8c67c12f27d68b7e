"""Steering: parts keep their density, polyphony, register and loudness, or change them as requested."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import symusic
from numpy.typing import NDArray

from helpers.composing import run, stand_in
from music_reformer.config import SamplingConfig
from music_reformer.generation.request import PartRequest, Request
from music_reformer.generation.steering import Steering
from music_reformer.generation.variation import NewNote
from music_reformer.midi.key import Key
from music_reformer.midi.playing_ranges import usual_range
from music_reformer.midi.tonality import usual_shares

BARS = 16
CLASSES = {0, 2, 7}  # C and D in the flute, C and G in the piano


def two_players(bars: int = 8) -> symusic.Score:
    """A flute in half notes and a piano in chords of two eighths apart, in 4/4, at velocity 60 and 72."""
    score = symusic.Score(480)
    flute, piano = symusic.Track("flute", 73, False), symusic.Track("piano", 0, False)
    for bar in range(bars):
        for half in range(2):
            flute.notes.append(symusic.Note((4 * bar + 2 * half) * 480, 960, 72 + 2 * half, 60))
        for beat in range(4):
            for step in (0, 7):
                piano.notes.append(symusic.Note((4 * bar + beat) * 480, 480, 48 + step, 72))
    score.tracks.extend([flute, piano])
    return score


def composed(seed: int = 1, *, steered: bool = True, **wishes: int | str) -> list[NewNote]:
    """Notes composed by an untrained model."""
    generator = stand_in("Parts")
    length = {} if "until_bar" in wishes else {"length": f"{BARS}bars"}
    session = generator.start(two_players(), Request(seed=seed, **length, **wishes))
    if not steered:
        for variation in session._variations:
            variation.steering = None
    return run(generator, session)


def at_once(notes: list[NewNote]) -> float:
    return len(notes) / len({(note.track, note.start_s) for note in notes})


MEASURES: dict[str, Callable[[list[NewNote]], float]] = {
    "density": len,
    "polyphony": at_once,
    "register": lambda notes: float(np.mean([note.pitch for note in notes])),
    "dynamics": lambda notes: float(np.mean([note.velocity for note in notes])),
}


@pytest.mark.parametrize("wish", MEASURES)
def test_requested_steps_raise_and_lower_each_measure(wish: str) -> None:
    """For both parts, compared with a composition without wishes."""
    less, same, more = (composed(**{wish: steps}) for steps in (-3, 0, 3))
    for track in (0, 1):
        few, some, many = (
            MEASURES[wish]([note for note in notes if note.track == track]) for notes in (less, same, more)
        )
        if not (wish == "polyphony" and track == 0):  # the flute plays one note at a time already
            assert few < some, track
        assert some < many, track


def test_parts_keep_their_density_and_velocity() -> None:
    """Notes per bar and velocity are nearer to the piece than by the same model without steering."""
    held, free = composed(), composed(steered=False)
    for track, density, velocity in ((0, 2, 60), (1, 8, 72)):
        errors = []
        for notes in (held, free):
            theirs = [note for note in notes if note.track == track]
            off = np.mean([abs(note.velocity - velocity) for note in theirs])
            errors.append((abs(np.log(len(theirs) / BARS / density)), off))
        (density_held, velocity_held), (density_free, velocity_free) = errors
        assert density_held < max(0.35, density_free)
        assert velocity_held < 0.6 * velocity_free


def test_without_hold_or_wishes_nothing_is_steered() -> None:
    generator = stand_in("Parts")
    loose = SamplingConfig(hold=0.0)
    session = generator.start(two_players(), Request(sampling=loose))
    assert session._variations[0].steering is None
    wished = generator.start(two_players(), Request(sampling=loose, density=1))
    assert isinstance(wished._variations[0].steering, Steering)
    for settings in ({}, {"register": 1}):
        hole = generator.start(two_players(), Request(cut_bar=2, until_bar=4, **settings))
        assert (hole._variations[0].steering is None) == (settings == {})


def test_a_copy_is_independent() -> None:
    generator = stand_in("Parts")
    session = generator.start(two_players(), Request(density=2))
    steering = session._variations[0].steering
    assert steering is not None
    vocabulary = generator.tokenizer.vocabulary

    def lean(one: Steering) -> np.ndarray:
        logits = np.zeros(len(vocabulary), np.float32)
        one.lean(logits)
        return logits

    before = lean(steering)
    other = steering.copy()
    for token in ("Bar", (4, 4)), ("Program", 0), ("Velocity", 63), ("Duration", 24), ("Pitch", 90):
        other.take(vocabulary.ids[token])
    assert np.array_equal(lean(steering), before)
    assert not np.array_equal(lean(other), before)


def test_the_level_of_a_new_part_is_estimated_from_the_others() -> None:
    new = [PartRequest(program=73), PartRequest(program=42), PartRequest(program=-1)]
    steering = stand_in("Parts").start(two_players(), Request(parts=new))._variations[0].steering
    assert steering is not None
    wanted = steering._wanted
    assert wanted[73, 2] == wanted[73, 1]
    cello, (low, high) = wanted[42, 1], usual_range(42)
    assert low < cello.pitch < high
    assert cello.at_once == 1
    flute, piano = wanted[73, 1], wanted[0, 1]
    assert flute.density <= cello.density <= piano.density / piano.at_once
    assert flute.velocity <= cello.velocity <= piano.velocity
    assert (-1, 1) not in wanted  # nothing says what drums would do


def test_a_piece_from_nothing_is_composed_without_steering() -> None:
    generator = stand_in("Parts")
    notes = run(generator, generator.start(None, Request(length="4bars", programs=[0], density=2)))
    assert notes


def test_pitch_classes_and_positions_come_as_often_as_they_did() -> None:
    """Compared with the same model without steering: notes outside the piece's pitch classes, and off its quarters."""

    def distance(notes: list[NewNote]) -> tuple[float, float]:
        flute = [note.pitch % 12 for note in notes if note.track == 0]
        piano = [note.start_s % 0.5 for note in notes if note.track == 1]
        foreign = np.mean([pitch_class not in CLASSES for pitch_class in flute])
        off_the_beat = np.mean([min(time, 0.5 - time) > 1e-3 for time in piano])
        return float(foreign), float(off_the_beat)

    held, held_off = distance([note for seed in (1, 2, 3) for note in composed(seed)])
    free, free_off = distance([note for seed in (1, 2, 3) for note in composed(seed, steered=False)])
    assert held < free
    assert held_off < free_off


@pytest.mark.parametrize("bars", [{}, {"cut_bar": 1, "until_bar": 7}], ids=["new bars", "hole"])
def test_in_a_requested_key_pitch_classes_come_as_often_as_is_usual_there(bars: dict[str, int]) -> None:
    """The distance of their shares from the usual ones, by an untrained model."""
    usual = usual_shares(Key.parse("B minor"))

    def distance(*, steered: bool) -> float:
        notes = [note for seed in (1, 2, 3) for note in composed(seed, steered=steered, key="B minor", **bars)]
        sounding = np.zeros(12)
        for note in notes:
            sounding[note.pitch % 12] += note.end_s - note.start_s
        return float(np.abs(sounding / sounding.sum() - usual).sum())

    assert distance(steered=True) < 0.5 * distance(steered=False)


def test_durations_come_as_often_as_they_did() -> None:
    """After some bars of short notes, a flute that has played half notes leans to these, and away from short ones."""
    generator = stand_in("Parts")
    session = generator.start(two_players(), Request(length=f"{BARS}bars"))
    steering, ids = session._variations[0].steering, generator.tokenizer.vocabulary.ids
    assert steering is not None

    def lean(*tokens: tuple[str, object]) -> NDArray[np.float32]:
        for token in tokens:
            steering.take(ids[token])
        logits_V = np.zeros(len(ids), np.float32)
        steering.lean(logits_V)
        return logits_V

    half, eighth = ids["Duration", 48], ids["Duration", 12]
    begin = [("Program", 73), ("Velocity", 63)]
    before = lean(*begin)
    assert abs(before[half] - before[eighth]) < 0.1
    for _ in range(6):
        steering_bar = [("Duration", 12), ("Pitch", 72), ("Position", 48), ("Pitch", 74), ("Bar", (4, 4))]
        lean(*steering_bar, *begin)
    after = lean()
    assert after[half] - after[eighth] > 2
    stays = lean(("Duration", 12), ("Pitch", 72), ("Position", 48))  # without a new duration the note is an eighth
    assert stays[half] == pytest.approx(after[half] - after[eighth], abs=0.3)


def test_wishes_for_parts_do_not_change_the_probability_of_chords() -> None:
    """Before the first part of a bar, the programs and the bar line keep their probability together."""
    generator = stand_in("Parts")
    session = generator.start(two_players(), Request(length=f"{BARS}bars", density=-4))
    steering, vocabulary = session._variations[0].steering, generator.tokenizer.vocabulary
    assert steering is not None
    logits_V = np.random.default_rng(0).normal(size=len(vocabulary)).astype(np.float32)
    before, ends = logits_V.copy(), [*vocabulary.ids_of["Program"], *vocabulary.ids_of["Bar"]]
    steering.lean(logits_V)
    assert not np.allclose(logits_V[ends], before[ends], atol=0.1)
    np.testing.assert_allclose(np.logaddexp.reduce(logits_V[ends]), np.logaddexp.reduce(before[ends]), rtol=1e-4)


@pytest.mark.parametrize("steps", [-2, 2])
def test_a_wish_for_dynamics_outweighs_a_model_that_is_sure_of_one_velocity(steps: int) -> None:
    """It gives the flute's velocity, and the piano's, a thousand times the probability of all others."""
    generator = stand_in("Parts")
    vocabulary = generator.tokenizer.vocabulary
    ids = np.array(vocabulary.ids_of["Velocity"])
    values = np.array([vocabulary.values[token] for token in ids])
    for velocity in (60, 72):
        generator.decoder.table[0][:, ids[np.abs(values - velocity).argmin()]] += np.log(1000 * len(ids))
    notes = run(generator, generator.start(two_players(), Request(length=f"{BARS}bars", dynamics=steps)))
    for track, velocity in ((0, 60), (1, 72)):
        mean = np.mean([note.velocity for note in notes if note.track == track])
        assert np.sign(steps) * (mean - velocity) > 8


def test_a_part_does_not_settle_on_one_pitch() -> None:
    """A model that prefers one pitch plays it hardly more often than the piece played any, and freely without it."""

    def share_of_favourite(*, steered: bool) -> float:
        generator = stand_in("Parts")
        session = generator.start(two_players(), Request(length="80bars", form=None, programs=[73]))
        (variation,) = session._variations
        assert variation.steering is not None
        variation.steering._classes = None  # it would help
        if not steered:
            variation.steering._repeats.clear()
        lean, favourite = variation.lean, generator.tokenizer.vocabulary.ids["Pitch", 72]

        def prefer(logits_V: NDArray[np.float32], allowed_V: NDArray[np.bool_]) -> None:
            logits_V[favourite] += 3.0
            lean(logits_V, allowed_V)

        variation.lean = prefer  # type: ignore[method-assign]
        notes = run(generator, session)
        return float(np.mean([note.pitch == 72 for note in notes[-60:]]))

    assert share_of_favourite(steered=True) < 0.75 < 0.85 < share_of_favourite(steered=False)


def test_a_steering_goes_on_where_another_has_come() -> None:
    """Behind a bar line, the one taking over knows what was played last, and counts no note as missing."""
    generator = stand_in("Parts")
    session = generator.start(two_players(), Request(length="8bars", form=None))
    (variation,) = session._variations
    fresh = variation.steering
    assert fresh is not None
    fresh = fresh.copy()
    run(generator, session)
    used = variation.steering
    assert used is not None
    taken = fresh.going_on(used)
    assert taken._played == used._played != fresh._played
    assert not any(taken._missing.values())
    for part, repeats in taken._repeats.items():
        assert np.array_equal(repeats._lately, used._repeats[part]._lately)
        assert np.isclose(taken._lengths[part]._come.sum(), fresh._lengths[part]._come.sum())
