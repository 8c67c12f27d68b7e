"""Opening a piece: the first view, good and bad files, names in files, and an empty piece."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from helpers import midi_bytes
from helpers.playing import played
from helpers.sheets import ABC, compressed, song
from helpers.visited_site import Site
from helpers.visitor import (
    BAD_FILES,
    WALTZ,
    download,
    drawn,
    kept,
    mark_bars,
    midi,
    notes_of,
    order,
    phase,
    until,
    until_remembered,
    upload,
)
from music_reformer.midi.examples import EXAMPLES


def test_the_first_view_says_what_to_do(visit: Callable[..., Any]) -> None:
    tab = visit()
    assert tab.is_visible("text=Choose a file")
    assert tab.locator("#examples button").count() == len(EXAMPLES) + 1
    assert tab.is_disabled("#compose")
    assert tab.locator("footer").count() == 0


def test_a_page_that_cannot_reach_its_server_says_so(chromium: Any, site: Site) -> None:
    context = chromium.new_context()
    tab = context.new_page()
    tab.route("**/setup", lambda route: route.abort())
    tab.goto(site.address)
    tab.wait_for_selector("#message:not([hidden])")
    assert tab.inner_text("#message p") == "The connection to the server was lost. Reload the page to continue."
    context.close()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("song.musicxml", song().encode()),
        pytest.param("song.mxl", compressed(song()), marks=pytest.mark.slow),
        pytest.param("song.abc", ABC.encode(), marks=pytest.mark.slow),
    ],
)
def test_sheet_music_is_opened_and_continued(visit: Callable[..., Any], name: str, content: bytes) -> None:
    tab = visit()
    upload(tab, midi(name, content))
    assert tab.inner_text("#piece-name") == "song"
    assert ("4/4" if name.endswith(".abc") else "3/4") in tab.inner_text("#piece-facts")  # not that of the pickup
    order(tab)
    phase(tab, "done")


def test_a_new_file_clears_what_the_old_one_left(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab)
    order(tab)
    phase(tab, "done")
    upload(tab, midi("second.mid", EXAMPLES["ground"].score().dumps_midi()))
    assert tab.inner_text("#piece-name") == "second"
    assert tab.locator(".card").count() == 0
    assert tab.inner_text("#result-text") == ""
    assert tab.inner_text("#cut") == "Continue here"
    mark_bars(tab, first=1, end=2)
    assert tab.is_disabled("#amount")
    tab.click("#start-over")
    phase(tab, "empty")
    assert tab.is_enabled("#amount")


def refused(tab: Any, kind: str) -> str:
    """Send a bad file; returns the sentence that the page shows, and closes the message."""
    tab.set_input_files("#file", midi("bad.mid", BAD_FILES[kind]))
    tab.wait_for_selector("#message:not([hidden])")
    sentence = str(tab.inner_text("#message p"))
    tab.click("#message button")
    tab.wait_for_selector("#message", state="hidden")
    return sentence


def test_a_bad_file_is_a_clear_message_and_nothing_else(visit: Callable[..., Any]) -> None:
    tab = visit()
    for kind in BAD_FILES:
        sentence = refused(tab, kind)
        assert 20 < len(sentence) < 200, kind
        assert sentence.endswith(".")
        assert "/" not in sentence
        assert "Traceback" not in sentence
        phase(tab, "empty")
        assert tab.is_visible("text=Choose a file")
    tab.set_input_files("#file", midi("bad.mid", BAD_FILES["not MIDI"]))
    tab.wait_for_selector("#message:not([hidden])")
    upload(tab)  # and the page goes on working
    assert tab.is_hidden("#message")


def test_a_bad_file_does_not_disturb_the_open_piece(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)
    site.generator.seconds = 100.0
    order(tab, bars=2, variations=2)
    for kind in ("not MIDI", "too large"):
        refused(tab, kind)
        phase(tab, "composing")
    site.generator.seconds = 0.1
    phase(tab, "done")
    assert tab.inner_text("#piece-name") == "my song"
    kept(tab, 2)
    for kind in ("not MIDI", "too large"):
        refused(tab, kind)
        phase(tab, "ready")
        assert tab.locator("#versions button").count() == 2


def test_repaired_faults_of_a_file_are_reported(visit: Callable[..., Any]) -> None:
    loud = midi_bytes.event(0, 0x90, 60, 255) + midi_bytes.event(90, 0x80, 60, 0)
    hanging = midi_bytes.event(0, 0x90, 48, 80)
    repaired = midi("old.mid", midi_bytes.midi(loud + hanging + midi_bytes.scale()))
    sentence = "Opened with small repairs: data bytes above 127 are read as 127; notes without an end were ended."
    tab = visit()
    upload(tab, repaired)
    assert tab.inner_text("#piece-repairs") == sentence
    assert tab.inner_text("#announcement").endswith(sentence)
    assert tab.is_hidden("#message")
    for width, height in ((1280, 800), (390, 844)):
        tab.set_viewport_size({"width": width, "height": height})
        drawn(tab)
        line, facts, roll = (tab.locator(each).bounding_box() for each in ("#piece-repairs", "#piece-facts", "#roll"))
        assert facts["y"] + facts["height"] <= line["y"]
        assert line["y"] + line["height"] <= roll["y"]
        assert line["x"] >= 0
        assert line["x"] + line["width"] <= width
    until_remembered(tab)
    tab.reload()
    phase(tab, "ready")
    assert tab.inner_text("#piece-repairs") == sentence
    upload(tab)
    assert tab.is_hidden("#piece-repairs")
    assert "repairs" not in tab.inner_text("#announcement")


DROP = """(names) => {
  const dataTransfer = new DataTransfer();
  const bytes = Uint8Array.from(atob(document.body.dataset.dropped), (letter) => letter.charCodeAt(0));
  for (const name of names) dataTransfer.items.add(new File([bytes], name));
  const event = new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true });
  document.querySelector('.masthead').dispatchEvent(event);
}"""


def test_several_files_become_a_piece_each(visit: Callable[..., Any]) -> None:
    tab = visit()
    ground = midi("second.mid", EXAMPLES["ground"].score().dumps_midi())
    tab.set_input_files("#file", [midi("first.mid"), midi("bad.mid", BAD_FILES["not MIDI"]), ground])
    tab.wait_for_selector("#message:not([hidden])")
    assert tab.inner_text("#message p").startswith("bad.mid: ")
    assert tab.inner_text("#announcement") == "2 pieces opened"
    assert tab.inner_text("#piece-name") == "first"
    order(tab, bars=2)
    phase(tab, "done")
    kept(tab, 1)
    tab.select_option("#pieces", label="second")
    until(tab, "document.querySelector('#piece-name').textContent === 'second'")
    assert tab.locator("#versions button").count() == 0
    until_remembered(tab)
    tab.reload()
    until(tab, "document.querySelectorAll('#pieces option').length === 2")
    tab.evaluate("(bytes) => { document.body.dataset.dropped = bytes; }", base64.b64encode(WALTZ.dumps_midi()).decode())
    tab.evaluate(DROP, ["third.mid", "fourth.mid"])
    until(tab, "document.querySelectorAll('#pieces option').length === 4")
    tab.select_option("#pieces", label="first")
    until(tab, "document.querySelectorAll('#versions button').length === 2")
    tab.click("#start-over")
    tab.wait_for_selector(".former")
    assert tab.is_hidden("#pieces")


def test_names_in_a_file_are_shown_as_plain_text(visit: Callable[..., Any]) -> None:
    score = WALTZ.copy()
    score.tracks[0].name = "<img src=x onerror=document.title='owned'>"
    tab = visit()
    upload(tab, midi("<b>bold</b>.mid", score.dumps_midi()))
    assert "<img src=x" in tab.inner_text("#tracks")
    assert tab.locator("#tracks img, #piece-name b").count() == 0
    assert tab.title() == "Music Reformer"


def test_bars_found_in_the_playing_are_told_of_and_can_be_refused(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab, midi("take.mid", played("evening")[0].dumps_midi()))
    assert tab.is_visible("#piece-bars")
    found = tab.inner_text("#piece-facts")
    tab.focus("#own-bars")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#piece-bars", state="hidden")
    assert tab.inner_text("#piece-name") == "take"
    assert "120 bpm" in tab.inner_text("#piece-facts") != found


def test_a_piece_is_composed_from_nothing(visit: Callable[..., Any]) -> None:
    tab = visit()
    tab.click("text=From nothing")
    phase(tab, "ready")
    assert tab.inner_text("#compose") == "Compose"
    assert tab.is_disabled("#play")
    order(tab, bars=2)
    phase(tab, "done")
    name, score = download(tab, 1)
    assert name.startswith("New piece")
    assert len(notes_of(score)) == 16
    assert tab.is_enabled("#play")
