"""Edits of notes by a visitor: the order is checked, and the result is a new piece."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.page_calls import call, refusal
from music_reformer.errors import UserError
from music_reformer.midi.score import read_score
from music_reformer.ui.editing import MAX_CHANGES, EditFields
from music_reformer.ui.operations import Operations

NOTE = [0, 480, 240, 60, 80]


def rows_of(piece: dict[str, Any]) -> list[list[int]]:
    """The notes of a roll as an edit names them."""
    return [
        [track["index"], *ticks, pitch, velocity]
        for track in json.loads(piece["roll"])["tracks"]
        for ticks, (pitch, _, _, velocity, _) in zip(track["ticks"], track["notes"], strict=True)
    ]


def test_an_edit_is_a_new_piece_and_the_old_one_stays(operations: Operations, midi_file: Path) -> None:
    piece = operations.open_file(midi_file, name=midi_file.name)
    first, second, third = rows_of(piece)[:3]
    up = [*second[:3], second[3] + 1, second[4]]
    added = [first[0], first[1] + 11, 99, 61, 64]
    edit = {"piece": piece["key"], "removed": [first], "changed": [second + up], "added": [added]}
    changed = operations.edit(EditFields.read(edit))
    left = rows_of(changed)
    assert first not in left
    assert second not in left
    assert sorted(left) == sorted([*(row for row in rows_of(piece) if row not in (first, second)), up, added])
    assert third in left
    assert changed["name"] == piece["name"]
    assert operations.shelf.path(piece["key"]).read_bytes() == midi_file.read_bytes()
    # A changed piece is changed again, and composed on, like any other.
    back = operations.edit(EditFields.read({"piece": changed["key"], "removed": [added], "added": [first]}))
    assert read_score(operations.shelf.path(back["key"])).note_num() == len(rows_of(piece))


def test_the_last_notes_stay(operations: Operations, midi_file: Path) -> None:
    piece = operations.open_file(midi_file, name=midi_file.name)
    with pytest.raises(UserError, match="all the notes of the piece"):
        operations.edit(EditFields.read({"piece": piece["key"], "removed": rows_of(piece)}))


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        ({}, "changes nothing"),
        ({"added": [NOTE[:4]]}, "has 4 numbers, not 5"),
        ({"changed": [NOTE]}, "has 5 numbers, not 10"),
        ({"added": [[0, 480, 0, 60, 80]]}, "length of a note \\(0\\) must be 1"),
        ({"added": [[0, 480, 240, 128, 80]]}, "pitch of a note \\(128\\) must be 0 to 127"),
        ({"added": [[0, 480, 240, 60, 0]]}, "velocity of a note \\(0\\) must be 1 to 127"),
        ({"added": [[0, 2**27, 240, 60, 80]]}, "tick of a note"),
        ({"added": [[0, -1, 240, 60, 80]]}, "must be 0 to"),
        ({"removed": [NOTE] * (MAX_CHANGES + 1)}, "must have 0 to 800 entries"),
        ({"removed": [NOTE] * MAX_CHANGES, "added": [NOTE]}, "at most 800 can be changed"),
        ({"moved": [NOTE]}, "is not one of"),
        ({"added": [[0, 480, 240.5, 60, 80]]}, "must be a whole number"),
        ([], "must be a JSON object"),
    ],
)
def test_a_malformed_edit_gets_a_sentence(edit: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        EditFields.read(edit)


@pytest.mark.parametrize("field", ["piece", "removed", "added", "changed"])
def test_every_wrong_value_of_a_field_is_refused(operations: Operations, field: str) -> None:
    piece = operations.open_example("waltz")
    fine = {"piece": piece["key"], "removed": [rows_of(piece)[0]]}
    for value in (None, True, 2.5, -7, "x", "A" * 22, ["x"], [[1]], [[None] * 5], {"a": 1}, [[0, 0, 1, 60, 1e300]]):
        with pytest.raises(UserError):
            operations.edit(EditFields.read({**fine, field: value}))


def test_the_endpoint_changes_notes_and_refuses_in_a_sentence(address: str) -> None:
    piece = call(address, "example", "waltz")
    first, *others = rows_of(piece)
    assert rows_of(call(address, "edit", {"piece": piece["key"], "removed": [first]})) == others
    assert "is not in the piece" in refusal(address, "edit", [{"piece": piece["key"], "removed": [NOTE]}])
