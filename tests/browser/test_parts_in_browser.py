"""Single parts and notes: parts that rest or stay, wishes for a part, another track of an instrument, locked notes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import symusic

from helpers.visited_site import Site
from helpers.visitor import WALTZ, begin, copied_link, download, mark_bars, midi, order, phase, upload
from music_reformer.generation.request import PartRequest
from music_reformer.midi.examples import EXAMPLES

MELODY, PIANO, BASS = 0, 1, 2  # tracks of the song
BAR = 3 * 480  # of the waltz


def choose(tab: Any, part: str) -> None:
    tab.select_option("#part", label=part)


def test_one_part_rests_another_is_denser_and_an_instrument_gets_a_further_track(
    visit: Callable[..., Any], site: Site
) -> None:
    tab = visit()
    song = EXAMPLES["evening"].score()
    upload(tab, midi("evening.mid", song.dumps_midi()))
    assert tab.is_hidden("#part")  # as calm as it was
    tab.click("#steering summary")
    assert tab.is_hidden("#part-role")
    tab.focus("#density")
    tab.keyboard.press("ArrowRight")
    tab.focus("#part")
    tab.keyboard.press("ArrowDown")  # by the keyboard, too
    assert tab.evaluate("document.querySelector('#part').selectedOptions[0].text") == song.tracks[MELODY].name
    assert tab.input_value("#density") == "0"
    assert tab.inner_text("output[for=density]") == "as all"
    tab.focus("#dynamics")
    tab.keyboard.press("ArrowLeft")
    choose(tab, song.tracks[BASS].name)
    tab.select_option("#part-role", "rest")
    assert tab.inner_text("#parts-note") == "Melody differs; Bass rests."
    choose(tab, "All parts")
    assert tab.input_value("#density") == "1"
    tab.select_option("#add-instrument", label="Acoustic Grand Piano")
    assert tab.locator("#instruments label:has-text('new track')").count() == 1
    order(tab, bars=2)
    phase(tab, "done")
    asked = site.generator.requests[-1]
    assert (asked.density, asked.programs) == (1, [])
    expected = [PartRequest(track=MELODY, dynamics=-1), PartRequest(track=BASS, role="rest"), PartRequest(program=0)]
    assert asked.parts == expected
    link = copied_link(tab)
    written = download(tab, 1)[1]
    assert len(written.tracks[BASS].notes) == len(song.tracks[BASS].notes)
    assert [track.program for track in written.tracks] == [*(track.program for track in song.tracks), 0]
    again = visit(address=link)
    phase(again, "ready")
    begin(again)
    phase(again, "done")
    assert site.generator.requests[-1].parts == expected


def test_locked_notes_and_a_part_that_stays_survive_where_bars_are_composed_anew(
    visit: Callable[..., Any], site: Site
) -> None:
    tab = visit()
    upload(tab)
    tab.click("#edit")
    tab.keyboard.press("Control+a")
    tab.keyboard.press("k")
    assert tab.inner_text("#edit-said").startswith("Locked")
    assert tab.get_attribute("#edit-lock", "aria-pressed") == "true"
    tab.click("#edit-lock")
    assert tab.inner_text("#edit-said").startswith("Unlocked")
    tab.keyboard.press("Escape")
    tab.keyboard.press("Period")
    tab.keyboard.press("k")  # the note at the cursor, the first one
    tab.keyboard.press("Escape")
    tab.keyboard.press("Escape")
    tab.click("#steering summary")
    choose(tab, WALTZ.tracks[1].name)
    tab.select_option("#part-role", "lock")
    mark_bars(tab, first=0, end=2)
    order(tab, bars=None)
    phase(tab, "done")
    asked = site.generator.requests[-1]
    first = min(WALTZ.tracks[0].notes, key=lambda note: (note.time, note.pitch))
    assert asked.locked == [[0, first.time, first.pitch]]
    assert [part for part in asked.parts if part.role == "lock"] == asked.parts
    written = download(tab, 1)[1]

    def notes(score: symusic.Score, track: int) -> set[tuple[int, int, int, int]]:
        return {(note.time, note.duration, note.pitch, note.velocity) for note in score.tracks[track].notes}

    assert notes(written, 1) == notes(WALTZ, 1)
    assert (first.time, first.duration, first.pitch, first.velocity) in notes(written, 0)
    gone = notes(WALTZ, 0) - notes(written, 0)
    assert gone
    assert all(time < 2 * BAR for time, *_ in gone)
