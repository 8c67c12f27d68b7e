"""Divides a bar token by token: slow and obvious."""

from __future__ import annotations

from collections.abc import Collection

FRAME = {"Bar", "TimeSig", "Position", "Tempo"}
BEGINS = {"Program", "Pedal", "PedalOff"}  # of events that name their instrument


def divide(bar: list[int], names: list[str], programs: Collection[int]) -> tuple[list[int], list[int], list[int]]:
    """The line of a bar, the tokens of the other instruments (and its tempos), and those of these instruments.

    Args:
        bar: token ids from a bar line to before the next.
        names: of all token ids; the vocabulary has programs.
        programs: these instruments; empty stands for all.
    """
    head = 2 if len(bar) > 1 and names[bar[1]].startswith("TimeSig_") else 1
    others: list[int] = []
    theirs: list[int] = []
    for position, tempo, events in _positions(bar[head:], names):
        mine = [not programs or int(names[event[0]].split("_")[1]) in programs for event in events]
        inside = [token for event, is_mine in zip(events, mine, strict=True) if is_mine for token in event]
        outside = [token for event, is_mine in zip(events, mine, strict=True) if not is_mine for token in event]
        if tempo or outside:
            others += [*position, *tempo, *outside]
        if inside:
            theirs += [*position, *inside]
    return bar[:head], others, theirs


def _positions(tokens: list[int], names: list[str]) -> list[tuple[list[int], list[int], list[list[int]]]]:
    """(position, tempo, events) of each position; each event is all of its tokens."""
    found: list[tuple[list[int], list[int], list[list[int]]]] = []
    for token in tokens:
        kind = names[token].split("_")[0]
        if kind == "Position" or not found:
            found.append(([], [], []))
        position, tempo, events = found[-1]
        if kind == "Position":
            position.append(token)
        elif kind in FRAME:
            tempo.append(token)
        elif kind in BEGINS:
            events.append([token])
        else:
            events[-1].append(token)
    return found
