"""Fixtures for the page without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest

from helpers.stand_in_generator import StandInGenerator
from music_reformer.midi.examples import EXAMPLES
from music_reformer.ui.operations import Operations
from music_reformer.ui.page import build_page, launch_page
from music_reformer.ui.shelf import Shelf

# Seconds for which the server keeps an order that nobody listens to: a busy machine needs a few to begin to listen.
PATIENCE = 4.0


@pytest.fixture
def operations(tmp_path: Path) -> Operations:
    return Operations(generator=StandInGenerator(seconds=0.1), shelf=Shelf(tmp_path / "shelf"))


@pytest.fixture
def midi_file(tmp_path: Path) -> Path:
    path = tmp_path / "my song.mid"
    path.write_bytes(EXAMPLES["waltz"].score().dumps_midi())
    return path


@pytest.fixture(scope="module")
def site_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def server(site_folder: Path) -> Iterator[gr.Server]:
    server = build_page(generator=StandInGenerator(seconds=0.2), folder=site_folder, at_once=2, patience=PATIENCE)
    yield server
    server.get_blocks().close(verbose=False)


@pytest.fixture(scope="module")
def address(server: gr.Server) -> str:
    return launch_page(server, host="127.0.0.1", port=None, open_browser=False, block=False)


@pytest.fixture
def uploads_folder(server: gr.Server) -> Path:
    return server.state.uploads.folder


@pytest.fixture
def served(server: gr.Server) -> Operations:
    """The operations behind `address`."""
    return server.state.operations
