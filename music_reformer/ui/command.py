"""`music-reformer app`, and `python app.py`: load the weights and serve the page."""

from __future__ import annotations

import gc
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from music_reformer.config import AppConfig

if TYPE_CHECKING:
    from music_reformer.generation.generator import Generator


def app(config: AppConfig) -> int:
    """Serve the page until Ctrl+C or SIGTERM; returns the exit code.

    Raises:
        UserError: the weights cannot be used, or the page cannot be served at this address.
    """
    from music_reformer.midi.limited import forking

    # The helper process does its imports on another core, while this process does its own.
    with forking("music_reformer.midi.guard:get_ready"):
        # Imported and loaded objects stay, but searching them for garbage takes a fifth of the time to load them.
        gc.disable()
        try:
            return _serve(config)
        finally:
            gc.enable()


def _serve(config: AppConfig) -> int:
    """`app`, with a process beside it that reads visitors' files."""
    # Slow to import, so that `--help` is not.
    from music_reformer.evaluation.passages import KnownPassages
    from music_reformer.generation.generator import Generator
    from music_reformer.ui.folders import lasting_folder
    from music_reformer.ui.page import build_page, launch_page

    generator = Generator.load(config.checkpoint, device=config.device, prepared=False)
    page = build_page(
        generator=generator,
        folder=Path(config.folder).expanduser() if config.folder else lasting_folder(),
        at_once=config.at_once or None,
        max_bytes=round(config.max_gigabytes * 1e9),
        passages=KnownPassages.load(config.checkpoint),
    )
    launch_page(
        page,
        host=config.host,
        port=config.port,
        open_browser=config.open_browser and _has_display(),
        allowed_hosts=config.allowed_hosts,
        when_served=threading.Thread(target=_prepare, args=[generator], name="prepare", daemon=True).start,
    )
    return 0


def _prepare(generator: Generator) -> None:
    """Done in the background after the page is served, while the first visitor looks round."""
    from music_reformer.ui.freed import give_back, give_back_libraries

    try:
        generator.prepare()
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()
        give_back()
        give_back_libraries()


def _has_display() -> bool:
    """Whether this machine can show a browser."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
