"""The page as a composer feels it: seconds until something is there to see or to hear, and the memory of the server.

    python -m benchmarks.page                 # five of each; three minutes on two idle cores
    python -m benchmarks.page --repeats 1     # a trial

Serves the shipped weights in a process of its own and visits them with the system's Chromium. Times are medians over
`--repeats`. The server is started twice: the first start on a machine compiles, the next ones find what it compiled.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import symusic

from benchmarks.harness import machine, show, write
from music_reformer.midi.examples import EXAMPLES

TOKENS = 8_000  # of the long prompt
BARS, VARIATIONS = 16, 4
ROUNDS = 6  # of compositions at least, for the plateau of the memory
PATIENCE = 300.0  # seconds for the server to start
GOALS = {
    "server start to page, s": 5.0,
    "file to first picture, s": 0.3,
    "play to first sound, s": 0.3,
    "Continue to first new note, s": 1.0,
    f"{VARIATIONS} variations of {BARS} bars after {TOKENS:,} tokens, s": 4.0,
    "memory of an idle server, MB": 500.0,
    f"growth of memory a composition, last {ROUNDS // 2}, MB": 5.0,
}
# Seconds from a press of a button to the frame in which it has brought what a script sees.
PRESS = """async ([button, seen]) => {
  const look = {
    note: () => parseInt(document.querySelector('.card small')?.textContent) > 0,
    sound: () => Number(document.querySelector('#meter').getAttribute('aria-valuenow')) > 0.003,
    done: () => document.body.dataset.phase === 'done',
  }[seen];
  const began = performance.now();
  document.querySelector(button).click();
  do await new Promise(requestAnimationFrame); while (!look());
  return (performance.now() - began) / 1000;
}"""
# The same from the choice of a file to the frame in which it is drawn.
OPEN = """async ([name, bytes]) => {
  const files = new DataTransfer();
  files.items.add(new File([Uint8Array.from(bytes)], `${name}.mid`));
  const chooser = document.querySelector('#file');
  const began = performance.now();
  chooser.files = files.files;
  chooser.dispatchEvent(new Event('change'));
  const title = document.querySelector('#piece-name');
  const isOpen = () => title.textContent === name && document.body.dataset.phase === 'ready';
  do await new Promise(requestAnimationFrame); while (!isOpen());
  return (performance.now() - began) / 1000;
}"""


def memory(process: int) -> float:
    """Megabytes of a process and its children; pages that several processes share are divided among them (PSS)."""
    rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    assert found is not None
    threads = Path(f"/proc/{process}/task").iterdir()
    children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    return int(found[1]) / 1000 + sum(map(memory, children))


@contextmanager
def served(folder: Path, checkpoint: str) -> Iterator[tuple[str, int, float]]:
    """The page in a process of its own: its address, process and seconds from the command to the first answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "music_reformer", "app", f"port={port}", f"folder={folder}"]
    began = time.monotonic()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, f"checkpoint={checkpoint}", "open_browser=false"], stdout=log, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}/"
    try:
        while True:
            try:
                urllib.request.urlopen(address, timeout=5).read()
                break
            except (urllib.error.URLError, OSError):
                if process.poll() is not None or time.monotonic() - began > PATIENCE:
                    raise RuntimeError(f"The page did not start:\n{(folder / 'log').read_text()}") from None
                time.sleep(0.02)
        yield address, process.pid, time.monotonic() - began
    finally:
        process.terminate()
        process.wait()


def long_piece(checkpoint: str) -> bytes:
    """One of the examples, as often as makes a prompt of `TOKENS`."""
    from music_reformer.generation.generator import Generator
    from music_reformer.generation.request import Request

    generator, once = Generator.load(checkpoint), EXAMPLES["evening"].score()
    session = generator.start(once, Request(length="1bars"))
    session.stop()
    return repeated(once, -(-TOKENS // len(session.prompt.past_ids))).dumps_midi()


def repeated(score: symusic.Score, times: int) -> symusic.Score:
    """A score `times` times in a row, in whole bars of 4/4."""
    bar = 4 * score.ticks_per_quarter
    length = -(-score.end() // bar) * bar
    whole = score.copy()
    for track in whole.tracks:
        notes = list(track.notes)
        for again in range(1, times):
            track.notes.extend([symusic.Note(n.time + again * length, n.duration, n.pitch, n.velocity) for n in notes])
    return whole


def visited(address: str, process: int, files: dict[str, bytes], repeats: int) -> dict[str, list[float]]:
    """Seconds that a visitor with Chromium waits for each thing, and the server's megabytes after each composition."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    found: dict[str, list[float]] = {name: [] for name in ("picture", "sound", "note", "long")}
    found["megabytes"] = [memory(process)]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page()
        tab.set_default_timeout(600_000)
        tab.goto(address)
        tab.wait_for_selector("#examples button")
        for _ in range(repeats):
            found["picture"] += [tab.evaluate(OPEN, [name, list(files[name])]) for name in ("another", "short")]
        tab.wait_for_selector("#play[aria-busy=false]")
        for _ in range(repeats):
            found["sound"].append(tab.evaluate(PRESS, ["#play", "sound"]))
            tab.click("#play")
            tab.wait_for_timeout(1500)
            tab.click("#rewind")
        tab.evaluate("document.querySelector('#choose').checked = false")
        tab.click(f"label[for=variations-{VARIATIONS}]")
        tab.fill("#amount", str(BARS))
        for name, seen, times in (("short", "note", repeats), ("long", "done", max(repeats, ROUNDS))):
            tab.evaluate(OPEN, [name, list(files[name])])
            for _ in range(times):
                found["note" if name == "short" else "long"].append(tab.evaluate(PRESS, ["#compose", seen]))
                tab.wait_for_selector("body[data-phase=done]")
                found["megabytes"].append(memory(process))
        browser.close()
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="pretrained")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    short = EXAMPLES["evening"].score().dumps_midi()
    # In a process that ends: one that has loaded the model, too, would share its libraries with the server.
    with ProcessPoolExecutor(1, get_context("spawn")) as other:
        long = other.submit(long_piece, options.checkpoint).result()
    files = {"short": short, "another": short, "long": long}
    starts, idle = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(2):
            with served(Path(folder), options.checkpoint) as (address, process, seconds):
                starts.append(seconds)
                time.sleep(5)
                idle.append(memory(process))
                found = visited(address, process, files, options.repeats) if number else {}
    values = [starts[-1], *(statistics.median(found[name]) for name in ("picture", "sound", "note", "long")), idle[-1]]
    megabytes = found["megabytes"]
    last = megabytes[-1 - ROUNDS // 2 :]
    values.append((last[-1] - last[0]) / (len(last) - 1))
    rows = [
        {"what": what, "goal": goal, "value": value} for (what, goal), value in zip(GOALS.items(), values, strict=True)
    ]
    show(
        "The page, medians",
        ("", "goal", "measured"),
        [(row["what"], f"{row['goal']:g}", f"{row['value']:.2f}") for row in rows],
    )
    print(f"\nFirst start: {starts[0]:.1f} s. Memory at first and after each composition, MB:")
    print(*[round(each) for each in megabytes])
    write("page", settings=vars(options), rows=[*rows, {"starts": starts, **found}], device="cpu")
    print(machine("cpu"))


if __name__ == "__main__":
    main()
