"""The page: `python app.py`, then http://127.0.0.1:7860."""

from __future__ import annotations

import argparse
import os
import sys

from music_reformer.errors import UserError


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Continue MIDI files in the browser.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 lets other machines in")
    parser.add_argument("--port", type=int, default=None, help="default: the first free one from 7860")
    parser.add_argument("--checkpoint", default="pretrained", help="folder of weights, or a training checkpoint")
    parser.add_argument("--no-browser", action="store_true", help="do not open the page in a browser")
    return parser.parse_args(arguments)


def has_display() -> bool:
    """Whether a browser opened here would be seen."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def main(arguments: list[str] | None = None) -> int:
    """Load the weights, then serve the page until interrupted. Returns the exit code."""
    options = parse(arguments)
    # Slow to import, so that `--help` is not.
    from music_reformer.generation.generator import Generator
    from music_reformer.ui.page import build_page, launch_page

    try:
        page = build_page(generator=Generator.load(options.checkpoint))
        launch_page(page, host=options.host, port=options.port, open_browser=has_display() and not options.no_browser)
    except UserError as error:
        sys.stderr.write(f"app.py: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
