"""Joining bars of several variations, with the page's files, for every kind of order."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import symusic

from helpers.page_calls import call, refusal
from music_reformer.errors import UserError
from music_reformer.ui.joining import JoinFields
from music_reformer.ui.operations import Operations
from music_reformer.ui.order import Order

KEY = "A" * 22


def compose(operations: Operations, **order: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Compose three variations; returns the place of the new music and the variations."""
    order = {"length": "4bars", "variations": 3, "seed": 2, **order}
    start, *_, done = operations.compose(Order.read(order))
    span = {"since": start["cut_tick"], "until": -1 if start["until_tick"] is None else start["until_tick"]}
    return span | {"programs": start["missing"], "tracks": start["missing_tracks"]}, done["variations"]


def notes(operations: Operations, key: str, begin: int, end: int) -> list[tuple[int, ...]]:
    score = symusic.Score.from_midi(operations.shelf.path(key).read_bytes())
    return sorted(
        (-1 if track.is_drum else track.program, note.time, note.end, note.pitch, note.velocity)
        for track in score.tracks
        for note in track.notes
        if begin <= note.time < end
    )


@pytest.mark.parametrize(
    "order",
    [{}, {"instruments": [0, 73, -1]}, {"cut_bar": 3, "until_bar": 7, "tracks": [1]}, {"cut_bar": 3, "until_bar": 7}],
    ids=["continued", "with an instrument more", "one track within", "all within"],
)
@pytest.mark.parametrize("bars", [[0, 2, 2, 1], [2, 2, 2, 2]])
def test_every_bar_is_that_of_its_variation(
    operations: Operations, midi_file: Path, order: dict[str, Any], bars: list[int]
) -> None:
    piece = operations.open_file(midi_file, name=midi_file.name)["key"]
    span, variations = compose(operations, piece=piece, **order)
    keys = [variation["key"] for variation in variations]
    done = operations.join(JoinFields.read({"variations": keys, "bars": bars, **span}))
    assert done["lossy"] is False
    assert done["name"] == "my song - joined"
    bar = 3 * symusic.Score(midi_file).ticks_per_quarter
    assert notes(operations, done["key"], 0, span["since"]) == notes(operations, piece, 0, span["since"])
    for place, chosen in enumerate(bars):
        begin, end = span["since"] + place * bar, span["since"] + (place + 1) * bar
        # The last note of a stand-in's bar ends with it, so that nothing sounds across a joint.
        assert notes(operations, done["key"], begin, end) == notes(operations, keys[chosen], begin, end)
    behind = span["since"] + len(bars) * bar
    assert notes(operations, done["key"], behind, 10**9) == notes(operations, keys[0], behind, 10**9)
    if len(set(bars)) == 1:  # it is one of them as it was: so much is said of both
        same = variations[bars[0]]
        for name in ("reasons", "longest_in_piece", "longest_in_training"):
            assert done[name] == same[name]
    ranks = [*done["ranks"], done["rank"]]
    assert sorted(ranks) == [1, 2, 3, 4]
    # It is a piece like any other, and goes on under the name of the piece.
    (again, *_) = compose(operations, piece=done["key"], seed=4)[1]
    assert re.fullmatch(r"my song - bars \d+-\d+ - seed 4 - 1", again["name"])


def test_variations_from_nothing_are_joined(operations: Operations) -> None:
    span, variations = compose(operations, instruments=[0, 40])
    keys = [variation["key"] for variation in variations]
    done = operations.join(JoinFields.read({"variations": keys, "bars": [1, 1, 0, 0], **span}))
    length = json.loads(done["roll"])["bar_ticks"][2]
    assert notes(operations, done["key"], 0, length) == notes(operations, keys[1], 0, length)
    assert notes(operations, done["key"], length, 10**9) == notes(operations, keys[0], length, 10**9)


@pytest.mark.parametrize(
    ("join", "sentence"),
    [
        ({}, "bars .* must have 1 to 256 entries"),
        ({"variations": [KEY], "bars": [0]}, "must be the keys of 2 to 8 variations"),
        ({"variations": [KEY] * 9, "bars": [0]}, "must be the keys of 2 to 8 variations"),
        ({"variations": [KEY, 5], "bars": [0]}, "must be text"),
        ({"variations": [KEY, KEY], "bars": [2]}, "must be 0 to 1: places in variations"),
        ({"variations": [KEY, KEY], "bars": [9]}, "must be 0 to 7"),
        ({"variations": [KEY, KEY], "bars": [0, 1], "since": 5, "until": 5}, "must come after since"),
        ({"variations": [KEY, KEY], "bars": [0, 1], "since": -1}, "since .* must be 0"),
        ({"variations": [KEY, KEY], "bars": [0, 1], "programs": [128]}, "programs .* must be -1 to 127"),
        ({"variations": [KEY, KEY], "bars": [0, 1], "tracks": ["x"]}, "must be a whole number"),
        ({"variations": [KEY, KEY], "bars": [0, 1]}, "no longer kept"),
        ({"volume": 3}, "'volume' is not one of"),
        (None, "must be a JSON object"),
    ],
)
def test_a_wrong_join_is_refused_in_a_sentence(operations: Operations, join: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        operations.join(JoinFields.read(join))


def test_wrong_joins_over_the_network_are_refused(address: str) -> None:
    assert "JSON object" in refusal(address, "join", ["x"])
    keys = [call(address, "example", name)["key"] for name in ("waltz", "evening")]
    assert "have" in refusal(address, "join", [{"variations": keys, "bars": [0, 1] * 100, "since": 4800}])
