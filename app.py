"""The page: `python app.py`, then http://127.0.0.1:7860. `music-reformer app` is the same with key=value settings."""

from __future__ import annotations

import argparse
import sys

from music_reformer.config import AppConfig
from music_reformer.errors import UserError
from music_reformer.exit import leave
from music_reformer.ui.command import app


def parse(arguments: list[str] | None = None) -> AppConfig:
    """The command line as settings. Raises `UserError` for one that cannot be."""
    usual = AppConfig()
    parser = argparse.ArgumentParser(description="Continue MIDI files in the browser.")
    parser.add_argument("--host", default=usual.host, help="address to listen on; 0.0.0.0 lets other machines in")
    parser.add_argument("--port", type=int, help="default: the first free one from 7860")
    parser.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="another host name that the page answers to, such as that of a proxy in front of it; may be repeated",
    )
    parser.add_argument("--folder", help="where visitors' pieces are kept; default: in the user's data folder")
    parser.add_argument("--checkpoint", default=usual.checkpoint, help="folder of weights, or a training checkpoint")
    parser.add_argument("--no-browser", action="store_true", help="do not open the page in a browser")
    options = parser.parse_args(arguments)
    return AppConfig(
        host=options.host,
        port=options.port,
        allowed_hosts=options.allow_host,
        folder=options.folder,
        checkpoint=options.checkpoint,
        open_browser=not options.no_browser,
    )


def main(arguments: list[str] | None = None) -> int:
    """Serve the page until interrupted. Returns the exit code."""
    try:
        return app(parse(arguments))
    except UserError as error:
        sys.stderr.write(f"app.py: {error}\n")
        return 2


if __name__ == "__main__":
    leave(main())
