"""Calls to the page's server without a client library, as any program, or a hostile one, could send them."""

from __future__ import annotations

import json
from typing import Any

import httpx

TIMEOUT = 120.0  # a busy machine is no failure
# One for all: to make one costs much more than a request, even with its certificates left out.
CLIENT = httpx.Client(timeout=TIMEOUT, verify=False)


def upload(address: str, data: bytes, *, name: str = "song.mid") -> str:
    """Send a file; returns the path for opening it."""
    answer = CLIENT.post(f"{address}gradio_api/upload", files={"files": (name, data)})
    assert answer.status_code == 200, answer.text
    return answer.json()[0]


def order(address: str, endpoint: str, data: Any, **more: Any) -> httpx.Response:
    """Put a call into the queue, without listening to its result."""
    body = json.dumps({"data": data, **more})
    return CLIENT.post(
        f"{address}gradio_api/call/{endpoint}",
        content=body,
        headers={"Content-Type": "application/json"},
    )


def outcome(address: str, endpoint: str, data: Any, **more: Any) -> tuple[str, Any]:
    """The outcome of a call: ("complete", last value), ("error", Gradio's payload) or ("refused", the answer)."""
    answer = order(address, endpoint, data, **more)
    if answer.status_code != 200:
        return "refused", answer
    event = answer.json()["event_id"]
    with CLIENT.stream("GET", f"{address}gradio_api/call/{endpoint}/{event}") as stream:
        kind = ""
        for line in stream.iter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: ") and kind in ("complete", "error"):
                return kind, json.loads(line.removeprefix("data: "))
    raise AssertionError("the stream ended without a result")


def call(address: str, endpoint: str, *data: Any) -> Any:
    """The result of a call that must succeed."""
    kind, value = outcome(address, endpoint, list(data))
    assert kind == "complete", value
    return value[0]


def refusal(address: str, endpoint: str, data: Any, **more: Any) -> str:
    """The sentence with which a call is refused, in whatever part of the answer."""
    kind, value = outcome(address, endpoint, data, **more)
    assert kind != "complete", f"{endpoint} takes {data!r}"
    if kind == "refused":
        assert 400 <= value.status_code < 500, value.text
        return str(value.json()["error"])
    assert isinstance(value, dict), value
    return str(value["error"])
