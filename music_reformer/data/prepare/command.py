"""`music-reformer prepare`: MIDI files (`midi.py`) or sequences of integers (`sequences.py`) to a token store."""

from __future__ import annotations

from pathlib import Path

from music_reformer.config import PrepareConfig
from music_reformer.data.prepare.midi import prepare_midi
from music_reformer.data.prepare.sequences import prepare_sequences
from music_reformer.data.store import TokenStore
from music_reformer.errors import UserError


def prepare(config: PrepareConfig, *, progress: bool = True) -> TokenStore:
    """Prepare a corpus.

    Args:
        config: what to prepare, how, and where to write it.
        progress: whether to show a progress bar and a summary.

    Raises:
        UserError: the corpus cannot be used, or the output folder holds something else.
    """
    prepare_kind = prepare_midi if config.corpus.kind == "midi" else prepare_sequences
    return prepare_kind(config, _output_folder(config), progress=progress)


def _output_folder(config: PrepareConfig) -> Path:
    """Folder of the store; a downloaded corpus has a default."""
    if config.output is not None:
        return Path(config.output)
    if config.corpus.path is not None or config.corpus.kind != "midi":
        raise UserError("prepare needs output: add output=..., the folder to write to")
    return Path("datasets") / config.corpus.name
