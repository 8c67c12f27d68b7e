"""The settings of `music-reformer generate`: a `Request` for many prompts, and how to run it."""

from __future__ import annotations

from dataclasses import dataclass

from music_reformer.config import ENGINES, MAX_PROCESSES, MAX_SEED, require
from music_reformer.config.checked import bounded, location, one_of
from music_reformer.generation.request import Request


@dataclass
class GenerateConfig(Request):
    """`music-reformer generate`: continue a folder of prompts and write a folder of MIDI files.

    Inherits the fields of `Request`, so that they need no prefix: `length=16bars variations=2`.
    """

    # Folder of weights or a training checkpoint; "pretrained": the weights shipped with the package.
    checkpoint: str = location("pretrained")
    # A MIDI file or a folder of them; null: compose from nothing.
    prompts: str | None = location(None)
    output: str = location("???")
    # If music was not played to the file's bars, find its bars in the notes (midi/retiming.py); false: keep the file's.
    find_beats: bool = True
    # Several seeds, each used for all variations of every prompt; names of files then contain the seed.
    seeds: list[int] = bounded([], 0, MAX_SEED, size=(0, 1_000_000))
    # Token store that the weights were trained on, to search outputs for passages copied from it; null: no search.
    data: str | None = location(None)
    # local: processes on this machine; ray: a Ray cluster, whose machines must have all paths in common.
    engine: str = one_of("local", ENGINES)
    # Number of processes, or workers of the cluster; 0: one for each GPU or, without GPUs, for each core.
    workers: int = bounded(1, 0, MAX_PROCESSES, hint="0 means one for each GPU or core")
    # Variations per step of the model, of several prompts together: more tokens a second. 0: one prompt at a time.
    # On a GPU, about one file in a hundred then differs from the one composed alone (generation/loop.py).
    rows: int = bounded(0, 0, 4096, hint="0 means one prompt at a time")
    device: str = "auto"

    def check(self) -> None:
        """Raise `UserError` for settings that are invalid or contradict each other."""
        super().check()
        require(len(set(self.seeds)) == len(self.seeds), f"seeds ({self.seeds}) must be different from each other")

    @property
    def max_rows(self) -> int:
        """Largest number of variations in a step of the model."""
        return max(self.rows, self.num_composed)

    def request(self, *, seed: int, has_prompt: bool) -> Request:
        """The request with one of the seeds; without a prompt, the cut is left out."""
        return Request.of(self, seed=seed, **({} if has_prompt else {"cut_bar": None, "until_bar": None}))
