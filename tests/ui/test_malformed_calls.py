"""Hundreds of malformed calls: each gets one sentence that a person understands, and does no harm."""

from __future__ import annotations

import itertools
import json
import random
import re
from typing import Any

import pytest

from helpers.page_calls import CLIENT, call, outcome, refusal
from music_reformer.ui.operations import Operations

# What no field of any call takes.
WRONG = [
    None,
    True,
    False,
    2.5,
    -7,
    10**18,
    1e300,
    "x",
    "\0",
    "../../etc/passwd",
    "é" * 900,
    [],
    ["x"],
    [[1]],
    {},
    {"a": 1},
]
ORDER_FIELDS = [
    "piece",
    "length",
    "variations",
    "seed",
    "style",
    "cut_bar",
    "until_bar",
    "key",
    "metre",
    "tempo",
    "instruments",
    "tracks",
    "parts",
    "locked",
    "chords",
    "form",
    "density",
    "dynamics",
]
SAMPLING_FIELDS = [
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "repetition_window",
    "most_repeats",
    "most_at_once",
]
TAKEN = {
    ("seed", json.dumps(10**9)),
    ("instruments", "[]"),
    ("tracks", "[]"),
    ("parts", "[]"),
    ("locked", "[]"),
    ("tempo", "120.0"),
    *((name, "2.5") for name in ("temperature", "repetition_penalty")),
}
BAD_SENTENCE = re.compile(
    r"Traceback|\w*Error\b|Exception|NoneType|<class|<function| object at 0x|\n|site-packages|\.py\b|unhashable"
)


def check(sentence: str) -> None:
    assert 15 < len(sentence) < 1200, sentence
    assert not BAD_SENTENCE.search(sentence), sentence
    assert " " in sentence
    assert sentence != "Something went wrong on the server; its log says what. Please try again.", "a fault of ours"


def order_cases() -> list[dict[str, Any]]:
    cases = [{name: value} for name, value in itertools.product(ORDER_FIELDS, WRONG)]
    cases += [{"sampling": {name: value}} for name, value in itertools.product(SAMPLING_FIELDS, WRONG)]
    cases += [{"sampling": value} for value in WRONG if value != {}]
    cases += [{"parts": [{name: value}]} for name in ("track", "program", "role") for value in WRONG]
    cases += [{name: 1} for name in ("volume", "Piece", "meta", "request", "__class__", "", "x" * 900)]
    return [case for case in cases if not is_fine(case)]


def is_fine(case: dict[str, Any]) -> bool:
    ((name, value),) = case.items()
    if name == "sampling" and isinstance(value, dict) and value:
        ((name, value),) = value.items()
    return (name, json.dumps(value)) in TAKEN


@pytest.mark.parametrize("field", [*ORDER_FIELDS, "sampling", "unknown"])
def test_every_malformed_order_gets_a_sentence(address: str, served: Operations, field: str) -> None:
    known = {*ORDER_FIELDS, "sampling"}
    cases = [case for case in order_cases() if (next(iter(case)) if next(iter(case)) in known else "unknown") == field]
    assert len(cases) >= 5
    for case in cases:
        check(refusal(address, "compose", [{"length": "1bars", **case}]))
    assert served.num_running == 0


def test_more_than_250_malformed_orders_are_tested() -> None:
    assert len(order_cases()) > 250


@pytest.mark.parametrize("order", [value for value in WRONG if value != {}], ids=repr)
def test_invalid_orders_get_a_sentence(address: str, order: Any) -> None:
    check(refusal(address, "compose", [order]))


@pytest.mark.parametrize(("endpoint", "field"), [("open", None), ("example", None), ("piece", None)])
def test_every_malformed_argument_gets_a_sentence(address: str, endpoint: str, field: None) -> None:
    for value in [*WRONG, "A" * 22, {"path": "x"}, {"path": []}, {"path": None, "orig_name": 5}]:
        check(refusal(address, endpoint, [value]))


@pytest.mark.parametrize("place", range(5))
def test_every_malformed_export_gets_a_sentence(address: str, place: int) -> None:
    piece = call(address, "example", "waltz")["key"]
    fine = [piece, "new", 0, -1, []]
    for value in WRONG:
        if place == 4 and value in (None, []) and value is not False:
            continue
        sentence = refusal(address, "export", [*fine[:place], value, *fine[place + 1 :]])
        check(sentence)


@pytest.mark.parametrize("place", range(3))
def test_every_malformed_engraving_gets_a_sentence(address: str, place: int) -> None:
    fine = [call(address, "example", "waltz")["key"], 0, 120]
    for value in [*WRONG, 19_999, 10**6]:
        check(refusal(address, "engrave", [*fine[:place], value, *fine[place + 1 :]]))


@pytest.mark.parametrize("value", [*WRONG, "A" * 22], ids=repr)
def test_an_invalid_ticket_stops_nothing(address: str, value: Any) -> None:
    answer = CLIENT.post(f"{address}gradio_api/run/stop", json={"data": [value]})
    if isinstance(value, str) and answer.status_code == 200:
        assert answer.json()["data"] == [False]
    else:
        assert answer.status_code in (400, 500)
        check(answer.json()["error"])


@pytest.mark.parametrize("endpoint", ["open", "example", "piece", "compose", "export", "engrave"])
@pytest.mark.parametrize("data", [[], [1] * 9, None, 5, "x", {}, {"0": "x"}], ids=repr)
def test_too_few_and_too_many_arguments_get_a_sentence(address: str, endpoint: str, data: Any) -> None:
    sentence = refusal(address, endpoint, data)
    check(sentence)
    assert f"/{endpoint} takes" in sentence


BODIES = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"5",
    b'"data"',
    b"{}",
    b'{"data": [NaN]}',
    b'{"data": [{"tempo": NaN}]}',
    b'{"data": [{"tempo": Infinity}]}',
    b'{"data": [{"tempo": -Infinity}]}',
    b'{"data": [{"tempo": 1e400}]}',
    b'{"data": [{"seed": ' + b"9" * 5000 + b"}]}",
    b'{"data": [' * 3000,
    b'{"data": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    b'{"data": [' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"]}",
    b'{"data": ["' + b"a" * 40_000 + b'"]}',
    b'{"data": [{"' + b"a" * 40_000 + b'": 1}]}',
    b'{"data": ["\\ud800"]}',
    b'{"data": [{"key": "\\udfff"}]}',
    b'{"data": ["\xff\xfe"]}',
    b"\xff\xfe{\0}\0",
    b'{"data": [{}], "session_hash": 5}',
    b'{"data": [{}], "session_hash": "a b"}',
    b'{"data": [{}], "session_hash": "' + b"a" * 500 + b'"}',
    b'{"data": [{}], "session_hash": {"$ne": 1}}',
    b"a=b&c=d",
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:40]))
def test_an_invalid_body_gets_a_sentence(address: str, body: bytes) -> None:
    for path in ("call/compose", "queue/join", "run/stop", "cancel", "call/open"):
        for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
            answer = CLIENT.post(f"{address}gradio_api/{path}", content=body, headers={"Content-Type": kind})
            assert 400 <= answer.status_code < 500, (path, answer.text)
            check(answer.json()["error"])


@pytest.mark.parametrize("number", [None, -1, 19, 99, 2.5, True, "0", [], 10**18], ids=repr)
def test_an_operation_that_does_not_exist_gets_a_sentence(address: str, number: Any) -> None:
    for path, more in (("queue/join", {"data": [{}]}), ("cancel", {"event_id": "a" * 32})):
        body = {"fn_index": number, "session_hash": "me", **more}
        answer = CLIENT.post(f"{address}gradio_api/{path}", json=body)
        assert answer.status_code == 400
        check(answer.json()["error"])


@pytest.mark.parametrize("path", ["file/{}", "gradio_api/call/open/{}", "gradio_api/queue/data?session_hash={}"])
@pytest.mark.parametrize("key", ["", "x", "A" * 22, "a" * 32, "%00", "..%2f..%2fetc", "a" * 5000, "%ff%fe", "<script>"])
def test_an_invalid_key_gets_a_sentence(address: str, path: str, key: str) -> None:
    answer = CLIENT.get(address + path.format(key))
    assert answer.status_code == 404
    check(answer.json()["error"])


def test_extra_fields_of_a_call_have_no_effect(address: str) -> None:
    """Fields that Gradio would act on: another function, another event, a batch."""
    more = {
        "fn_index": 4,
        "event_id": "x",
        "trigger_id": 1,
        "batched": True,
        "event_data": {"a": 1},
        "oauth_token": "t",
    }
    kind, (piece,) = outcome(address, "example", ["waltz"], **more)
    assert (kind, len(json.loads(piece["roll"])["tracks"])) == ("complete", 2)


@pytest.mark.parametrize("seed", range(4))
def test_calls_made_up_at_random_get_a_result_or_a_sentence(address: str, served: Operations, seed: int) -> None:
    dice = random.Random(seed)

    def value(depth: int = 0) -> Any:
        kind = dice.randrange(9 if depth < 3 else 7)
        if kind == 7:
            return [value(depth + 1) for _ in range(dice.randrange(4))]
        if kind == 8:
            names = [*ORDER_FIELDS, "sampling", "path", "meta", "_type", "url"]
            return {dice.choice(names): value(depth + 1) for _ in range(dice.randrange(4))}
        return dice.choice([None, True, dice.randrange(-5, 300), dice.random() * 10, "", "waltz", "C major", "4/4"])

    for _ in range(40):
        endpoint = dice.choice(["open", "example", "piece", "compose", "export"])
        arguments = [value() for _ in range(dice.randrange(1, 6))]
        kind, result = outcome(address, endpoint, arguments)
        if kind == "refused":
            assert 400 <= result.status_code < 500
            check(result.json()["error"])
        elif kind == "error":
            check(result["error"])
