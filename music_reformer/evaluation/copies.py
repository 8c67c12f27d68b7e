"""Finds passages that a piece shares with a training set: the training piece, the places, and the number of notes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from music_reformer.data.store import TokenStore
from music_reformer.evaluation.groups import piece_notes
from music_reformer.evaluation.notes import Notes
from music_reformer.evaluation.originality import TrainingIndex, onsets_s, symbols
from music_reformer.midi.tokenizer import MusicTokenizer


class TrainingSet:
    """A searchable index of the training split of a store. Build one with `TrainingSet.of`.

    Args:
        sources: source of each piece.
        pieces: notes of each piece.
        steps_per_beat: grid to which onsets are rounded; None: steps of 50 ms.
    """

    def __init__(self, sources: list[str], pieces: list[Notes], *, steps_per_beat: int | None) -> None:
        self.steps_per_beat = steps_per_beat
        self.num_notes = sum(map(len, pieces))
        self._sources = sources
        # The notes of each piece by line: their onsets say where a passage is.
        self._lines = {"all_notes": pieces, "top_line": [top_line(notes) for notes in pieces]}
        self._indices = {
            line: TrainingIndex([symbols(notes, steps_per_beat=steps_per_beat) for notes in group])
            for line, group in self._lines.items()
        }

    @classmethod
    def of(cls, store: TokenStore, *, done: Callable[[], None] = lambda: None) -> TrainingSet:
        """Index the training split of a store. `done` is called after each piece."""
        training = store.split("train")
        pieces = []
        for piece in training:
            pieces.append(piece_notes(store, piece))
            done()
        return cls([piece.source for piece in training], pieces, steps_per_beat=_steps_per_beat(store.music_tokenizer))

    def copies(self, notes: Notes) -> dict[str, dict[str, Any]]:
        """The longest n-gram of a piece that occurs in the training set, over all notes and over the top line.

        Returns:
            "all_notes" and "top_line", each with "notes" (the length) and, if that is above 1, "from_second" in the
            piece, "source" of the training piece, and "source_second" within it.
        """
        return {line: self._longest(line, top_line(notes) if line == "top_line" else notes) for line in self._lines}

    def _longest(self, line: str, notes: Notes) -> dict[str, Any]:
        grid = {"steps_per_beat": self.steps_per_beat}
        copy = self._indices[line].longest(symbols(notes, **grid), num_notes=int((~notes.drum).sum()))
        if copy.piece < 0:
            return {"notes": copy.num_notes}
        there = self._lines[line][copy.piece]
        return {
            "notes": copy.num_notes,
            "from_second": round(float(onsets_s(notes, **grid)[copy.begin]), 2),
            "source": self._sources[copy.piece],
            "source_second": round(float(onsets_s(there, **grid)[copy.begin_there]), 2),
        }


def top_line(notes: Notes) -> Notes:
    """The highest of the notes that begin together, without drums: mostly the melody."""
    melodic = notes.where(~notes.drum)
    if not len(melodic):
        return melodic
    # Notes are sorted by onset, then pitch, so the last of each onset is the highest.
    last = np.append(np.diff(melodic.onset_beats) > 0, True)
    return melodic.where(last)


def _steps_per_beat(tokenizer: MusicTokenizer) -> int | None:
    """The grid of an encoding; None for Performance, which has no beats."""
    vocabulary = tokenizer.vocabulary
    return None if vocabulary.is_performance else vocabulary.positions_per_beat
