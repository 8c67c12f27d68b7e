"""Fixtures for the page without a browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.stand_in_generator import StandInGenerator
from music_reformer.midi.examples import EXAMPLES
from music_reformer.ui.operations import Operations
from music_reformer.ui.shelf import Shelf


@pytest.fixture
def operations(tmp_path: Path) -> Operations:
    return Operations(generator=StandInGenerator(seconds=0.1), shelf=Shelf(tmp_path / "shelf"))


@pytest.fixture
def midi_file(tmp_path: Path) -> Path:
    path = tmp_path / "my song.mid"
    path.write_bytes(EXAMPLES["waltz"].score().dumps_midi())
    return path
