"""The page in a process of its own, which a test can end and start again on the same port and folder.

python -m helpers.served_site FOLDER PORT serves it with the stand-in generator until it is told to end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).parent.parent


@contextmanager
def served(folder: Path, port: int, *, seconds: float = 240.0) -> Iterator[str]:
    """The page's address, as long as the block lasts; `seconds` is how long it may take to start."""
    command = [sys.executable, "-m", "helpers.served_site", str(folder), str(port)]
    path = os.pathsep.join(filter(None, [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH")]))
    server = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}/"
        deadline = time.monotonic() + seconds
        while not _answers(address):
            assert server.poll() is None, f"the server ended with exit code {server.returncode}"
            assert time.monotonic() < deadline, f"the server did not answer within {seconds} s"
            time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=60)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def main() -> None:
    from helpers.stand_in_generator import StandInGenerator
    from music_reformer.ui.page import build_page, launch_page

    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    page = build_page(generator=StandInGenerator(seconds=1.0), folder=folder, at_once=1)
    launch_page(page, host="127.0.0.1", port=port, open_browser=False)


if __name__ == "__main__":
    main()
