"""Joins the drum grooves of a session, most of them one bar long, into pieces long enough to learn from.

The files of the Groove MIDI Dataset are named DRUMMER__SESSION__NUMBER_STYLE_TEMPO_KIND_METRE, where KIND is "beat" (up
to minutes long) or "fill" (mostly one bar). The files of one group, style and metre whose tempos are near become one
piece: the beats in their order, cut into phrases of four bars, with the fills spread evenly after them. Every note is
kept, except where the last hit of a file falls on the first beat of what follows and is played there, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import symusic
from numpy.typing import NDArray

NAME = re.compile(
    r"(?P<drummer>[^_]+)__(?P<session>\w+?)__(?P<number>\d+)_(?P<style>[^_]+)_(?P<bpm>\d+)_(?P<kind>beat|fill)"
    r"_(?P<beats>\d+)-(?P<unit>\d+)\.mid"
)
# Grooves are joined if the fastest is at most this much faster than the slowest.
TEMPO_RANGE = 1.1
PHRASE_BARS = 4
GRID = 480  # ticks in a quarter
EARLY = GRID // 8  # a hit less than a 32nd before a bar line was meant for the line


@dataclass(frozen=True)
class _Groove:
    file: str
    session: tuple[str, str]
    style: str
    number: int
    bpm: int
    is_fill: bool
    metre: tuple[int, int]

    @classmethod
    def named(cls, file: str) -> _Groove | None:
        """Parse a file's name; None if it is not the name of a groove."""
        found = NAME.fullmatch(file.rsplit("/", 1)[-1])
        if found is None:
            return None
        return cls(
            file=file,
            session=(found["drummer"], found["session"]),
            style=found["style"].split("-")[0],
            number=int(found["number"]),
            bpm=int(found["bpm"]),
            is_fill=found["kind"] == "fill",
            metre=(int(found["beats"]), int(found["unit"])),
        )


def plan_joins(files: Iterable[str], group_of: Mapping[str, str]) -> dict[str, list[str]]:
    """The files to join, by the name of the resulting piece. A file not named as a groove stays alone.

    Args:
        files: names of the files.
        group_of: the group of each file; files of different groups are never joined.
    """
    alone: dict[str, list[str]] = {}
    sets: dict[tuple[object, ...], list[_Groove]] = {}
    for file in sorted(files):
        groove = _Groove.named(file)
        if groove is None:
            alone[file] = [file]
        else:
            key = (group_of[file], *groove.session, groove.style, groove.metre)
            sets.setdefault(key, []).append(groove)
    joined: dict[str, list[str]] = {}
    for grooves in sets.values():
        for near in _by_tempo(grooves):
            first = near[0]
            drummer, session = first.session
            tempo, metre = min(groove.bpm for groove in near), "-".join(map(str, first.metre))
            folder = first.file.rpartition("/")[0]
            name = f"{folder}/" * bool(folder) + f"{drummer}__{session}__{first.style}_{tempo}_{metre}"
            same = sum(each.startswith(f"{name}.") for each in joined)  # of another group
            joined[f"{name}.{same + 1}.mid" if same else f"{name}.mid"] = [groove.file for groove in near]
    return alone | joined


def _by_tempo(grooves: Sequence[_Groove]) -> list[list[_Groove]]:
    """Sets of grooves at nearly one tempo, each in the order of the session."""
    sets: list[list[_Groove]] = []
    for groove in sorted(grooves, key=lambda groove: groove.bpm):
        if not sets or groove.bpm > TEMPO_RANGE * sets[-1][0].bpm:
            sets.append([])
        sets[-1].append(groove)
    return [sorted(near, key=lambda groove: groove.number) for near in sets]


def join(grooves: Sequence[tuple[str, symusic.Score]]) -> symusic.Score:
    """Join grooves as planned by `plan_joins`, given as (name of the file, score in ticks), into one piece."""
    named = [(_Groove.named(file), score.resample(GRID)) for file, score in grooves]
    known = [(groove, score) for groove, score in named if groove is not None]
    beats, unit = known[0][0].metre
    bar = 4 * GRID * beats // unit
    phrases = [phrase for groove, score in known if not groove.is_fill for phrase in _phrases(_notes(score), bar)]
    fills = [_Phrase.whole(_notes(score), bar) for groove, score in known if groove.is_fill]
    tempo = float(np.average([groove.bpm for groove, _ in known], weights=[score.note_num() for _, score in known]))
    piece = symusic.Score(GRID)
    piece.tempos = [symusic.Tempo(0, qpm=tempo)]
    piece.time_signatures = [symusic.TimeSignature(0, beats, unit)]
    track = symusic.Track("Drums", 0, True)
    track.notes = symusic.Note.from_numpy(**_laid_out(_alternating(phrases, fills), bar))
    piece.tracks = [track]
    return piece


@dataclass(frozen=True)
class _Phrase:
    """Some bars: the notes, timed from the first bar line and sorted by time, and the number of bars."""

    notes: dict[str, NDArray[np.int32]]
    num_bars: int

    @classmethod
    def whole(cls, notes: dict[str, NDArray[np.int32]], bar: int) -> _Phrase:
        """All notes as one phrase. Hits on the bar line after the last bar belong to what follows."""
        last = int(notes["time"].max())
        return cls(notes, max(1, -(-(last - EARLY) // bar)))


def _notes(score: symusic.Score) -> dict[str, NDArray[np.int32]]:
    columns = [track.notes.numpy() for track in score.tracks]
    notes = {name: np.concatenate([each[name] for each in columns]) for name in columns[0]}
    order = np.lexsort((notes["pitch"], notes["time"]))
    return {name: values[order] for name, values in notes.items()}


def _phrases(notes: dict[str, NDArray[np.int32]], bar: int) -> list[_Phrase]:
    """A beat, cut at every fourth bar line."""
    whole = _Phrase.whole(notes, bar)
    length = PHRASE_BARS * bar
    # A last phrase of less than two bars stays with the one before it.
    num = max(1, (whole.num_bars + PHRASE_BARS // 2) // PHRASE_BARS)
    number = np.clip((notes["time"] + EARLY) // length, 0, num - 1)
    phrases = []
    for i in range(num):
        of_phrase = {name: values[number == i] for name, values in notes.items()}
        of_phrase["time"] = of_phrase["time"] - i * length
        phrases.append(_Phrase(of_phrase, PHRASE_BARS if i + 1 < num else whole.num_bars - i * PHRASE_BARS))
    return phrases


def _alternating(phrases: Sequence[_Phrase], fills: Sequence[_Phrase]) -> list[_Phrase]:
    """The phrases with the fills spread evenly after them."""
    row: list[_Phrase] = []
    num_fills = 0
    for number, phrase in enumerate(phrases, start=1):
        row.append(phrase)
        due = number * len(fills) // len(phrases)
        row += fills[num_fills:due]
        num_fills = due
    return row + list(fills[num_fills:])


def _laid_out(row: Sequence[_Phrase], bar: int) -> dict[str, NDArray[np.int32]]:
    """The notes of phrases one after the other."""
    parts: list[dict[str, NDArray[np.int32]]] = []
    begin = 0
    landing = {name: values[:0] for name, values in row[0].notes.items()}
    for phrase in row:
        end = phrase.num_bars * bar
        inside = phrase.notes["time"] < end - EARLY
        near_begin = phrase.notes["pitch"][np.abs(phrase.notes["time"]) <= 2 * EARLY]
        carried = ~np.isin(landing["pitch"], near_begin)
        for notes, chosen in ((landing, carried), (phrase.notes, inside)):
            part = {name: values[chosen] for name, values in notes.items()}
            part["time"] = np.maximum(part["time"] + begin, 0)
            parts.append(part)
        landing = {name: values[~inside] for name, values in phrase.notes.items()}
        landing["time"] = landing["time"] - end
        begin += end
    landing["time"] = landing["time"] + begin
    parts.append(landing)
    return {name: np.concatenate([part[name] for part in parts]).astype(parts[0][name].dtype) for name in parts[0]}
