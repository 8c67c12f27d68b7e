"""Playing through a MIDI port, with a stand-in for the browser's devices."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import symusic

from helpers.audio_clock import BEATS, LISTEN, beaten_score, clicks_and_notes
from helpers.midi_devices import PLUG_IN, Sent, choose_port, forget, messages
from helpers.visitor import level, midi, until, until_level, upload

NOTE_OFF, NOTE_ON, CONTROLLER, PROGRAM = 0x80, 0x90, 0xB0, 0xC0
POSITION, CLOCK, START, CONTINUE, STOP = 0xF2, 0xF8, 0xFA, 0xFB, 0xFC
ENDED = "!document.body.hasAttribute('data-playing')"
NOW = "Number(document.querySelector('#roll').getAttribute('aria-valuenow'))"


def of(kind: int, sent: list[Sent]) -> list[Sent]:
    return [message for message in sent if message.kind == kind]


def test_a_browser_without_midi_says_so_and_offers_nothing(visit: Callable[..., Any]) -> None:
    tab = visit(script="delete Navigator.prototype.requestMIDIAccess;")
    upload(tab)
    tab.click("#midi summary")
    assert tab.inner_text("#midi-said") == "This browser has no Web MIDI: Chrome, Edge, Opera and Firefox have it."
    assert tab.is_hidden("#midi-open")
    assert tab.is_hidden("#midi-ports")


def test_midi_devices_are_requested_only_on_a_click_and_refusal_is_reported(visit: Callable[..., Any]) -> None:
    refuse = "navigator.requestMIDIAccess = async () => { asked++; throw new DOMException('no', 'NotAllowedError'); };"
    tab = visit(script=f"{PLUG_IN}{refuse}")
    upload(tab)
    tab.click("#midi summary")
    assert tab.evaluate("asked") == 0
    tab.click("#midi-open")
    assert tab.inner_text("#midi-said").startswith("The browser did not allow MIDI devices.")
    assert tab.evaluate("asked") == 1
    assert tab.is_hidden("#midi-ports")
    assert tab.evaluate("document.featurePolicy.allowsFeature('midi')"), "the page's own headers allow it"


def test_notes_and_clock_go_to_the_port_in_time(visit: Callable[..., Any]) -> None:
    """The oracle is the file, its notes and its tempo map, and what the synthesizer was sent."""
    score = beaten_score()
    tab = visit(script=LISTEN + PLUG_IN)
    upload(tab, midi("beats.mid", bytes(score.dumps_midi())))
    choose_port(tab)
    assert tab.inner_text("#announcement") == "The music plays through Rack"
    tab.check("#midi-clock")
    forget(tab)
    tab.evaluate("heard.notes.length = 0")
    tab.click("#play")
    until(tab, "heard.notes.length > 3")
    assert level(tab) == 0, "the page itself is silent"
    until(tab, ENDED)
    sent = messages(tab)
    assert (PROGRAM, 115) in [(message.kind, message.data[1]) for message in of(PROGRAM, sent)]
    played = of(NOTE_ON, sent)
    _, heard = clicks_and_notes(tab)
    assert len(played) == len(of(NOTE_OFF, sent)) == BEATS
    begin = played[0].time
    # To twenty milliseconds: the browser tells the clock of its sound anew for each block of samples.
    assert [note.time - begin for note in played] == pytest.approx([time - heard[0][0] for time, _ in heard], abs=2e-2)
    ahead = sorted(message.time - message.left for message in played)
    assert ahead[BEATS // 2] > 0.02, "ahead of their time, where the machine is not too busy"
    check_clock(sent, score, begin)
    assert messages(tab, "DAW") == []


def check_clock(sent: list[Sent], score: symusic.Score, begin: float) -> None:
    """24 clocks in each quarter of the score, the first as the music begins, between a start and a stop."""
    clocks = [message.time - begin for message in of(CLOCK, sent)]
    seconds = score.to("second", 0)
    starts = {note.time: at.time for note, at in zip(score.tracks[0].notes, seconds.tracks[0].notes, strict=True)}
    for tick, second in starts.items():
        assert clocks[tick * 24 // 480] == pytest.approx(second, abs=2e-2), tick
    kinds = [message.kind for message in sent if message.kind in (START, CONTINUE, STOP)]
    assert kinds == [START, STOP]
    assert all(later >= earlier for earlier, later in itertools.pairwise(clocks))


@pytest.mark.slow
def test_stopping_seeking_muting_and_unplugging_end_all_notes(visit: Callable[..., Any]) -> None:
    tab = visit(script=PLUG_IN)
    long = symusic.Score(480)
    long.tempos.append(symusic.Tempo(0, 30))  # a busy machine is in time, too
    for name, pitch in (("High", 76), ("Low", 52)):
        track = symusic.Track(name, 0, False)
        track.notes.extend([symusic.Note(bar * 1920, 1900, pitch, 90) for bar in range(60)])
        long.tracks.append(track)
    upload(tab, midi("long.mid", bytes(long.dumps_midi())))
    choose_port(tab)
    tab.check("#midi-clock")
    tab.click("#play")
    until(tab, "sent.filter(([, data]) => (data[0] & 0xf0) === 0x90).length === 2")
    forget(tab)
    tab.click("[aria-label='Mute High']")
    ends = {message.data[1] for message in of(NOTE_OFF, messages(tab)) if message.time - message.left < 0.1}
    assert ends == {76}
    assert (CONTROLLER, 123) in {message.data[:2] for message in messages(tab)}
    forget(tab)
    tab.focus("#roll")
    tab.keyboard.press("ArrowRight")
    until(tab, "sent.some(([, data]) => data[0] === 0xfb)")
    kinds = [message.kind for message in messages(tab)]
    assert kinds.index(STOP) < kinds.index(POSITION) < kinds.index(CONTINUE)
    (position,) = of(POSITION, messages(tab))
    assert (position.data[1] + position.data[2] * 128) % 16 == 0, "a bar line"
    assert {message.data[1] for message in of(NOTE_OFF, messages(tab))} >= {52}
    until(tab, "sent.some(([, data]) => (data[0] & 0xf0) === 0x90)")
    assert {message.data[1] for message in of(NOTE_ON, messages(tab))} == {52}
    forget(tab)
    tab.click("#play")
    sent = messages(tab)
    (stop,) = of(STOP, sent)
    assert of(NOTE_OFF, sent)
    assert {message.data[1:] for message in of(CONTROLLER, sent)} >= {(64, 0), (123, 0)}
    tab.wait_for_timeout(300)
    assert not of(NOTE_ON, messages(tab))
    assert not [message for message in of(CLOCK, messages(tab)) if message.left > stop.left]
    tab.evaluate("unplug('Rack')")
    assert tab.inner_text("#announcement") == "Rack was unplugged; the music plays on this page"
    tab.click("#play")
    until_level(tab, "> 0.005")


@pytest.mark.slow
def test_volume_and_pan_reach_the_port_and_it_is_remembered(visit: Callable[..., Any]) -> None:
    tab = visit(script=PLUG_IN)
    upload(tab, midi("beats.mid", bytes(beaten_score().dumps_midi())))
    choose_port(tab, "DAW")
    tab.check("#midi-also-here")
    tab.keyboard.press("Escape")
    tab.click("#tracks .track-name")
    tab.focus("[aria-label='Volume of Beats']")
    tab.keyboard.press("Home")
    tab.focus("[aria-label='Pan of Beats']")
    tab.keyboard.press("End")
    tab.click("#play")
    until(tab, "sent.some(([, data]) => (data[0] & 0xf0) === 0x90)")
    last = {message.data[1]: message.data[2] for message in of(CONTROLLER, messages(tab, "DAW"))}
    assert (last[7], last[10]) == (0, 127)
    tab.focus("[aria-label='Volume of Beats']")
    tab.keyboard.press("End")
    assert {message.data[1]: message.data[2] for message in of(CONTROLLER, messages(tab, "DAW"))}[7] == 127
    until_level(tab, "> 0.003")  # here as well
    tab.reload()
    until(tab, "document.body.dataset.phase === 'ready'")
    assert tab.evaluate("asked") == 0
    tab.click("#midi summary")
    tab.click("#midi-open")
    until(tab, "document.querySelector('#midi-output').value === 'DAW'")
    assert tab.is_checked("#midi-also-here")
