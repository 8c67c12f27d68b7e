"""What a million files cost the process that keeps their results and writes the store: seconds and memory.

Encoding is left out: the results are made up, of 64 tokens each; of a hundred files 2 are damaged, 3 have the notes of
another one, and 5 nearly so.

    python -m benchmarks.corpus --files 20000 1000000

Memory is what a process has for itself (anonymous), at its most: mapped files, which the system takes back when others
need memory, are counted apart.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import in_child, machine, megabytes, show, status_of_process, write

TOKENS = 64
SECONDS_BETWEEN_LOOKS = 0.05


def made_up(number: int) -> dict[str, Any]:
    """The result of a file, the same whenever it is asked for."""
    import numpy as np

    from music_reformer.data.prepare.near_duplicates import NUM_HASHES

    kind = number % 100
    if kind < 2:
        return {"kind": "unreadable", "reason": f"{_source(number)} is no MIDI file"}
    # One of the hundred before, so that some copies are of another split.
    original = max(50, number - kind - 50) if 2 <= kind < 10 else number
    random = np.random.default_rng(original)
    hashes = random.integers(0, 2**32, NUM_HASHES, dtype=np.uint32)
    notes = original if 2 <= kind < 5 else number
    if 5 <= kind < 10:
        hashes[:: NUM_HASHES // 8] += 1
    digest = hashlib.sha256(notes.to_bytes(8)).hexdigest()
    return {
        "tokens": random.integers(0, 500, TOKENS).astype(np.uint16).tobytes(),
        "length": TOKENS,
        "sha256": digest,
        "notes_sha256": digest,
        "num_notes": 16,
        "seconds": 8.0,
        "num_bars": 4,
        "signature": hashes.tobytes(),
        "pitches": random.integers(0, 4, 128).astype(np.uint32).tobytes(),
        "programs": [0],
        "key": int(random.integers(24)),
        "metre": "4/4",
        "bpm": 120.0,
    }


def _source(number: int) -> str:
    return f"{number // 1000:04d}/{number:07d}.mid"


def keep_and_write(*, files: int) -> dict[str, dict[str, float]]:
    """In a child process: processor seconds and memory of each step."""
    from music_reformer.config import CorpusConfig, PrepareConfig
    from music_reformer.data.corpora.corpus_manifest import CorpusManifest
    from music_reformer.data.corpora.splits import SPLITS, CorpusFile
    from music_reformer.data.prepare.assemble import write_store
    from music_reformer.data.prepare.journal import ResultJournal
    from music_reformer.data.store import TokenStore

    steps: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "store"
        (output / "partial").mkdir(parents=True)
        journal = ResultJournal(output / "partial")

        def listed() -> Iterator[CorpusFile]:
            for number in range(files):
                split = SPLITS[0 if number // 100 % 10 else 1 + number // 1000 % 2]
                yield CorpusFile(source=_source(number), composition=_source(number), split=split)

        def keep() -> None:
            for source in journal.waiting():
                journal.add(source, made_up(int(source[-11:-4])))

        def write_all() -> None:
            write_store(output, journal, PrepareConfig(corpus=CorpusConfig(path=folder)), CorpusManifest(), {})

        def read() -> None:
            pieces = TokenStore.open(output).pieces
            assert len(pieces) < files, "some of the made-up files are damaged or copies"

        _measure(steps, "nothing yet", lambda: None)
        _measure(steps, "files listed", lambda: journal.set_files(listed()))
        _measure(steps, "results made up and kept", keep)
        _measure(steps, "near-duplicates grouped, store written", write_all)
        journal.close()
        _measure(steps, "store opened", read)
    return steps


def _measure(steps: dict[str, dict[str, float]], name: str, step: Callable[[], None]) -> None:
    most = {"own_bytes": 0, "mapped_bytes": 0}
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            most["own_bytes"] = max(most["own_bytes"], status_of_process("RssAnon"))
            most["mapped_bytes"] = max(most["mapped_bytes"], status_of_process("RssFile"))
            done.wait(SECONDS_BETWEEN_LOOKS)

    looking = threading.Thread(target=look)
    looking.start()
    begin, begin_clock = time.process_time(), time.perf_counter()
    step()
    seconds = {"processor_seconds": time.process_time() - begin, "seconds": time.perf_counter() - begin_clock}
    done.set()
    looking.join()
    steps[name] = {**seconds, **most}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", default=[20_000, 1_000_000])
    options = parser.parse_args()
    print(machine("cpu"))
    rows: list[dict[str, Any]] = []
    for files in options.files:
        steps = in_child("benchmarks.corpus:keep_and_write", files=files) or {}
        rows.append({"files": files, "steps": steps})
        lines = [
            [
                name,
                f"{step['processor_seconds']:.1f}",
                f"{step['seconds']:.1f}",
                megabytes(step["own_bytes"]),
                megabytes(step["mapped_bytes"]),
            ]
            for name, step in steps.items()
        ]
        show(f"{files:,} files", ["step", "processor seconds", "seconds", "own memory", "mapped files"], lines)
    print(f"\n{write('corpus', settings=vars(options), rows=rows, device='cpu')}")


if __name__ == "__main__":
    main()
