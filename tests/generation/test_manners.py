"""A long continuation changes its manner of playing from section to section, and comes back to the first."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import symusic

from helpers.composing import run, stand_in
from music_reformer.generation.director import HEARD_BARS, Director
from music_reformer.generation.generator import Generator
from music_reformer.generation.manners import END_BARS, SECTION_BARS, Manner, MannerPlan
from music_reformer.generation.request import Request, Wishes
from music_reformer.generation.variation import NewNote
from music_reformer.midi.form_plan import RecalledBar
from music_reformer.midi.parts_reader import PartsReader

QUIET = (48, 2)  # pitch and notes a bar
LOUD = (84, 8)
NEW = Request(length="48bars", form="new 48")


def piece(*sections: tuple[int, int], bars: int = HEARD_BARS) -> symusic.Score:
    """Sections of a piano in 4/4, an octave's broken chord each, so that the key stays."""
    score, track = symusic.Score(480), symusic.Track("piano", 0, False)
    for number, (pitch, per_bar) in enumerate(sections):
        step = 1920 // per_bar
        for note in range(bars * per_bar):
            tone = pitch + (0, 4, 7, 12)[note % 4]
            track.notes.append(symusic.Note((number * bars * 4) * 480 + note * step, step, tone, 80))
    score.tracks.append(track)
    return score


def manners_of(
    score: symusic.Score,
    num_bars: int,
    planned: list[RecalledBar | None] | None = None,
    *,
    ends: bool = False,
    variation: int = 0,
) -> list[Manner]:
    generator = stand_in("Parts")
    ids = np.array(generator.start(score, Request(length="1bars")).prompt.past_ids)
    plan = MannerPlan(PartsReader(generator.tokenizer.vocabulary), ids, planned or [], num_bars, ends=ends)
    return plan.of(variation)


def test_sections_alternate_between_the_last_bars_and_others() -> None:
    manners = manners_of(piece(LOUD, QUIET), 4 * SECTION_BARS)
    assert [each.first_bar for each in manners] == [SECTION_BARS, 2 * SECTION_BARS, 3 * SECTION_BARS]
    assert [each.heard_bar for each in manners] == [0, HEARD_BARS, 0]
    assert all(each.wishes == Wishes() for each in manners)


def test_a_second_contrast_differs_from_the_first_and_a_second_variation_begins_with_it() -> None:
    score = piece(LOUD, (60, 16), QUIET)
    for variation, expected in enumerate(([16, 32, 0], [0, 32, 16], [16, 32, 0])):
        manners = manners_of(score, 4 * SECTION_BARS, variation=variation)
        assert [each.heard_bar for each in manners] == expected


def test_a_piece_with_one_manner_is_changed_and_changed_back() -> None:
    manners = manners_of(piece(QUIET), 4 * SECTION_BARS)
    changed, home, otherwise = (each.wishes for each in manners)
    assert home == Wishes()
    assert changed.register == -otherwise.register != 0
    assert changed.density != 0


def test_bars_in_another_key_are_no_model() -> None:
    transposed = manners_of(piece((85, 8), QUIET), 2 * SECTION_BARS)
    assert [each.heard_bar for each in transposed] == [HEARD_BARS]
    assert transposed[0].wishes != Wishes()


def test_returning_bars_are_played_as_at_the_cut_and_new_ones_after_them_otherwise() -> None:
    planned: list[RecalledBar | None] = [RecalledBar(bar) for bar in range(16)]
    manners = manners_of(piece(LOUD, QUIET), 40, [*planned, *[None] * 8, *planned[:4]])
    assert [(each.first_bar, each.heard_bar) for each in manners] == [(16, 0), (24, HEARD_BARS), (28, 0)]


def test_after_a_short_return_the_manner_stays_for_the_first_sixteen_bars() -> None:
    planned: list[RecalledBar | None] = [RecalledBar(bar) for bar in range(4)]
    assert [each.first_bar for each in manners_of(piece(LOUD, QUIET), 40, planned)] == [20, 36]
    assert manners_of(piece(LOUD, QUIET), 16, planned) == []


@pytest.mark.parametrize("num_bars", [1, SECTION_BARS])
def test_a_short_continuation_has_one_manner(num_bars: int) -> None:
    assert manners_of(piece(LOUD, QUIET), num_bars) == []


def test_a_piece_ends_in_the_manner_of_the_cut() -> None:
    manners = manners_of(piece(LOUD, QUIET), 2 * SECTION_BARS, ends=True)
    assert [(each.first_bar, each.heard_bar) for each in manners] == [(16, 0), (32 - END_BARS, HEARD_BARS)]
    assert manners_of(piece(LOUD, QUIET), SECTION_BARS + END_BARS, ends=True) == []


def test_drums_alone_keep_their_manner() -> None:
    score = piece(LOUD, QUIET)
    score.tracks[0].is_drum = True
    assert manners_of(score, 4 * SECTION_BARS) == []


def composed(request: Request) -> list[NewNote]:
    generator = stand_in("Parts")
    return run(generator, generator.start(piece(LOUD, QUIET), request))


def bars_and_pitches(notes: list[NewNote]) -> list[tuple[int, float]]:
    """Number and mean pitch of the notes of each section of 16 bars of two seconds."""
    first = 2 * HEARD_BARS * 2
    found = []
    for start, end in pairwise(range(first, first + 4 * 32, 32)):
        pitches = [note.pitch for note in notes if start <= note.start_s < end]
        found.append((len(pitches), float(np.mean(pitches))))
    return found


def test_an_untrained_model_follows_the_manners() -> None:
    """Quiet as at the cut, then dense and high as at the beginning, then quiet again."""
    (few, low), (many, high), (again, low_again) = bars_and_pitches(composed(NEW))
    assert many > 2 * max(few, again)
    assert high > max(low, low_again) + 6


def test_without_a_form_the_manner_stays() -> None:
    (first, _), (second, _), (third, _) = bars_and_pitches(composed(Request(length="48bars", form=None)))
    assert max(first, second, third) < 2 * min(first, second, third)


@pytest.mark.parametrize("change", [{"density": 1}, {"key": "A minor"}, {"chords": "C | G"}])
def test_what_is_requested_is_not_changed(change: dict[str, int | str]) -> None:
    session = stand_in("Parts").start(piece(LOUD, QUIET), Request(length="48bars", **change))
    assert not session._variations[0].sections


def test_directions_change_with_the_manner() -> None:
    """The model reads the directions of the other bars behind the line of the first bar of the section."""
    generator: Generator = stand_in("Parts")
    generator.knows_names = True
    session = generator.start(piece(LOUD, QUIET), NEW)
    (variation,) = session._variations
    assert isinstance(variation.reminder, Director)
    told = [variation.reminder.directions]
    take, line = variation.take, generator.tokenizer.vocabulary.ids["Bar", (4, 4)]

    def follow(token: int) -> None:
        take(token)
        assert isinstance(variation.reminder, Director)
        if variation.reminder.directions != told[-1]:
            assert token == line
            assert variation.unread[1:] == variation.reminder.opening()
            told.append(variation.reminder.directions)

    variation.take = follow  # type: ignore[method-assign]
    run(generator, session)
    assert len(told) == 3
    assert told[0] == told[2] != told[1]
