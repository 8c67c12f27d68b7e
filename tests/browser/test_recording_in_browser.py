"""Recording from a stand-in for a MIDI keyboard, and from the computer's own keyboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import symusic

from helpers.audio_clock import LISTEN
from helpers.midi_devices import PLUG_IN
from helpers.visitor import BAR_SECONDS, WALTZ, export, notes_of, order, phase, tree, until, until_level, upload

# Plays notes [pitch, begin, end], with the pedal from and to (or null), in seconds of the audio clock after a click.
PLAY = """([click, notes, pedal]) => {
  const begin = heard.clicks[click][0];
  const at = (seconds) => pageTime(begin + seconds);
  const events = notes.flatMap(([pitch, from, to]) => [[from, [0x90, pitch, 90]], [to, [0x90, pitch, 0]]]);
  if (pedal) events.push([pedal[0], [0xb0, 64, 127]], [pedal[1], [0xb0, 64, 0]]);
  for (const [seconds, data] of events.sort((a, b) => a[0] - b[0])) press(data, at(seconds));
}"""


def exported(tab: Any) -> symusic.Score:
    return symusic.Score.from_midi(export(tab, "whole")[1])


def choose_keyboard(tab: Any, *, grid: str = "Off") -> None:
    tab.click("#midi summary")
    tab.click("#midi-open")
    tab.select_option("#midi-input", "Keys")
    tab.select_option("#record-grid", label=grid)
    tab.click("#midi summary")


def test_a_piece_begins_by_playing(visit: Callable[..., Any]) -> None:
    """At a tempo and in a metre, after a bar of count-in, quantised; and then it is continued."""
    tab = visit(script=LISTEN + PLUG_IN)
    tab.click("text=From nothing")
    phase(tab, "ready")
    tab.select_option("#metre", "3/4")
    tab.fill("#tempo", "150")
    tab.click("#record")
    tab.wait_for_selector("#midi-said", state="visible")
    assert tab.inner_text("#midi-said") == "Choose what you play on, then record."
    tab.click("#midi summary")
    choose_keyboard(tab, grid="1/8")
    tab.focus("#roll")
    tab.keyboard.press("r")
    assert tab.inner_text("#announcement") == "Recording from bar 1 beat 1, after a bar of count-in"
    until(tab, "heard.clicks.length > 9")
    assert [first for _, first, _ in tab.evaluate("heard.clicks")][:7] == [True, False, False] * 2 + [True]
    # A key in the count-in is not recorded; one a little early belongs to the first beat; the pedal holds the third.
    rows = [[40, -0.9, -0.7], [60, -0.05, 0.3], [64, 0.43, 0.7], [67, 0.83, 0.9]]
    tab.evaluate(PLAY, [3, rows, [0.85, 2.0]])
    assert tab.get_attribute("#record", "aria-pressed") == "true"
    seen = tab.evaluate("phases.length")
    tab.keyboard.press("r")
    until(tab, f"phases.slice({seen}).includes('opening') && document.body.dataset.phase === 'ready'")
    assert tab.inner_text("#piece-name") == "Recording"
    assert "3/4 · 150 bpm" in tab.inner_text("#piece-facts")
    score = exported(tab)
    assert [(note.time, note.pitch) for note in score.tracks[0].notes] == [(0, 60), (480, 64), (960, 67)]
    assert score.tracks[0].notes[2].duration == pytest.approx((2.0 - 0.83) * 150 / 60 * 480, abs=12)
    order(tab, bars=2)
    phase(tab, "done")
    assert tab.get_attribute("#metronome", "aria-pressed") == "false"
    tab.evaluate("heard.clicks.length = 0")
    tab.click("#play")
    until_level(tab, "> 0.003")
    assert tab.evaluate("heard.clicks.length") == 0, "the metronome was lent to the recording"


@pytest.mark.slow
def test_notes_are_recorded_onto_a_track_of_the_piece(visit: Callable[..., Any]) -> None:
    """From the bar of the playhead on, of a variation too, which becomes the piece; unquantised, and undone at once."""
    tab = visit(script=LISTEN + PLUG_IN)
    upload(tab)
    order(tab, bars=1)
    phase(tab, "done")
    choose_keyboard(tab)
    tab.click("#midi summary")
    tab.select_option("#record-track", label="Left hand")
    tab.click("#midi summary")
    tab.focus("#roll")
    tab.keyboard.press("Home")
    for _ in range(2):
        tab.keyboard.press("ArrowRight")
    tab.click("#record")
    until(tab, "heard.clicks.length > 5")
    tab.evaluate(PLAY, [3, [[31, 0.1, 0.4], [33, 0.6, 0.9]], None])
    tab.click("#record")
    until(tab, "document.querySelectorAll('#versions button').length === 3")
    assert tab.inner_text("#announcement") == "Recorded 2 notes"
    assert tree(tab)[-1] == "Edited"
    score = exported(tab)
    left = score.tracks[1]
    ticks = 480 * 132 / 60  # of a second
    added = [note for note in left.notes if note.pitch in (31, 33)]
    expected = [(2 * BAR_SECONDS + seconds) * ticks for seconds in (0.1, 0.6)]
    assert [note.time * 480 / score.ticks_per_quarter for note in added] == pytest.approx(expected, abs=12)
    assert set(notes_of(WALTZ)) < set(notes_of(score))
    tab.keyboard.press("Control+z")
    until(tab, "document.querySelectorAll('#versions [aria-current]')[0]?.textContent === '+ 1 bar'")
    assert len(notes_of(exported(tab))) == len(notes_of(score)) - 2


@pytest.mark.slow
def test_the_computers_keyboard_is_a_piano(visit: Callable[..., Any]) -> None:
    """Without MIDI; meanwhile, letters are not shortcuts. Notes sound, whether recorded or not."""
    tab = visit(script=f"{LISTEN} delete Navigator.prototype.requestMIDIAccess;")
    upload(tab)
    tab.click("#midi summary")
    tab.select_option("#midi-input", "computer")
    tab.keyboard.press("Escape")
    tab.click("#midi summary")
    tab.focus("#roll")
    tab.keyboard.down("l")
    until_level(tab, "> 0.003")
    tab.keyboard.up("l")
    assert tab.get_attribute("#loop", "aria-pressed") == "false"
    tab.keyboard.press("x")
    assert tab.inner_text("#announcement") == "From C 5"
    tab.click("[aria-label='Mute Right hand']")
    tab.click("[aria-label='Mute Left hand']")
    tab.focus("#roll")
    tab.keyboard.press("r")
    until(tab, "Number(document.querySelector('#roll').getAttribute('aria-valuenow')) > 0.2")
    tab.keyboard.down("d")
    until_level(tab, "> 0.003")
    tab.keyboard.up("d")
    tab.keyboard.press("r")
    until(tab, "document.querySelectorAll('#versions button').length === 2")
    assert [note.pitch for note in exported(tab).tracks[0].notes if note.pitch == 76 and note.velocity == 90]


@pytest.mark.slow
def test_opening_another_piece_ends_a_recording(visit: Callable[..., Any]) -> None:
    tab = visit(script=LISTEN + PLUG_IN)
    upload(tab)
    choose_keyboard(tab)
    tab.click("#record")
    until(tab, "heard.clicks.length > 3")
    tab.evaluate(PLAY, [3, [[31, 0.1, 0.4]], None])
    upload(tab, None)
    assert tab.get_attribute("#record", "aria-pressed") == "false"
    assert notes_of(exported(tab)) == notes_of(WALTZ)
    tab.click("#record")
    until(tab, "document.body.hasAttribute('data-playing')")
    tab.click("#play")
    assert tab.inner_text("#announcement") == "Nothing was recorded"
    assert tab.get_attribute("body", "data-phase") == "ready"
