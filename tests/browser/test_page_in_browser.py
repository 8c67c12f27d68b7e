"""What a visitor does: open, continue, look, listen, stop, download."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from helpers.visited_site import Site
from helpers.visitor import (
    COUNT_COLOUR,
    PAPER,
    WALTZ,
    download,
    kept,
    level,
    loudest,
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

SLOW = pytest.mark.slow  # the same again in another shape


def test_the_first_view_says_what_to_do(visit: Callable[..., Any]) -> None:
    tab = visit()
    assert tab.is_visible("text=Choose a MIDI file")
    assert tab.locator("#examples button").count() == len(EXAMPLES) + 1
    assert tab.is_disabled("#compose")
    assert tab.locator("footer").count() == 0


def test_from_a_file_to_downloads_with_notes_appearing_on_the_way(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab)
    assert tab.inner_text("#piece-name") == "my song"
    assert "16 bars" in tab.inner_text("#piece-facts")
    order(tab, bars=4, variations=3, seed=5)
    # Midway: there are notes already, a speed, and not yet all.
    until(tab, "document.querySelector('.card small')?.textContent.includes('notes')")
    assert int(tab.inner_text(".card small").split()[0]) < 4 * 8
    assert "tokens/s" in tab.inner_text("#progress-text")
    assert tab.is_visible("#stop")
    phase(tab, "done")
    assert tab.inner_text(".card small").startswith("32 notes")
    assert "seed 5" in tab.inner_text("#result-text")
    files = [download(tab, number) for number in (1, 2, 3)]
    assert [name for name, _ in files] == [f"my song - seed 5 - {number}.mid" for number in (1, 2, 3)]
    prompt, results = notes_of(WALTZ), [notes_of(score) for _, score in files]
    for result in results:
        assert len(result) == len(prompt) + 32
        assert set(prompt) < set(result)
    assert results[0] != results[1] != results[2]


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=SLOW)])
def test_prompt_and_continuation_are_plainly_different(visit: Callable[..., Any], scheme: str) -> None:
    tab = visit(scheme=scheme)
    upload(tab)
    tab.wait_for_timeout(200)
    assert tab.evaluate(COUNT_COLOUR, ["--track-0", 0.1, 1]) > 200
    assert tab.evaluate(PAPER, 0.3) == tab.evaluate(PAPER, 0.9)
    order(tab, bars=16)
    phase(tab, "done")
    tab.click("#zoom-fit")
    tab.wait_for_timeout(200)
    # The cut is in the middle: 16 bars and 16 bars; behind it the paper is tinted.
    assert tab.evaluate(PAPER, 0.2) == tab.evaluate(PAPER, 0.45)
    assert tab.evaluate(PAPER, 0.6) == tab.evaluate(PAPER, 0.9)
    assert tab.evaluate(PAPER, 0.45) != tab.evaluate(PAPER, 0.6)
    assert tab.inner_text("#cut") == "New from bar 17"


def test_playing_sounds_moves_the_playhead_and_pausing_is_silence(visit: Callable[..., Any]) -> None:
    tab = visit()
    tab.click("#examples button >> nth=0")
    phase(tab, "ready")
    assert level(tab) == 0
    tab.wait_for_timeout(1500)  # the soundfont is fetched while the visitor looks at the piece
    tab.click("#play")
    until_level(tab, "> 0.005")
    assert loudest(tab, 1.0) > 0.01
    assert tab.get_attribute("#play", "aria-label") == "Pause"
    assert float(tab.get_attribute("#roll", "aria-valuenow")) > 0.5
    tab.click("#play")
    until_level(tab, "< 1e-4")
    stood = tab.get_attribute("#roll", "aria-valuenow")
    tab.wait_for_timeout(400)
    assert tab.get_attribute("#roll", "aria-valuenow") == stood
    assert loudest(tab, 0.3) < 1e-4


def test_the_new_music_is_what_sounds_after_the_cut(visit: Callable[..., Any]) -> None:
    """Played from behind the prompt's last note, only a file with a continuation sounds."""
    tab = visit()
    upload(tab)
    order(tab, bars=4)
    phase(tab, "done")
    # Two bars before the cut, so that the join is heard.
    assert float(tab.get_attribute("#roll", "aria-valuenow")) == pytest.approx(14 * 3 * 60 / 132, abs=0.2)
    tab.focus("#roll")
    for _ in range(3):
        tab.keyboard.press("ArrowRight")
    assert float(tab.get_attribute("#roll", "aria-valuenow")) == pytest.approx(17 * 3 * 60 / 132, abs=0.2)
    tab.keyboard.press("Space")
    until_level(tab, "> 0.005")
    assert float(tab.get_attribute("#roll", "aria-valuenow")) > 17 * 3 * 60 / 132


def test_clicking_the_roll_moves_there_and_variations_are_chosen_by_their_cards(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab)
    box = tab.locator("#roll").bounding_box()
    tab.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + 200)
    total = float(tab.get_attribute("#roll", "aria-valuemax"))
    assert float(tab.get_attribute("#roll", "aria-valuenow")) == pytest.approx(total / 2, rel=0.06)
    order(tab, variations=2)
    phase(tab, "done")
    first = tab.evaluate("document.querySelector('#roll-notes').toDataURL()")
    tab.click(".card >> nth=1")
    tab.wait_for_timeout(200)
    assert tab.get_attribute(".card >> nth=1 >> button", "aria-pressed") == "true"
    assert tab.evaluate("document.querySelector('#roll-notes').toDataURL()") != first


def test_stop_keeps_what_is_there(visit: Callable[..., Any], site: Site) -> None:
    site.generator.seconds = 60
    tab = visit()
    site.generator.seconds = 60
    upload(tab)
    order(tab, bars=16)
    until(tab, "parseInt(document.querySelector('.card small')?.textContent) >= 3")
    tab.click("text=Stop and keep this")
    phase(tab, "done")
    _, score = download(tab, 1)
    new = len(notes_of(score)) - len(notes_of(WALTZ))
    assert 3 <= new < 16 * 8


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


BAD = {
    "empty": b"",
    "not MIDI": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "cut short": WALTZ.dumps_midi()[:120],
    "no notes": b"MThd\0\0\0\6\0\0\0\1\1\xe0MTrk\0\0\0\4\0\xff\x2f\0",
    "too large": b"MThd" + bytes(6_000_000),
}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=SLOW if kind in ("empty", "no notes") else ()) for kind in BAD]
)
def test_a_bad_file_is_a_clear_message_and_nothing_else(visit: Callable[..., Any], kind: str) -> None:
    tab = visit()
    tab.set_input_files("#file", midi("bad.mid", BAD[kind]))
    tab.wait_for_selector("#message:not([hidden])")
    sentence = tab.inner_text("#message p")
    assert 20 < len(sentence) < 200
    assert sentence.endswith(".")
    assert "/" not in sentence
    assert "Traceback" not in sentence
    phase(tab, "empty")
    assert tab.is_visible("text=Choose a MIDI file")
    upload(tab)  # and the page goes on working
    assert tab.is_hidden("#message")


@pytest.mark.parametrize("kind", ["not MIDI", "too large"])
def test_a_bad_file_leaves_the_piece_its_versions_and_what_is_being_composed(
    visit: Callable[..., Any], site: Site, kind: str
) -> None:
    tab = visit()
    upload(tab)
    site.generator.seconds = 3.0
    order(tab, bars=2, variations=2)
    tab.set_input_files("#file", midi("bad.mid", BAD[kind]))
    tab.wait_for_selector("#message:not([hidden])")
    phase(tab, "done")
    assert tab.inner_text("#piece-name") == "my song"
    kept(tab, 2)
    tab.set_input_files("#file", midi("bad.mid", BAD[kind]))
    tab.wait_for_selector("#message:not([hidden])")
    phase(tab, "ready")
    assert tab.locator("#versions button").count() == 2


def test_what_a_file_calls_itself_is_text_and_nothing_else(visit: Callable[..., Any]) -> None:
    score = WALTZ.copy()
    score.tracks[0].name = "<img src=x onerror=document.title='owned'>"
    tab = visit()
    upload(tab, midi("<b>bold</b>.mid", score.dumps_midi()))
    assert "<img src=x" in tab.inner_text("#tracks")
    assert tab.locator("#tracks img, #piece-name b").count() == 0
    assert tab.title() == "Music Reformer"


def test_from_nothing(visit: Callable[..., Any]) -> None:
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


def test_two_visitors_at_once_wait_their_turn_and_see_only_their_own(visit: Callable[..., Any], site: Site) -> None:
    ann, bob = visit(), visit()
    site.generator.seconds = 100
    upload(ann, midi("ann.mid"))
    upload(bob, midi("bob.mid", EXAMPLES["ground"].score().dumps_midi()))
    order(ann, variations=2, seed=1)
    until_progress(ann, "tokens/s")
    order(bob, variations=1, seed=2)
    until_progress(bob, "ahead of you")
    site.generator.seconds = 1  # from here on
    phase(ann, "done")
    phase(bob, "done")
    assert (ann.inner_text("#piece-name"), bob.inner_text("#piece-name")) == ("ann", "bob")
    assert (ann.locator(".card").count(), bob.locator(".card").count()) == (2, 1)
    (ann_name, ann_score), (bob_name, bob_score) = download(ann, 1), download(bob, 1)
    assert ann_name.startswith("ann")
    assert bob_name.startswith("bob")
    assert set(notes_of(WALTZ)) < set(notes_of(ann_score))
    assert set(notes_of(EXAMPLES["ground"].score())) < set(notes_of(bob_score))
    assert set(notes_of(WALTZ)).isdisjoint(set(notes_of(bob_score)) - set(notes_of(EXAMPLES["ground"].score())))


def test_who_waits_can_cancel_and_who_leaves_costs_nothing_more(visit: Callable[..., Any], site: Site) -> None:
    ann, bob = visit(), visit()
    site.generator.seconds = 100
    upload(ann)
    upload(bob)
    order(ann, bars=64)
    ann.wait_for_selector(".card")
    order(bob)
    until_progress(bob, "ahead of you")
    bob.click("text=Cancel")
    phase(bob, "ready")
    assert site.operations.num_running == 1
    ann.close()
    deadline = time.monotonic() + 45
    while site.operations.num_running and time.monotonic() < deadline:
        bob.wait_for_timeout(100)
    assert site.operations.num_running == 0
    site.generator.seconds = 1
    order(bob)  # the place is free again
    phase(bob, "done")


def test_over_plain_http_the_page_says_why_there_is_no_sound(visit: Callable[..., Any], site: Site) -> None:
    tab = visit(address=site.address.replace("127.0.0.1", "lan.test"))
    upload(tab)
    assert tab.is_disabled("#play")
    assert "https" in tab.inner_text("#sound-note")
    order(tab, bars=2)
    phase(tab, "done")
    assert download(tab, 1)[0].endswith(".mid")


def test_on_a_phone_a_message_is_in_sight_however_far_the_page_is_scrolled(visit: Callable[..., Any]) -> None:
    tab = visit(width=390, height=844)
    upload(tab)
    tab.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    assert tab.evaluate("scrollY") > 200
    tab.set_input_files("#file", midi("bad.mid", BAD["not MIDI"]))
    tab.wait_for_selector("#message:not([hidden])")
    in_sight = """() => {
      const box = document.querySelector('#message').getBoundingClientRect();
      return document.querySelector('#message').contains(document.elementFromPoint(195, box.top + 12)) && box.top >= 0;
    }"""
    assert tab.evaluate(in_sight)
    tab.click("#message button")
    assert tab.is_hidden("#message")


@pytest.mark.parametrize(
    ("width", "height"),
    [
        (1400, 900),
        (390, 844),
        pytest.param(1024, 700, marks=SLOW),
        pytest.param(320, 640, marks=SLOW),
    ],
)
def test_nothing_sticks_out_at_any_width(visit: Callable[..., Any], width: int, height: int) -> None:
    tab = visit(width=width, height=height)

    def overflow() -> list[str]:
        return tab.evaluate(
            """() => [...document.querySelectorAll('body *:not(.off-screen)')].filter((element) => {
                 const box = element.getBoundingClientRect();
                 return box.width && box.right > innerWidth + 1 && !element.closest('.variations, .tracks');
               }).map((element) => element.id || element.className || element.tagName)"""
        )

    assert overflow() == []
    upload(tab)
    order(tab, bars=2, variations=4)
    phase(tab, "done")
    assert overflow() == []
    if width > 860:  # one screen: the page itself does not scroll
        assert tab.evaluate("document.documentElement.scrollHeight <= innerHeight")
