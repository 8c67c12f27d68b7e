"""Metronome and count-in, by the audio clock; volume and pan of tracks."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from helpers.audio_clock import BEATS, LISTEN, beaten_score, clicks_and_notes, sent_at
from helpers.visitor import export, midi, until, until_level, upload

ENDED = "!document.body.hasAttribute('data-playing')"


def play_to_the_end(tab: Any) -> None:
    tab.evaluate("heard.clicks.length = heard.notes.length = 0")
    tab.keyboard.press("Home")
    tab.click("#play")
    until(tab, ENDED)


def test_clicks_are_in_time_with_the_notes(visit: Callable[..., Any]) -> None:
    """The oracle is the file: it has a note on every beat, in three metres and three tempos."""
    tab = visit(script=LISTEN)
    upload(tab, midi("beats.mid", bytes(beaten_score().dumps_midi())))
    play_to_the_end(tab)
    assert clicks_and_notes(tab)[0] == [], "no metronome unless it is asked for"
    tab.focus("#roll")
    tab.keyboard.press("c")
    assert tab.inner_text("#announcement") == "Metronome on"
    tab.select_option("#speed", "1.5")
    play_to_the_end(tab)
    clicks, notes = clicks_and_notes(tab)
    assert len(notes) == BEATS
    assert [first for _, first in clicks[:BEATS]] == [first for _, first in notes]
    for (click, _), (note, _), sent in zip(clicks, notes, sent_at(tab), strict=False):
        is_late = note < click <= sent  # a busy machine sends it when it is due already
        assert click == pytest.approx(note, abs=2e-4) or is_late
    assert notes[1][0] - notes[0][0] == pytest.approx(60 / 240 / 1.5, abs=2e-4)


@pytest.mark.slow
def test_with_count_in_one_bar_of_clicks_precedes_the_music(visit: Callable[..., Any]) -> None:
    tab = visit(script=LISTEN)
    upload(tab, midi("beats.mid", bytes(beaten_score().dumps_midi())))
    tab.keyboard.press("i")
    assert tab.inner_text("#announcement") == "Count-in on"
    play_to_the_end(tab)
    clicks, notes = clicks_and_notes(tab)
    assert [first for _, first in clicks] == [True, False, False, False], "the metronome itself is off"
    assert [time for time, _ in clicks] == pytest.approx([notes[0][0] - (4 - beat) / 4 for beat in range(4)], abs=2e-4)
    tab.reload()
    until(tab, "document.body.dataset.phase === 'ready'")
    assert tab.get_attribute("#count-in", "aria-pressed") == "true", "it is remembered"
    assert tab.get_attribute("#metronome", "aria-pressed") == "false"
    # From bar 3, which is in 3/4 and slower, at the speed that is chosen.
    tab.evaluate("heard.clicks.length = heard.notes.length = 0")
    tab.select_option("#speed", "0.5")
    tab.focus("#roll")
    for _ in range(2):
        tab.keyboard.press("ArrowRight")
    tab.click("#play")
    until(tab, "heard.notes.length > 0")
    clicks, notes = clicks_and_notes(tab)
    assert [first for _, first in clicks] == [True, False, False]
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise([*clicks, notes[0]])]
    assert gaps == pytest.approx([60 / 150 / 0.5] * 3, abs=2e-4)


@pytest.mark.slow
def test_the_metronome_is_heard_by_itself_and_ends_at_once(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab, midi("beats.mid", bytes(beaten_score().dumps_midi())))
    tab.keyboard.press("l")  # for as long as it takes
    tab.click("[aria-label='Mute Beats']")
    tab.click("#play")
    tab.click("#metronome")
    until_level(tab, "> 0.005")
    tab.click("#metronome")
    until_level(tab, "< 1e-4")
    assert tab.get_attribute("#play", "aria-label") == "Pause"


@pytest.mark.slow
def test_volume_and_pan_of_a_track(visit: Callable[..., Any]) -> None:
    """In the sound of the page and in the WAV file."""
    tab = visit()
    upload(tab, midi("beats.mid", bytes(beaten_score().dumps_midi())))

    def sides() -> tuple[int, int]:
        samples = memoryview(export(tab, "wav")[1][44:]).cast("h")
        return max(map(abs, samples[::2])), max(map(abs, samples[1::2]))

    left, right = sides()
    tab.click("#tracks .track-name")
    assert tab.get_attribute("#tracks .track-name", "aria-expanded") == "true"
    tab.focus("[aria-label='Pan of Beats']")
    tab.keyboard.press("Home")
    assert tab.get_attribute("[aria-label='Pan of Beats']", "aria-valuetext") == "64 left"
    panned = sides()
    assert panned[1] < 0.1 * right < left
    tab.focus("[aria-label='Volume of Beats']")
    tab.keyboard.press("Home")
    assert max(sides()) == 0
    tab.keyboard.press("l")
    tab.click("#play")
    until(tab, "Number(document.querySelector('#roll').getAttribute('aria-valuenow')) > 0.5")
    until_level(tab, "< 1e-4")
    tab.focus("[aria-label='Volume of Beats']")
    tab.keyboard.press("End")
    until_level(tab, "> 0.005")
