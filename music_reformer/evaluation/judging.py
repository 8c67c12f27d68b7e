"""Judges several variations of a piece: rank, reasons in words, and the longest passages that are not new.

A passage is a run of notes with the same intervals and the same time between them, in any key (`originality.py`).
Passages are searched for in all notes and in the top line; the longer one counts.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import symusic

from music_reformer.evaluation.notes import Notes
from music_reformer.evaluation.originality import TrainingIndex, symbols
from music_reformer.evaluation.passages import STEPS_PER_BEAT, KnownPassages, line_of
from music_reformer.evaluation.ranking import ranked
from music_reformer.evaluation.reasons import reasons
from music_reformer.midi.score import with_likely_metre
from music_reformer.midi.vocabulary import is_selected

MAX_NOTES = 50_000  # of a piece, those nearest to the new ones, in which passages are searched for


@dataclass(frozen=True)
class NewMusic:
    """The place of new music: from tick `cut` to before `end`, in some programs and tracks (empty: all).

    `is_hole`: whether the piece continues at `end`.
    """

    cut: int
    end: int
    is_hole: bool = False
    programs: Collection[int] = ()
    tracks: Collection[int] = ()


@dataclass(frozen=True)
class Judgement:
    """The judgement on a variation.

    Attributes:
        rank: 1 for the one closest to the piece; None if there is no music before the cut.
        reasons: in words, what it keeps of the piece and where it departs from it.
        longest_in_piece: length in notes of the longest passage that the piece also has.
        longest_in_training: length in notes of the longest passage of its top line that may occur in the training set;
            0 if none is long enough for `KnownPassages` to detect; None without such an index.
    """

    rank: int | None
    reasons: list[str]
    longest_in_piece: int
    longest_in_training: int | None

    def plain(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)


def judge(scores: Sequence[symusic.Score], span: NewMusic, passages: KnownPassages | None = None) -> list[Judgement]:
    """Judge variations of one piece.

    Args:
        scores: the same piece with other new music in each, in ticks.
        span: the place of the new music.
        passages: index of the training set; None: not searched.
    """
    ends = {"cut_tick": span.cut, "end_tick": span.end}
    words = [reasons(score, **ends) for score in scores]
    ranks: list[int | None] = [None] * len(scores)
    if all(words):
        for rank, index in enumerate(ranked(scores, **ends), start=1):
            ranks[index] = rank
    parts = [_parts(score, span) for score in scores]
    own = _Heard(parts[0][1:])
    return [
        Judgement(rank, said, own.longest(new), None if passages is None else passages.longest(line_of(new)))
        for rank, said, (new, *_) in zip(ranks, words, parts, strict=True)
    ]


class _Heard:
    """An index of the music before and after the new music, over all notes and over the top line."""

    def __init__(self, parts: Sequence[Notes]) -> None:
        self._all = TrainingIndex([symbols(part, steps_per_beat=STEPS_PER_BEAT) for part in parts])
        self._line = TrainingIndex([line_of(part) for part in parts])

    def longest(self, new: Notes) -> int:
        both = (self._all, symbols(new, steps_per_beat=STEPS_PER_BEAT)), (self._line, line_of(new))
        found = max(index.longest(query, num_notes=len(new)).num_notes for index, query in both)
        return found if found > 1 else 0


def _parts(score: symusic.Score, span: NewMusic) -> tuple[Notes, Notes, Notes]:
    """The notes of the tracks that play new music: the new notes, the notes before them, and the notes after them."""
    players = with_likely_metre(score)
    players.tracks = [
        track
        for index, track in enumerate(players.tracks)
        if is_selected(track, index, programs=span.programs, tracks=span.tracks)
    ]
    notes = Notes.of(players)
    tick = np.rint(notes.onset_beats * score.ticks_per_quarter)
    end = span.end if span.is_hole else math.inf
    before, behind = np.flatnonzero(tick < span.cut), np.flatnonzero(tick >= end)
    keeps = np.zeros((2, len(notes)), dtype=bool)
    keeps[0, before[-MAX_NOTES:]], keeps[1, behind[:MAX_NOTES]] = True, True
    return notes.where((tick >= span.cut) & (tick < end)), notes.where(keeps[0]), notes.where(keeps[1])
