"""The server that the browser tests visit."""

from __future__ import annotations

from dataclasses import dataclass

from helpers.stand_in_generator import StandInGenerator
from music_reformer.ui.operations import Operations


@dataclass
class Site:
    """The address of the server, and the objects behind it that tests inspect."""

    address: str
    operations: Operations
    generator: StandInGenerator
