"""Take pictures of every state of the page, with the shipped weights: wide and narrow window, light and dark.

    make pictures      # writes docs/images/state-*.png and page*.png

One sheet a state, its four pictures side by side, and a few pictures by themselves. For people to look at: nothing is
compared.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from helpers.chromium import chromium_browser
from helpers.visitor import (
    WATCH_PHASES,
    drawn,
    kept,
    mark_bars,
    midi,
    order,
    phase,
    until,
    until_level,
    until_progress,
    upload,
)
from music_reformer.generation.generator import Generator
from music_reformer.midi.examples import EXAMPLES
from music_reformer.ui.page import build_page, launch_page

WINDOWS = ((1280, 800), (390, 844))  # wide, narrow
# Pictures that the README shows by themselves: state, which window, colours.
SINGLE = {
    ("5-playing", WINDOWS[0], "light"): "page",
    ("9-bars-composed-anew", WINDOWS[0], "light"): "page-anew",
    ("4-composing", WINDOWS[0], "dark"): "page-composing-dark",
    ("6-versions", WINDOWS[0], "light"): "page-versions",
    ("5-playing", WINDOWS[1], "light"): "page-phone",
    ("13-steering", WINDOWS[0], "light"): "page-steering",
    ("14-editing", WINDOWS[0], "light"): "page-editing",
    ("16-score", WINDOWS[0], "light"): "page-score",
    ("15-lanes", WINDOWS[0], "light"): "page-lanes",
}
HEIGHT = 600  # of a sheet, in pixels
GAP = 12


def walk(tab: Any, other: Any) -> Iterator[str]:
    """A visit, starting at the first view; yields the name of each state. `other`: another visitor's page."""
    yield "1-welcome"
    upload(tab, midi("evening.mid", EXAMPLES["evening"].score().dumps_midi()))
    yield "2-a-file"
    upload(other, midi("waltz.mid"))
    order(other, bars=40, variations=4)
    until_progress(other, "left")
    order(tab, bars=24, variations=4)
    until_progress(tab, "ahead of you")
    yield "3-waiting"
    other.keyboard.press("Escape")
    until_progress(tab, "left")
    until(tab, "parseInt(document.querySelector('.card small')?.textContent) > 40")
    yield "4-composing"
    phase(tab, "done")
    tab.click("#play")
    until_level(tab, "> 0.01")
    yield "5-playing"
    tab.click("#play")
    tab.click("#midi summary")
    tab.evaluate("window.scrollTo(0, 0)")
    yield "17-midi"
    tab.click("#midi summary")
    kept(tab, 2)
    order(tab, bars=4, variations=2)
    phase(tab, "done")
    kept(tab, 1)
    tab.click("#undo")
    order(tab, bars=4, variations=2, seed=6)
    phase(tab, "done")
    kept(tab, 2)
    yield "6-versions"
    tab.click("#export summary")
    yield "7-export"
    tab.click("#export summary")
    tab.click("#steering summary")
    tab.fill("#chords", "Am7 | D7 G7 | Cmaj7 | %")
    tab.fill("#density", "2")
    tab.locator("#dynamics").scroll_into_view_if_needed()
    yield "13-steering"
    tab.select_option("#part", label="Bass")
    tab.select_option("#part-role", "rest")
    tab.select_option("#part", label="Melody")
    tab.fill("#dynamics", "-2")
    tab.locator("#parts-note").scroll_into_view_if_needed()
    yield "18-parts"
    tab.fill("#dynamics", "0")
    tab.select_option("#part", label="Bass")
    tab.select_option("#part-role", "play")
    tab.select_option("#part", label="All parts")
    tab.fill("#density", "0")
    tab.fill("#amount", "16")
    tab.fill("#form", "1-8 | new 8")
    tab.click("#steering summary")
    tab.keyboard.press("h")
    tab.evaluate("window.scrollTo(0, 0)")
    yield "15-lanes"
    tab.keyboard.press("h")
    tab.click("#steering summary")
    tab.fill("#chords", "")
    tab.fill("#form", "")
    tab.click("#steering summary")
    tab.keyboard.press("e")
    tab.wait_for_selector("#edit-tools:not([hidden])")
    tab.evaluate("window.scrollTo(0, 0)")
    yield "14-editing"
    tab.keyboard.press("Escape")
    mark_bars(tab, first=3, end=7)
    yield "8-bars-marked"
    order(tab, bars=None, variations=2)
    phase(tab, "done")
    yield "9-bars-composed-anew"
    tab.keyboard.press("s")
    until(tab, "document.querySelectorAll('#engraved-page .is-new').length > 0")
    until(tab, "document.querySelector('#engraved').ariaBusy !== 'true'")
    tab.evaluate("window.scrollTo(0, 0)")
    yield "16-score"
    tab.keyboard.press("s")
    tab.click("#compare summary")
    tab.click("#join-bars")
    for key in "1221":
        tab.keyboard.press(key)
    tab.click(".join-go")
    tab.wait_for_selector(".card[data-selected] >> text=Joined")
    yield "19-joined"
    tab.click(".join-close")
    tab.set_input_files("#file", {"name": "holiday.mid", "mimeType": "audio/midi", "buffer": b"JFIF, not MIDI"})
    tab.wait_for_selector("#message:not([hidden])")
    yield "10-a-file-that-is-none"
    tab.click("#start-over")
    tab.wait_for_selector(".former")
    yield "12-a-piece-to-continue"
    tab.click("#examples button:has-text('From nothing')")
    phase(tab, "ready")
    yield "11-from-nothing"


def opened(browser: Any, address: str, width: int, height: int, scheme: str) -> Any:
    """The page, opened by a visitor of their own."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    context.set_default_timeout(240_000)
    context.add_init_script(WATCH_PHASES)
    tab = context.new_page()
    tab.goto(address)
    tab.wait_for_selector("#examples button", state="attached")
    return tab


def sheet(pictures: list[Image.Image]) -> Image.Image:
    """Place pictures side by side, scaled to the height of the sheet."""
    scaled = [picture.resize((round(picture.width * HEIGHT / picture.height), HEIGHT)) for picture in pictures]
    whole = Image.new("RGB", (sum(picture.width + GAP for picture in scaled) - GAP, HEIGHT), "white")
    left = 0
    for picture in scaled:
        whole.paste(picture, (left, 0))
        left += picture.width + GAP
    return whole.quantize(256, method=Image.Quantize.FASTOCTREE)


def main() -> None:
    folder = Path(sys.argv[1])
    server = build_page(generator=Generator.load(), folder=Path(tempfile.mkdtemp()), at_once=1)
    address = launch_page(server, host="127.0.0.1", port=None, open_browser=False, block=False)
    pictures: dict[str, list[Image.Image]] = {}
    with chromium_browser() as browser:
        for width, height in WINDOWS:
            for scheme in ("light", "dark"):
                tab, other = (opened(browser, address, width, height, scheme) for _ in range(2))
                for state in walk(tab, other):
                    tab.evaluate("document.activeElement.blur()")
                    tab.evaluate("document.querySelector('#advanced').open = false")
                    tab.mouse.move(0, 0)  # no button looks as if the pointer were on it
                    drawn(tab)
                    picture = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
                    pictures.setdefault(state, []).append(picture)
                    if name := SINGLE.get((state, (width, height), scheme)):
                        if state != "13-steering":
                            tab.evaluate("window.scrollTo(0, 0)")
                        tab.screenshot(path=folder / f"{name}.png")
                    sys.stderr.write(f"{width} x {height}, {scheme}: {state}\n")
                tab.context.close()
                other.context.close()
    server.get_blocks().close(verbose=False)
    for state, taken in pictures.items():
        sheet(taken).save(folder / f"state-{state}.png", optimize=True)


if __name__ == "__main__":
    main()
