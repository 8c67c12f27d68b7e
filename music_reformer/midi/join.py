"""Joins bars of several variations of one piece: each bar is that of the variation chosen for it.

At every moment the joined piece plays what the chosen variation plays there. A note that sounds across a joint is held
if the next variation sounds the same pitch there; otherwise it ends at the joint. A note that the next variation still
holds from earlier begins at the joint if a quarter or more of it is left. Drum hits are not cut or begun at joints.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import symusic

from music_reformer.config import require
from music_reformer.midi.cut import SUSTAIN, new_track
from music_reformer.midi.score import bar_starts, with_likely_metre
from music_reformer.midi.vocabulary import program_of

# Identity of a track across variations: program (-1: drums), name, and its number among the tracks that share both.
Player = tuple[int, str, int]


@dataclass(frozen=True)
class Stretch:
    """Consecutive bars taken from one variation; the ticks are the same in all variations."""

    begin: int
    end: int
    variation: int


def joined(scores: Sequence[symusic.Score], lines: Sequence[int], choice: Sequence[int]) -> symusic.Score:
    """The first score with the notes, controllers and bends of the chosen variation in each bar.

    Args:
        scores: the same piece with other new music in each, in ticks.
        lines: bar lines of the new music; one more than there are bars.
        choice: index of the variation for each bar. The first also gives the music before it, the last the music after.
    """
    stretches = stretches_of(lines, choice)
    tracks = [players_of(score) for score in scores]
    result = scores[0].copy()
    order = list(dict.fromkeys(player for each in tracks for player in each))
    for place, player in enumerate(order):
        if place == len(result.tracks):
            empty = new_track(player[0])
            empty.name = player[1]
            result.tracks.append(empty)
        _fill(result.tracks[place], [each.get(player) for each in tracks], stretches, scores[0].ticks_per_quarter)
    return result


def stretches_of(lines: Sequence[int], choice: Sequence[int]) -> list[Stretch]:
    """The bars as stretches of one variation each; the first begins with the piece, the last never ends."""
    assert len(lines) == len(choice) + 1
    runs = [list(run) for _, run in groupby(range(len(choice)), key=lambda bar: choice[bar])]
    begins = [0, *(lines[run[0]] for run in runs[1:])]
    return [
        Stretch(begin, end, choice[run[0]]) for run, begin, end in zip(runs, begins, [*begins[1:], 2**62], strict=True)
    ]


def players_of(score: symusic.Score) -> dict[Player, symusic.core.TrackTick]:
    """The tracks of a score, in order, by the identity that they have in every variation."""
    seen: Counter[tuple[int, str]] = Counter()
    found = {}
    for track in score.tracks:
        kind = program_of(track), track.name
        found[*kind, seen[kind]] = track
        seen[kind] += 1
    return found


def new_bar_lines(scores: Sequence[symusic.Score], since: int, num_bars: int) -> list[int]:
    """Lines of `num_bars` bars from tick `since` on. Raises `UserError` if no score has that many."""
    lines = max((bar_starts(with_likely_metre(score)) for score in scores), key=len)
    first = bisect_right(lines, since)
    there = [since, *lines[first:]]
    require(num_bars < len(there), f"bars names {num_bars} bars, but the variations have {len(there) - 1} new ones.")
    return there[: num_bars + 1]


def _fill(
    track: symusic.core.TrackTick,
    sources: list[symusic.core.TrackTick | None],
    stretches: list[Stretch],
    quarter: int,
) -> None:
    """Give a track the events of its stretches; a source is None where the variation has no such track."""
    all_notes = [list(source.notes) if source is not None else [] for source in sources]
    notes: list[Any] = []
    for stretch in stretches:
        own = all_notes[stretch.variation]
        if stretch.begin and not track.is_drum:
            notes = _across(notes, own, stretch.begin, quarter)
        notes += [note.copy() for note in own if stretch.begin <= note.time < stretch.end]
    notes.sort(key=lambda note: (note.time, note.pitch))
    controls = {source: _by_number(each) for source, each in enumerate(sources)}
    bends = {source: {0: list(each.pitch_bends)} if each is not None else {} for source, each in enumerate(sources)}
    track.notes = type(track.notes)(notes)
    track.controls = type(track.controls)(_states(controls, stretches, rest={SUSTAIN: 0}))
    track.pitch_bends = type(track.pitch_bends)(_states(bends, stretches, rest={0: 0}))


def _across(notes: list[Any], following: list[Any], joint: int, quarter: int) -> list[Any]:
    """The notes up to a joint: held, ended or begun there, to match the variation that follows."""
    crossing = [note for note in following if note.time < joint < note.end]
    held = {note.pitch: note for note in sorted(crossing, key=lambda note: note.end)}
    struck = {note.pitch for note in following if note.time == joint}
    for note in notes:
        if note.end > joint:
            goes_on = held.pop(note.pitch, None)
            note.duration = (goes_on.end if goes_on is not None else joint) - note.time
    for pitch, note in held.items():
        if note.end - joint >= quarter and pitch not in struck:
            notes.append(symusic.Note(joint, note.end - joint, pitch, note.velocity))
    return notes


def _by_number(track: symusic.core.TrackTick | None) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for event in track.controls if track is not None else ():
        found.setdefault(event.number, []).append(event)
    return found


def _states(sources: dict[int, dict[int, list[Any]]], stretches: list[Stretch], rest: dict[int, int]) -> list[Any]:
    """Controllers or bends of each stretch, and at each joint the value in force in the variation that begins there.

    Args:
        sources: the events of each variation, by controller number.
        rest: value of a controller before its first event, where it is known.
    """
    result: list[Any] = []
    for number in sorted({number for events in sources.values() for number in events}):
        value = rest.get(number)
        for stretch in stretches:
            events = sorted(sources[stretch.variation].get(number, []), key=lambda event: event.time)
            before = [event for event in events if event.time < stretch.begin]
            wanted = before[-1].value if before else rest.get(number)
            if stretch.begin and wanted is not None and wanted != value:
                event = _any_event(sources, number).copy()
                event.time, event.value = stretch.begin, wanted
                result.append(event)
                value = wanted
            for event in events:
                if stretch.begin <= event.time < stretch.end:
                    result.append(event.copy())
                    value = event.value
    return sorted(result, key=lambda event: event.time)


def _any_event(sources: dict[int, dict[int, list[Any]]], number: int) -> Any:
    return next(events[number][0] for events in sources.values() if number in events)
