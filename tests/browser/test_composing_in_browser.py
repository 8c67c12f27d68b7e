"""What a composer does beyond the first continuation: cut, choose players, keep, branch, undo, rewrite, export."""

from __future__ import annotations

import io
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import symusic

from helpers.visited_site import Site
from helpers.visitor import (
    COUNT_COLOUR,
    WALTZ,
    download,
    kept,
    level,
    loudest,
    mark_bars,
    midi,
    notes_of,
    order,
    phase,
    until,
    until_level,
    until_progress,
    upload,
)
from music_reformer.midi.examples import EXAMPLES

BAR = 3 * 480  # of the waltz
BAR_SECONDS = 3 * 60 / 132


def export(tab: Any, kind: str) -> tuple[str, bytes]:
    if not tab.evaluate("document.querySelector('#export').open"):
        tab.click("#export summary")
    with tab.expect_download() as info:
        tab.click(f"[data-export={kind}]")
    tab.click("#export summary")
    return info.value.suggested_filename, Path(info.value.path()).read_bytes()


def current(tab: Any) -> str:
    return str(tab.inner_text("#versions [aria-current]"))


# Where new music begins


def test_the_cut_is_dragged_and_snaps_to_bars_and_what_lies_behind_it_is_replaced(
    visit: Callable[..., Any], site: Site
) -> None:
    tab = visit()
    upload(tab)
    assert tab.inner_text("#cut") == "Continue here"
    assert tab.get_attribute("#cut", "aria-valuetext") == "after bar 16"
    roll = tab.locator("#roll").bounding_box()
    # The view shows the whole piece: 16 bars and a little air, right of the keys.
    bar = (roll["width"] - 46) / (16 * 1.03)
    x, y = roll["x"] + 46 + 16 * bar, roll["y"] + 200
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x - 7.3 * bar, y, steps=8)
    tab.mouse.up()
    assert tab.inner_text("#cut") == "Continue from bar 10"
    assert tab.inner_text("#compose") == "Continue from bar 10"
    order(tab, bars=2)
    phase(tab, "done")
    assert site.generator.requests[-1].cut_bar == 9
    assert tab.inner_text("#cut") == "New from bar 10"
    written = notes_of(download(tab, 1)[1])
    before = [note for note in notes_of(WALTZ) if note[0] < 9 * BAR]
    assert [note for note in written if note[0] < 9 * BAR] == before
    assert len(written) == len(before) + 16
    # The version itself is what it was.
    tab.click(".card-face")
    assert tab.inner_text("#cut") == "Continue from bar 10"


def test_the_cut_moves_by_the_keyboard_and_stays_within_the_piece(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab)
    tab.focus("#cut")
    steps = {"ArrowLeft": 15, "ArrowDown": 14, "PageDown": 10, "Home": 0, "PageUp": 4, "End": 16, "ArrowRight": 16}
    for key, bar in steps.items():
        tab.keyboard.press(key)
        assert tab.get_attribute("#cut", "aria-valuenow") == str(bar), key


def test_continuing_inside_a_variation_keeps_it_first(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)
    order(tab, bars=4)
    phase(tab, "done")
    tab.focus("#cut")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowRight")
    assert tab.inner_text("#compose") == "Continue from bar 19"
    tab.click("#compose")
    phase(tab, "composing")
    phase(tab, "done")
    assert site.generator.requests[-1].cut_bar == 18
    assert current(tab) == "+ 4 bars"
    assert len(notes_of(download(tab, 1)[1])) == len(notes_of(WALTZ)) + 2 * 8 + 4 * 8


# Bars composed anew


def test_marked_bars_are_composed_anew_and_all_around_them_stays(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)
    assert tab.is_hidden("#until")
    mark_bars(tab, first=4, end=8)
    assert tab.inner_text("#until") == "Keep from bar 9"
    assert tab.inner_text("#compose") == "Compose bars 5 to 8 anew"
    assert tab.is_disabled("#amount")
    order(tab, bars=None, variations=2)
    phase(tab, "done")
    asked = site.generator.requests[-1]
    assert (asked.cut_bar, asked.until_bar) == (4, 8)
    written = notes_of(download(tab, 2)[1])

    def outside(notes: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        return [note for note in notes if not 4 * BAR <= note[0] < 8 * BAR]

    assert outside(written) == outside(notes_of(WALTZ))
    assert len(written) == len(outside(written)) + 4 * 8
    assert notes_of(symusic.Score.from_midi(export(tab, "new")[1])) != []
    assert len(notes_of(symusic.Score.from_midi(export(tab, "new")[1]))) == 4 * 8
    assert tab.inner_text("#compose") == "Try again"
    kept(tab, 1)
    assert current(tab) == "Bars 5-8"
    assert not tab.is_disabled("#amount")
    tab.click("#undo")
    tab.click(".card-face >> nth=0")
    assert tab.inner_text("#compose") == "Compose bars 5 to 8 anew"


def test_one_instrument_of_marked_bars_is_composed_anew_the_others_stay(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    ground = EXAMPLES["ground"].score()
    upload(tab, midi("ground.mid", ground.dumps_midi()))
    mark_bars(tab, first=2, end=4)
    for kept_one in (48, 42):
        tab.click(f"#instruments label:has(input[value='{kept_one}'])")
    order(tab, bars=None)
    phase(tab, "done")
    assert site.generator.requests[-1].programs == [6]
    written = download(tab, 1)[1]

    def notes(score: symusic.Score, program: int) -> list[tuple[int, int, int]]:
        tracks = [track for track in score.tracks if track.program == program]
        return sorted((note.time, note.duration, note.pitch) for track in tracks for note in track.notes)

    assert notes(written, 48) == notes(ground, 48)
    assert notes(written, 42) == notes(ground, 42)
    assert notes(written, 6) != notes(ground, 6)


def test_marking_bars_of_a_variation_keeps_it_first(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)
    order(tab, bars=4)
    phase(tab, "done")
    mark_bars(tab, first=15, end=17)
    tab.click("#compose")
    phase(tab, "composing")
    phase(tab, "done")
    asked = site.generator.requests[-1]
    assert (asked.cut_bar, asked.until_bar) == (15, 17)
    assert tab.locator("#versions button").count() == 2


def test_a_link_brings_the_marked_bars_back(visit: Callable[..., Any], site: Site) -> None:
    tab = visit(address=f"{site.address}#piece=example:waltz&cut_bar=4&until_bar=8")
    phase(tab, "ready")
    assert tab.inner_text("#compose") == "Compose bars 5 to 8 anew"


# Keep, branch, undo


def test_keep_branch_undo_and_redo(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab)
    assert tab.is_hidden("#versions")
    assert tab.is_disabled("#undo")
    order(tab, bars=2, variations=2)
    phase(tab, "done")
    kept(tab, 2)
    phase(tab, "ready")
    assert "18 bars" in tab.inner_text("#piece-facts")
    assert tab.locator(".card").count() == 0
    second = notes_of(symusic.Score.from_midi(export(tab, "whole")[1]))
    tab.click("#undo")
    assert "16 bars" in tab.inner_text("#piece-facts")
    assert tab.locator(".card").count() == 2, "what was composed from it is still there"
    kept(tab, 1)
    assert tab.locator("#versions button").all_inner_texts() == ["Opened", "+ 2 bars", "+ 2 bars"]
    first = notes_of(symusic.Score.from_midi(export(tab, "whole")[1]))
    assert first != second
    tab.keyboard.press("Control+z")
    assert current(tab) == "Opened"
    tab.keyboard.press("Control+Shift+z")
    assert notes_of(symusic.Score.from_midi(export(tab, "whole")[1])) == first
    tab.click("#versions button >> nth=1")
    assert notes_of(symusic.Score.from_midi(export(tab, "whole")[1])) == second
    # A kept piece is continued like any other.
    order(tab, bars=3)
    phase(tab, "done")
    assert len(notes_of(download(tab, 1)[1])) == len(second) + 24


def test_the_last_bars_are_rewritten(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)
    tab.fill("#rewrite-bars", "3")
    tab.click("#rewrite")
    phase(tab, "done")
    asked = site.generator.requests[-1]
    assert (asked.cut_bar, asked.parsed_length().bars) == (13, 3)
    # Rewriting a variation's end keeps the variation first.
    tab.fill("#rewrite-bars", "1")
    tab.click("#rewrite")
    phase(tab, "composing")
    phase(tab, "done")
    assert site.generator.requests[-1].cut_bar == 15
    assert current(tab) == "Bars 14-16"
    expected = [note for note in notes_of(WALTZ) if note[0] < 13 * BAR]
    written = notes_of(download(tab, 1)[1])
    assert [note for note in written if note[0] < 13 * BAR] == expected
    assert len(written) == len(expected) + 3 * 8


# Who plays, and what


def test_who_may_play_is_limited_and_added_to(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    tab.click("#examples button >> nth=0")
    phase(tab, "ready")
    assert tab.locator("#instruments input:checked").count() == 4
    order(tab, bars=1)
    phase(tab, "done")
    assert site.generator.requests[-1].programs == []
    tab.click("#instruments label:has-text('Flute')")
    tab.click("#instruments label:has-text('Drums')")
    assert tab.inner_text("#instruments-hint") == ""
    tab.select_option("#add-instrument", label="Violin")
    assert tab.inner_text("#instruments-hint").startswith("Violin may be silent in some bars")
    order(tab, bars=1)
    phase(tab, "done")
    assert site.generator.requests[-1].programs == [0, 33, 40]
    assert "Violin" in tab.inner_text("#tracks")
    while tab.locator("#instruments label:has(input:checked)").count():
        tab.click("#instruments label:has(input:checked) >> nth=0")
    assert "at least one" in tab.inner_text("#instruments-hint")
    orders = len(site.generator.requests)
    tab.click("#compose")
    tab.wait_for_timeout(300)
    assert len(site.generator.requests) == orders


def test_from_nothing_with_key_metre_tempo_and_instruments(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    tab.click("text=From nothing")
    phase(tab, "ready")
    tab.select_option("#key", "A minor")
    tab.select_option("#metre", "3/4")
    tab.fill("#tempo", "90")
    tab.select_option("#add-instrument", label="Cello")
    order(tab, bars=4)
    phase(tab, "done")
    asked = site.generator.requests[-1]
    assert (asked.key, asked.programs) == ("A minor", [0, 42])
    name, score = download(tab, 1)
    assert name.startswith("New piece")
    assert score.tempos[0].qpm == pytest.approx(90, abs=0.01)
    assert (score.time_signatures[0].numerator, score.time_signatures[0].denominator) == (3, 4)
    assert (score.key_signatures[0].key, score.key_signatures[0].tonality) == (0, 1)
    kept(tab, 1)
    assert "3/4 · 90 bpm" in tab.inner_text("#piece-facts")
    assert tab.is_hidden("#blank-settings")


def test_eight_variations_side_by_side(visit: Callable[..., Any]) -> None:
    tab = visit(width=1440, height=900)
    upload(tab)
    order(tab, bars=2, variations=8)
    phase(tab, "done")
    boxes = [card.bounding_box() for card in tab.locator(".card").all()]
    assert len(boxes) == 8
    assert len({box["y"] for box in boxes}) == 1
    tab.keyboard.press("7")
    assert tab.get_attribute(".card >> nth=6", "data-selected") is not None
    assert len({str(notes_of(download(tab, number)[1])) for number in range(1, 9)}) == 8


# Sound


def duet(seconds: int = 300) -> bytes:
    """Two tracks that play a note each in every beat, long enough for a busy machine."""
    score = symusic.Score(480)
    score.tempos.append(symusic.Tempo(0, 120))
    for name, program, pitch in (("High", 73, 76), ("Low", 0, 52)):
        track = symusic.Track(name, program, False)
        track.notes.extend([symusic.Note(beat * 480, 400, pitch, 90) for beat in range(seconds * 2)])
        score.tracks.append(track)
    return bytes(score.dumps_midi())


def test_muted_and_soloed_in_sound_and_picture(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab, midi("duet.mid", duet()))
    for _ in range(8):
        tab.click("#zoom-in")
    tab.click("#play")
    until_level(tab, "> 0.01")
    assert min(tab.evaluate(COUNT_COLOUR, [f"--track-{track}", 0.1, 1]) for track in (0, 1)) > 100
    tab.click("[aria-label='Hear only High']")
    tab.wait_for_timeout(300)
    assert tab.evaluate(COUNT_COLOUR, ["--track-1", 0.1, 1]) == 0
    assert tab.evaluate(COUNT_COLOUR, ["--track-0", 0.1, 1]) > 100
    assert loudest(tab, 1.0) > 0.005
    tab.click("[aria-label='Mute High']")
    until_level(tab, "< 1e-3")
    assert tab.get_attribute("#play", "aria-label") == "Pause", "it goes on, unheard"
    tab.click("[aria-label='Hear only High']")
    until_level(tab, "> 0.005")  # the low voice


def test_playing_begins_within_a_second(visit: Callable[..., Any]) -> None:
    tab = visit()
    tab.click("#examples button >> nth=0")
    phase(tab, "ready")
    tab.wait_for_timeout(3000)  # the visitor looks at the piece
    waited = tab.evaluate(
        """async () => {
          const meter = document.querySelector('#meter');
          const began = performance.now();
          document.querySelector('#play').click();
          while (Number(meter.getAttribute('aria-valuenow')) < 0.003) await new Promise(requestAnimationFrame);
          return performance.now() - began;
        }"""
    )
    assert waited < 1000


def test_playing_goes_on_into_notes_that_are_being_composed(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)
    tab.click("#play")
    until_level(tab, "> 0.005")
    tab.click("#play")
    site.generator.seconds = 60
    order(tab, bars=200)  # 270 seconds of music: composed faster than played, on a busy machine too
    tab.wait_for_selector(".card")
    tab.click("#play")  # two bars before the cut
    cut = 16 * BAR_SECONDS
    until(tab, f"Number(document.querySelector('#roll').getAttribute('aria-valuenow')) > {cut + 1}")
    until_level(tab, "> 0.01")
    assert tab.get_attribute("body", "data-phase") == "composing"
    assert tab.get_attribute("#play", "aria-label") == "Pause"
    tab.click("#stop")
    phase(tab, "done")
    assert tab.get_attribute("#play", "aria-label") == "Pause", "stopping the composer does not stop the music"


@pytest.mark.slow
def test_a_player_that_has_caught_up_waits_and_goes_on(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    tab.click("text=From nothing")
    phase(tab, "ready")
    site.generator.seconds = 20
    order(tab, bars=4)
    until(tab, "document.querySelector('.card small')?.textContent.includes('notes')")
    tab.click("#play")
    until(tab, "document.querySelector('#sound-note').textContent.includes('Waiting for')")
    stood = float(tab.get_attribute("#roll", "aria-valuenow"))
    until(tab, f"Number(document.querySelector('#roll').getAttribute('aria-valuenow')) > {stood + 0.3}")
    tab.keyboard.press("Escape")
    phase(tab, "done")


# Taking it home


def test_exports(visit: Callable[..., Any]) -> None:
    text = mido.MidiFile(file=io.BytesIO(WALTZ.dumps_midi()))
    text.tracks[0].insert(0, mido.MetaMessage("text", text="for Clara"))
    written = io.BytesIO()
    text.save(file=written)
    tab = visit()
    upload(tab, midi("clara.mid", written.getvalue()))
    order(tab, bars=2)
    phase(tab, "done")
    name, whole = export(tab, "whole")
    assert name == "clara - seed 5 - 1.mid"
    assert b"for Clara" in whole
    assert set(notes_of(WALTZ)) < set(notes_of(symusic.Score.from_midi(whole)))
    name, new = export(tab, "new")
    assert name == "clara - seed 5 - 1 - new.mid"
    score = symusic.Score.from_midi(new)
    assert (score.note_num(), score.tracks[0].notes[0].time) == (16, 0)
    assert score.tempos[0].qpm == pytest.approx(132, abs=0.01)
    name, packed = export(tab, "tracks")
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.namelist() == ["01 Right hand.mid", "02 Left hand.mid"]
        tracks = [symusic.Score.from_midi(archive.read(each)) for each in archive.namelist()]
    assert sum(track.note_num() for track in tracks) == symusic.Score.from_midi(whole).note_num()
    name, notes = export(tab, "musicxml")
    assert name.endswith(".musicxml")
    assert notes.count(b"<measure ") == 2 * 18, "both hands are equally long"
    assert b"<beats>3</beats>" in notes


def test_a_wav_is_what_is_heard(visit: Callable[..., Any]) -> None:
    tab = visit()
    tab.click("#examples button >> nth=1")
    phase(tab, "ready")
    name, data = export(tab, "wav")
    assert name == "Small waltz.wav"
    assert data[:4] + data[8:12] == b"RIFFWAVE"
    sound = np.frombuffer(data[44:], dtype="<i2").reshape(-1, 2) / 32768
    assert len(sound) / 44100 == pytest.approx(WALTZ.to("Second").end() + 2.5, abs=0.1)
    bars = [sound[round(bar * BAR_SECONDS * 44100) :][: round(BAR_SECONDS * 44100)] for bar in range(16)]
    assert all(np.sqrt(np.mean(bar**2)) > 0.01 for bar in bars)
    assert np.abs(sound).max() < 1
    for track in ("Right hand", "Left hand"):
        tab.click(f"[aria-label='Mute {track}']")
    silence = np.frombuffer(export(tab, "wav")[1][44:], dtype="<i2")
    assert np.abs(silence).max() < 10


def test_the_link_brings_back_the_settings_and_the_same_music(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    tab.click("#examples button >> nth=1")
    phase(tab, "ready")
    tab.click("label[for=style-adventurous]")
    tab.select_option("#add-instrument", label="Violin")
    tab.focus("#cut")
    tab.keyboard.press("PageDown")
    order(tab, bars=2, variations=3, seed=None)
    phase(tab, "done")
    results = [notes_of(download(tab, number)[1]) for number in (1, 2, 3)]
    asked = site.generator.requests[-1]
    tab.click("#export summary")
    tab.click("[data-export=link]")
    until(tab, "location.hash.length > 10")
    link = tab.evaluate("location.href")
    other = visit(address=link)
    phase(other, "ready")
    assert other.inner_text("#piece-name") == "Small waltz"
    other.click("#compose")
    phase(other, "done")
    assert site.generator.requests[-1] == asked
    assert [notes_of(download(other, number)[1]) for number in (1, 2, 3)] == results


def test_a_link_brings_an_upload_along(visit: Callable[..., Any], site: Site) -> None:
    tab = visit()
    upload(tab)
    tab.focus("#cut")
    tab.keyboard.press("PageDown")
    order(tab, bars=2)
    phase(tab, "done")
    tab.click("#export summary")
    tab.click("[data-export=link]")
    until(tab, "location.hash.length > 10")
    other = visit(address=tab.evaluate("location.href"))
    phase(other, "ready")
    assert other.inner_text("#piece-name") == "my song"
    assert other.inner_text("#compose") == "Continue from bar 13"
    other.click("#compose")
    phase(other, "done")
    assert notes_of(download(other, 1)[1]) == notes_of(download(tab, 1)[1])


@pytest.mark.parametrize(
    "hash_",
    ["#piece=example:none", "#piece=kept:nothing", "#length=x&variations=99&style=loud&seed=-3&instruments=a,999"],
)
def test_a_wrong_link_does_no_harm(visit: Callable[..., Any], site: Site, hash_: str) -> None:
    tab = visit(address=site.address + hash_)
    tab.wait_for_timeout(300)
    upload(tab)
    order(tab, bars=1)
    phase(tab, "done")


# The queue, the keyboard, the screen reader


def test_who_waits_is_told_the_place_and_the_time(visit: Callable[..., Any], site: Site) -> None:
    ann, bob = visit(), visit()
    upload(ann)
    upload(bob)
    site.generator.seconds = 30
    order(ann, bars=8)
    until_progress(ann, "left")
    order(bob)
    until_progress(bob, "1 ahead of you · about")
    assert re.search(r"about \d+ (s|min)", bob.inner_text("#progress-text"))
    bob.keyboard.press("Escape")
    phase(bob, "ready")
    ann.keyboard.press("Escape")
    phase(ann, "done")


def test_the_keyboard(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab)
    tab.keyboard.press("ArrowRight")
    assert float(tab.get_attribute("#roll", "aria-valuenow")) == pytest.approx(BAR_SECONDS, abs=0.06)
    tab.keyboard.press(" ")
    until_level(tab, "> 0.005")
    tab.keyboard.press(" ")
    until_level(tab, "< 1e-3")
    tab.keyboard.press("Home")
    assert float(tab.get_attribute("#roll", "aria-valuenow")) == 0
    order(tab, bars=1, variations=2)
    phase(tab, "done")
    tab.focus("#roll")
    tab.keyboard.press("2")
    assert tab.get_attribute(".card >> nth=1", "data-selected") is not None
    tab.keyboard.press("k")
    until(tab, "document.querySelectorAll('#versions button').length === 2")


NAMELESS = """() => [
  ...document.querySelectorAll('button, input, select, summary, [role=slider], [role=meter]'),
].filter((element) => {
  const labels = [...(element.labels ?? [])].map((label) => label.textContent).join('');
  const name = element.getAttribute('aria-label') || labels || element.textContent;
  return !name.trim();
}).map((element) => element.outerHTML.slice(0, 80))"""


def test_everything_that_can_be_used_has_a_name(visit: Callable[..., Any]) -> None:
    tab = visit()
    assert tab.evaluate(NAMELESS) == []
    upload(tab)
    order(tab, bars=1, variations=2)
    phase(tab, "done")
    kept(tab, 1)
    assert tab.evaluate(NAMELESS) == []
    assert tab.inner_text("#announcement") == "Kept"


@pytest.mark.slow
def test_two_visitors_at_once_do_not_slow_each_other_much(visit: Callable[..., Any], site: Site) -> None:
    """While one is composed for, another opens a piece and plays it."""
    ann, bob = visit(), visit()
    upload(ann)
    site.generator.seconds = 30
    order(ann, bars=16)
    ann.wait_for_selector(".card")
    began = time.monotonic()
    bob.click(f"text={EXAMPLES['ground'].title}")
    phase(bob, "ready")
    bob.click("#play")
    until_level(bob, "> 0.005")
    assert time.monotonic() - began < 20
    assert level(ann) == 0
    ann.click("#stop")
    phase(ann, "done")


def expressive() -> bytes:
    """A second of each: a short note, the same held by the pedal, an A, the A bent up by a tone, a drum."""
    second = 960
    track: list[Any] = [mido.MetaMessage("set_tempo", tempo=500_000), mido.Message("program_change", program=0)]

    def note(pitch: int, *, at: int, length: int = 96, channel: int = 0) -> list[tuple[int, Any]]:
        on = mido.Message("note_on", note=pitch, velocity=100, channel=channel)
        return [(at, on), (at + length, mido.Message("note_off", note=pitch, channel=channel))]

    events = [
        *note(60, at=0),
        (2 * second, mido.Message("control_change", control=64, value=127)),
        *note(60, at=2 * second),
        (4 * second - 10, mido.Message("control_change", control=64, value=0)),
        *note(69, at=4 * second, length=second),
        (6 * second - 5, mido.Message("pitchwheel", pitch=8191)),
        *note(69, at=6 * second, length=second),
        *note(38, at=8 * second, channel=9),
    ]
    now = 0
    for tick, event in sorted(events, key=lambda pair: pair[0]):
        track.append(event.copy(time=tick - now))
        now = tick
    file = mido.MidiFile(ticks_per_beat=480)
    file.tracks.append(mido.MidiTrack(track))
    written = io.BytesIO()
    file.save(file=written)
    return written.getvalue()


def test_drums_pedal_and_pitch_bend_are_honoured(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab, midi("expressive.mid", expressive()))
    sound = np.frombuffer(export(tab, "wav")[1][44:], dtype="<i2").reshape(-1, 2).mean(axis=1) / 32768

    def stretch(begin: float, end: float) -> Any:
        return sound[round(begin * 44100) : round(end * 44100)]

    def strength(begin: float, end: float) -> float:
        return float(np.sqrt(np.mean(stretch(begin, end) ** 2)))

    def pitch(begin: float) -> float:
        spectrum = np.abs(np.fft.rfft(stretch(begin, begin + 0.8) * np.hanning(round(0.8 * 44100))))
        return float(np.argmax(spectrum[: round(1000 * 0.8)]) / 0.8)

    assert strength(2.6, 3.2) > 4 * strength(0.6, 1.2), "the pedal holds the note"
    assert pitch(4.05) == pytest.approx(440, rel=0.01)
    assert pitch(6.05) == pytest.approx(440 * 2 ** (2 / 12), rel=0.01)
    drum = np.abs(np.fft.rfft(stretch(8.0, 8.2)))
    tone = np.abs(np.fft.rfft(stretch(4.1, 4.3)))
    # A snare drum is noise: its sound is spread over all frequencies, that of a note is not.
    assert np.sum(drum[1000:]) / np.sum(drum) > 3 * np.sum(tone[1000:]) / np.sum(tone)
