"""Several visitors at once: each sees only their own pieces, and their place in the queue."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from helpers.visited_site import Site
from helpers.visitor import WALTZ, download, level, midi, notes_of, order, phase, until_level, until_progress, upload
from music_reformer.midi.examples import EXAMPLES


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


def test_waiting_visitors_see_their_place_and_the_time(visit: Callable[..., Any], site: Site) -> None:
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


def test_waiting_visitors_can_cancel_and_leaving_frees_their_place(visit: Callable[..., Any], site: Site) -> None:
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
    deadline = time.monotonic() + 120
    while site.operations.num_running:
        assert time.monotonic() < deadline, "whoever has left is still composed for"
        bob.wait_for_timeout(100)
    site.generator.seconds = 1
    order(bob)  # the place is free again
    phase(bob, "done")


@pytest.mark.slow
def test_two_visitors_at_once_do_not_slow_each_other_much(visit: Callable[..., Any], site: Site) -> None:
    """During one visitor's composition, another opens and plays a piece hardly later than without it."""

    def open_and_play(tab: Any) -> float:
        began = time.monotonic()
        tab.click(f"text={EXAMPLES['ground'].title}")
        phase(tab, "ready")
        tab.click("#play")
        until_level(tab, "> 0.005")
        return time.monotonic() - began

    alone = visit()
    alone_s = open_and_play(alone)
    alone.close()
    ann, bob = visit(), visit()
    upload(ann)
    site.generator.seconds = 120
    order(ann, bars=16)
    ann.wait_for_selector(".card")
    assert open_and_play(bob) < 3 * alone_s + 5
    assert ann.get_attribute("body", "data-phase") == "composing"
    assert level(ann) == 0
    until_progress(ann, "left")  # so there is a note to keep
    ann.click("#stop")
    phase(ann, "done")
