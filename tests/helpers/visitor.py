"""Actions and observations of a visitor of the page, for tests."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import symusic

from music_reformer.midi.examples import EXAMPLES

WALTZ = EXAMPLES["waltz"].score()
BAR_SECONDS = 3 * 60 / 132  # of the waltz
# What cannot be opened as a MIDI file, by kind.
BAD_FILES = {
    "empty": b"",
    "not MIDI": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "cut short": WALTZ.dumps_midi()[:120],
    "no notes": b"MThd\0\0\0\6\0\0\0\1\1\xe0MTrk\0\0\0\4\0\xff\x2f\0",
    "too large": b"MThd" + bytes(6_000_000),
}
# How many pixels near this colour (a CSS variable) are there between two shares of the roll's width?
COUNT_COLOUR = """([name, from, to]) => {
  const canvas = document.querySelector('#roll-notes');
  const probe = document.createElement('canvas').getContext('2d');
  probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name);
  probe.fillRect(0, 0, 1, 1);
  const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
  const [x, width] = [Math.round(canvas.width * from), Math.round(canvas.width * (to - from))];
  const { data } = canvas.getContext('2d').getImageData(x, 30, width, canvas.height - 30);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    // Notes are tinted by velocity: near the colour's hue, clearly off the paper's grey.
    const far = Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b);
    if (far < 110) count++;
  }
  return count;
}"""
# The colour of the paper at a share of the roll's width, on the ruler where there are no notes.
PAPER = """(share) => {
  const canvas = document.querySelector('#roll-notes');
  return [...canvas.getContext('2d').getImageData(Math.round(canvas.width * share), 2, 1, 1).data].join();
}"""


def midi(name: str = "my song.mid", data: bytes | None = None) -> dict[str, Any]:
    return {"name": name, "mimeType": "audio/midi", "buffer": WALTZ.dumps_midi() if data is None else data}


def phase(tab: Any, name: str) -> None:
    tab.wait_for_selector(f"body[data-phase={name}]")


def until(tab: Any, condition: str, *, seconds: float = 120.0) -> None:
    """Wait for a JavaScript condition. (Playwright's own `wait_for_function` needs `eval`, which the page forbids.)"""
    end = time.monotonic() + seconds
    while not tab.evaluate(condition):
        assert time.monotonic() < end, f"waited {seconds} s in vain for {condition}"
        tab.wait_for_timeout(50)


def until_level(tab: Any, condition: str) -> None:
    until(tab, f"Number(document.querySelector('#meter').getAttribute('aria-valuenow')) {condition}")


def until_progress(tab: Any, text: str) -> None:
    until(tab, f"document.querySelector('#progress-text').textContent.includes('{text}')")


def upload(tab: Any, file: dict[str, Any] | None = None) -> None:
    """Open a file, and wait until it is open, also if another one was."""
    tab.wait_for_selector("#examples button", state="attached")  # a page that still loads would not notice the file
    seen = tab.evaluate("phases.length")
    tab.set_input_files("#file", file or midi())
    until(tab, f"phases.slice({seen}).includes('ready')")


# Run before the page's own script: what phases the page goes through, however short they are.
WATCH_PHASES = """window.phases = [];
new MutationObserver((changes) => {
  for (const { target } of changes) if (target === document.body) phases.push(target.dataset.phase);
}).observe(document, { subtree: true, attributes: true, attributeFilter: ['data-phase'] });"""


def begin(tab: Any, selector: str = "#compose") -> None:
    """Press a button that composes, and wait until composing has begun or is done already."""
    seen = tab.evaluate("phases.length")
    tab.click(selector)
    until(tab, f"phases.slice({seen}).includes('composing')")


def drawn(tab: Any) -> None:
    """Wait until all changes are drawn, which the page does in the next frame."""
    tab.evaluate("new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))")


def order(tab: Any, *, bars: int | None = 4, variations: int = 1, seed: int | None = 5) -> None:
    if bars is not None:
        tab.fill("#amount", str(bars))
    tab.click(f"label[for=variations-{variations}]")
    if seed is not None:
        tab.evaluate("document.querySelector('#advanced').open = true")
        tab.fill("#seed", str(seed))
    begin(tab)


def mark_bars(tab: Any, *, first: int, end: int) -> None:
    """Set the two handles by the keyboard: new music from after bar `first` up to the end of bar `end`."""
    tab.focus("#cut")
    tab.keyboard.press("Home")
    for _ in range(first):
        tab.keyboard.press("ArrowRight")
    tab.focus("#until")
    while int(tab.get_attribute("#until", "aria-valuenow")) > end:
        tab.keyboard.press("ArrowLeft")


# What this browser has written down of a piece agrees with what is on show: versions, the current one, cards, choice.
REMEMBERED = """async () => {
  const opening = indexedDB.open('music-reformer');
  const database = await new Promise((resolve, reject) => {
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
  try {
    if (!database.objectStoreNames.contains('pieces')) return false;
    const request = database.transaction('pieces').objectStore('pieces').getAll();
    const records = await new Promise((resolve) => { request.onsuccess = () => resolve(request.result); });
    const { id } = JSON.parse(sessionStorage.getItem('music-reformer-tab'));
    const { list, current } = records.find((record) => record.id === id) ?? { list: [] };
    const version = list[current];
    const pills = [...document.querySelectorAll('#versions button')];
    const cards = [...document.querySelectorAll('.card')];
    return version?.name === document.querySelector('#piece-name').textContent
      && list.length === Math.max(pills.length, 1)
      && [undefined, version.label].includes(pills.find((pill) => pill.hasAttribute('aria-current'))?.textContent)
      && (version.run?.variations.length ?? 0) === cards.length
      && (version.selected ?? -1) === cards.findIndex((card) => card.hasAttribute('data-selected'));
  } finally { database.close(); }
}"""


def until_remembered(tab: Any) -> None:
    """Wait until a reload would restore what is on show."""
    until(tab, REMEMBERED)


def tree(tab: Any) -> list[str]:
    """The versions, by their labels."""
    return list(tab.locator("#versions button").all_inner_texts())


def exported_notes(tab: Any) -> list[tuple[int, int, int]]:
    """The notes of what is on show, as exported."""
    return notes_of(symusic.Score.from_midi(export(tab, "whole")[1]))


def kept(tab: Any, variation: int) -> None:
    """Keep a variation, and wait until it is among the versions."""
    versions = tab.locator("#versions button").count()
    tab.click(f"[aria-label='Keep variation {variation}']")
    until(tab, f"document.querySelectorAll('#versions button').length > {versions}")


def level(tab: Any) -> float:
    return float(tab.get_attribute("#meter", "aria-valuenow"))


def loudest(tab: Any, seconds: float) -> float:
    """The largest loudness of the page within so many seconds."""
    end, peak = time.monotonic() + seconds, 0.0
    while time.monotonic() < end:
        peak = max(peak, level(tab))
        tab.wait_for_timeout(50)
    return peak


def download(tab: Any, variation: int) -> tuple[str, symusic.Score]:
    with tab.expect_download() as download_info:
        tab.click(f"[aria-label='Download variation {variation} as MIDI']")
    return download_info.value.suggested_filename, symusic.Score.from_midi(
        Path(download_info.value.path()).read_bytes()
    )


def export(tab: Any, kind: str) -> tuple[str, bytes]:
    if not tab.evaluate("document.querySelector('#export').open"):
        tab.click("#export summary")
    with tab.expect_download() as info:
        tab.click(f"[data-export={kind}]")
    tab.click("#export summary")
    return info.value.suggested_filename, Path(info.value.path()).read_bytes()


def copied_link(tab: Any) -> str:
    """Choose Export > Link, and read it from the clipboard."""
    origin = "/".join(tab.url.split("/")[:3])
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=origin)
    tab.click("#export summary")
    tab.click("[data-export=link]")
    until(tab, "document.querySelector('#export-status').textContent.startsWith('Link copied')")
    return str(tab.evaluate("navigator.clipboard.readText()"))


def current(tab: Any) -> str:
    return str(tab.inner_text("#versions [aria-current]"))


def notes_of(score: symusic.Score) -> list[tuple[int, int, int]]:
    tick = 480 / score.ticks_per_quarter
    return sorted(
        (round(note.time * tick), note.pitch, note.velocity) for track in score.tracks for note in track.notes
    )
