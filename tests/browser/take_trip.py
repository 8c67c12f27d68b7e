"""Record a trip through the page, with the shipped weights: a score in, studied, bars rewritten, notes corrected by
hand, a variation dragged out, the score printed. Each stop is checked before its picture is taken.

    make pictures      # runs this too; writes docs/images/trip-*.png
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from take_pictures import opened

from helpers.chromium import chromium_browser
from helpers.visitor import begin, drawn, exported_notes, kept, phase, until, upload
from music_reformer.generation.generator import Generator
from music_reformer.midi.examples import EXAMPLES
from music_reformer.midi.notation import convert
from music_reformer.ui.page import build_page, launch_page

SIZE = (1280, 800)
PAPER = (794, 1123)  # A4 at 96 dots an inch
MARGIN = 45  # 12 millimetres, as engraved.css has them
PREVENT_PRINTING = "window.print = () => {}"


def score_in(tab: Any) -> None:
    written = convert(EXAMPLES["waltz"].score().dumps_midi(), "waltz", "Small waltz")
    upload(tab, {"name": "Small waltz.musicxml", "mimeType": "application/xml", "buffer": written})
    assert "3/4" in tab.inner_text("#piece-facts")


def studied(tab: Any) -> None:
    tab.evaluate("document.querySelector('#advanced').open = true")
    tab.check("#study")
    tab.fill("#seed", "7")
    mark(tab, first=8, bars=4)
    until(tab, "document.querySelector('#study-note').textContent.includes('studied')", seconds=900)


def mark(tab: Any, *, first: int, bars: int) -> None:
    """Go to a bar and mark `count` bars from there on with the keyboard."""
    tab.focus("#roll")
    tab.keyboard.press("Home")
    for _ in range(first):
        tab.keyboard.press("ArrowRight")
    for _ in range(bars):
        tab.keyboard.press("b")


def rewritten(tab: Any) -> None:
    tab.click("label[for=variations-3]")
    begin(tab, "#anew-go")
    phase(tab, "done")
    assert tab.locator(".card").count() == 3


def corrected(tab: Any) -> None:
    """Keep the variation, and move two of its notes, one by a step, one by a beat."""
    kept(tab, 1)
    before = exported_notes(tab)
    tab.evaluate("document.querySelector('#advanced').open = false")
    tab.focus("#roll")
    tab.keyboard.press("e")
    tab.wait_for_selector("#edit-tools:not([hidden])")
    for key in (".", "ArrowUp", ".", ".", "ArrowDown", "ArrowDown"):
        tab.keyboard.press(key)
    until(tab, "!document.querySelector('#export').inert")
    until(tab, "document.querySelector('#versions [aria-current]').textContent.includes('dit')")
    after = exported_notes(tab)
    assert len(set(before) - set(after)) == 2, "two notes are others"


def dragged_out(tab: Any) -> None:
    """The page while a variation is being dragged."""
    tab.keyboard.press("Escape")
    tab.fill("#amount", "8")
    tab.evaluate("document.querySelector('#study').checked = false")
    begin(tab)
    phase(tab, "done")
    card = tab.locator(".card").nth(1)
    box = card.bounding_box()
    tab.evaluate(WATCH_DRAGS)
    tab.mouse.move(box["x"] + 60, box["y"] + 50)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 90, box["y"] - 60, steps=5)
    until(tab, "window.dragged?.includes('Small waltz - bars 17-24 - seed 7 - 2.mid')")
    tab.mouse.up()
    if card.get_attribute("data-selected") is None:  # where the browser takes the drag for no click
        tab.click(".card >> nth=1 >> .card-face")
    tab.wait_for_selector(".card:nth-child(2)[data-selected]")


def printed(tab: Any) -> None:
    tab.evaluate(PREVENT_PRINTING)
    kept(tab, 2)
    tab.keyboard.press("s")
    until(tab, "document.querySelector('#engraved').ariaBusy !== 'true'")
    tab.click("#print")
    until(tab, "document.querySelector('.sheet') !== null")
    tab.emulate_media(media="print")
    tab.set_viewport_size({"width": PAPER[0] - 2 * MARGIN, "height": PAPER[1] - 2 * MARGIN})
    assert tab.inner_text(".sheet h1") == "Small waltz"


# What is dragged, as Chromium hands it to other programs.
WATCH_DRAGS = """document.addEventListener('dragstart', ({ dataTransfer }) => {
  window.dragged = dataTransfer.getData('DownloadURL');
});"""
STOPS = (score_in, studied, rewritten, corrected, dragged_out, printed)


def trip(tab: Any) -> Iterator[str]:
    """Go from stop to stop; yields the name of each."""
    for number, stop in enumerate(STOPS, start=1):
        stop(tab)
        drawn(tab)
        yield f"trip-{number}-{stop.__name__.replace('_', '-')}"


def main() -> None:
    folder = Path(sys.argv[1])
    server = build_page(generator=Generator.load(), folder=Path(tempfile.mkdtemp()), at_once=1)
    address = launch_page(server, host="127.0.0.1", port=None, open_browser=False, block=False)
    with chromium_browser() as browser:
        tab = opened(browser, address, *SIZE, "light")
        for name in trip(tab):
            picture = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
            if name.endswith("printed"):
                picture = ImageOps.expand(picture, MARGIN, "white")
            picture.quantize(256, method=Image.Quantize.FASTOCTREE).save(folder / f"{name}.png", optimize=True)
            sys.stderr.write(f"{name}\n")
        tab.context.close()
    server.get_blocks().close(verbose=False)


if __name__ == "__main__":
    main()
