"""Bodies of requests: valid ones are passed on as parsed, and all others are refused in a sentence."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest

from music_reformer.config import Checked
from music_reformer.config.checked import one_of
from music_reformer.errors import UserError
from music_reformer.ui.calls import (
    MAX_DEPTH,
    MAX_TEXT,
    Endpoint,
    event_of,
    plain_call,
    read_fields,
    read_json,
    session_of,
)


@dataclass
class Colour(Checked):
    name: str = one_of("red", ("red", "blue"))
    depth: int = 0


def paint(file: Any, colour: str, coats: int = 2, dry: bool = True) -> None:
    """An operation."""


PAINT = Endpoint.of("paint", paint)


def test_an_endpoint_has_the_arguments_of_its_function() -> None:
    assert Endpoint("paint", ("file", "colour", "coats", "dry"), (2, True)) == PAINT
    assert PAINT.fill(["x", "red"]) == ["x", "red", 2, True]
    assert PAINT.fill(["x", "red", 3]) == ["x", "red", 3, True]


@pytest.mark.parametrize("data", [["x"], ["x"] * 5, None, "xx", {"0": "x", "1": "y"}], ids=repr)
def test_too_few_or_too_many_arguments_are_refused_with_their_names(data: Any) -> None:
    sentence = "/paint takes data: a list of 2 to 4 (file, colour, coats, dry)."
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        PAINT.fill(data)


def test_json_is_read_as_it_is() -> None:
    value = {"data": [1, -2.5, "ä", None, True, {"a": ["b"]}]}
    assert read_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"\xff", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b'{"a": NaN}', "(NaN) is not valid JSON"),
        (b'{"a": 1e999}', "(1e999) is too large"),
        (b'{"a": ' + b"1" * 30 + b"}", "(11111111111111111111...) is too large"),
        (json.dumps({"a": "x" * (MAX_TEXT + 1)}).encode(), f"longer than {MAX_TEXT} characters"),
        (json.dumps({"x" * (MAX_TEXT + 1): 1}).encode(), f"longer than {MAX_TEXT} characters"),
        (b'{"a": "\\ud800"}', "is not valid Unicode"),
        (b'{"a": ' + b"[" * 9 + b"1" + b"]" * 9 + b"}", f"nested more than {MAX_DEPTH} levels deep"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_unreasonable_json_is_refused(body: bytes, sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        read_json(body)


def test_fields_are_read_into_a_checked_dataclass() -> None:
    assert read_fields(Colour, {"name": "blue"}, name="colour") == Colour("blue", 0)
    with pytest.raises(UserError, match=r"^name \('green'\) must be one of red, blue$"):
        read_fields(Colour, {"name": "green"}, name="colour")
    with pytest.raises(UserError, match=r"^The setting 'hue' is not one of depth, name\.$"):
        read_fields(Colour, {"hue": 1}, name="colour")
    with pytest.raises(UserError, match=r"^The colour must be a JSON object"):
        read_fields(Colour, ["blue"], name="colour")


def test_gradio_is_handed_the_arguments_and_the_session_and_nothing_else() -> None:
    sent = {"data": ["x", "red"], "session_hash": "me", "fn_index": 4, "event_data": {"a": 1}, "meta": {"_type": "x"}}
    assert plain_call(PAINT, sent) == {"data": ["x", "red", 2, True], "session_hash": "me"}


def test_only_the_path_and_name_of_a_file_are_passed_on() -> None:
    file = {"path": "uploads/x/y.mid", "orig_name": "y.mid", "url": "http://x", "meta": {"_type": "gradio.FileData"}}
    assert plain_call(PAINT, {"data": [file, "red"]})["data"][0] == {"path": "uploads/x/y.mid", "orig_name": "y.mid"}


@pytest.mark.parametrize("value", [{"meta": 1}, [{"a": {"meta": None}}], {"a": [[{"meta": {}}]]}], ids=repr)
def test_an_unexpected_file_is_refused_at_any_depth(value: Any) -> None:
    with pytest.raises(UserError, match=r"^/paint does not take a file there; open it with /open\.$"):
        plain_call(PAINT, {"data": ["x", value]})


@pytest.mark.parametrize("value", [None, 5, "", "a b", "a" * 65, "../x", {"a": 1}], ids=repr)
def test_sessions_and_events_have_names_of_their_own_kind(value: Any) -> None:
    with pytest.raises(UserError, match=r"^The session_hash must be 1 to 64 letters"):
        session_of({"session_hash": value})
    with pytest.raises(UserError, match=r"^The event_id must be an id that the server gave\.$"):
        event_of({"event_id": value})
    assert session_of({"session_hash": "a-B_9"}) == "a-B_9"
    assert event_of({"event_id": "0f" * 16}) == "0f" * 16
