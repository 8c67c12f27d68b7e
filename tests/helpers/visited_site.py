"""The server that the browser tests visit."""

from __future__ import annotations

from dataclasses import dataclass

from helpers.stand_in_generator import StandInGenerator
from music_reformer.ui.operations import Operations


@dataclass
class Site:
    """Where it is, and what the tests look at behind it."""

    address: str
    operations: Operations
    generator: StandInGenerator
