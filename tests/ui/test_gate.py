"""The gate, around an application that records the requests that reach it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from music_reformer.ui import gate as module
from music_reformer.ui.calls import Endpoint
from music_reformer.ui.gate import HEADERS, MAX_JSON, MAX_UPLOAD, Gate

EVENT = "0f" * 16


class Behind:
    """An application that records requests, and answers with a header that the gate also sets."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, bytes]] = []
        self.seconds = 0.0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        self.requests.append((scope["method"], scope["path"], message.get("body", b"")))
        await asyncio.sleep(self.seconds)
        headers = [(b"X-Content-Type-Options", b"sniff"), (b"x-own", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"behind"})


class OpenTurns:
    """Turns with room for everybody or nobody, and one known session."""

    def __init__(self) -> None:
        self.has_room = True
        self.heard: list[str] = []

    async def make_room(self, operation: str, address: str) -> bool:
        return self.has_room

    def session_of(self, event: str) -> str:
        return f"session of {event}"

    def knows(self, session: str) -> bool:
        return session in ("me", f"session of {EVENT}")

    @contextlib.contextmanager
    def listening(self, session: str) -> Iterator[None]:
        self.heard.append(session)
        yield


class AnyHost:
    def refusal(self, headers: dict[str, str], *, is_navigation: bool) -> str | None:
        return "This name is not served." if headers.get("host") == "evil" else None


@pytest.fixture
def behind() -> Behind:
    return Behind()


@pytest.fixture
def turns() -> OpenTurns:
    return OpenTurns()


@pytest.fixture
def gate(behind: Behind, turns: OpenTurns) -> Gate:
    endpoints = [Endpoint("compose", ("order",), ()), Endpoint("stop", ("ticket",), ())]
    return Gate(behind, endpoints=endpoints, direct=["stop"], turns=turns, hosts=AnyHost())  # type: ignore[arg-type]


def ask(
    gate: Gate, method: str, path: str, *chunks: bytes, host: str = "localhost", ends: bool = True
) -> tuple[int, dict[bytes, bytes], bytes]:
    """Send a request with its body in chunks; returns status, headers and body of the answer."""
    path, _, query = path.partition("?")
    scope = {
        "type": "http", "method": method, "path": path, "query_string": query.encode(),
        "headers": [(b"host", host.encode())], "client": ("10.0.0.1", 1),
    }  # fmt: skip
    bodies = list(chunks) or [b""]
    coming = [
        {"type": "http.request", "body": chunk, "more_body": number < len(bodies) - 1 or not ends}
        for number, chunk in enumerate(bodies)
    ]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return coming.pop(0) if coming else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(gate(scope, receive, send))
    head, *rest = sent
    return head["status"], dict(head["headers"]), b"".join(message["body"] for message in rest)


def call(data: Any, **more: Any) -> bytes:
    return json.dumps({"data": data, **more}).encode()


@pytest.mark.parametrize(
    "path", ["/", "/setup", "/waiting", "/file/x", "/part/x", "/page/main.js", "/config", "/gradio_api/info"]
)
def test_the_requests_of_the_page_pass(gate: Gate, behind: Behind, path: str) -> None:
    assert ask(gate, "GET", path)[0] == ask(gate, "HEAD", path)[0] == 200
    assert [request[:2] for request in behind.requests] == [("GET", path), ("HEAD", path)]


@pytest.mark.parametrize(
    "path",
    [
        "/file/a/b",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/proxy=http://x",
        "/gradio_api/call/other",
        "/gradio_api/component_server",
        "/docs",
        "/x",
    ],
)
def test_all_other_addresses_are_404(gate: Gate, behind: Behind, path: str) -> None:
    status, _, body = ask(gate, "GET", path)
    assert (status, json.loads(body)) == (404, {"error": "There is nothing at this address."})
    assert behind.requests == []


def test_other_methods_are_refused_with_the_allowed_ones(gate: Gate) -> None:
    status, _, body = ask(gate, "POST", "/setup")
    assert (status, json.loads(body)["error"]) == (405, "This address answers to GET and HEAD only.")
    assert ask(gate, "GET", "/gradio_api/upload")[0] == 405


def test_every_answer_has_the_headers_that_protect_it(gate: Gate) -> None:
    for path in ("/", "/nothing"):
        headers = ask(gate, "GET", path)[1]
        assert {name: headers[name] for name, _ in HEADERS} == dict(HEADERS)
        assert b"X-Content-Type-Options" not in headers
    assert ask(gate, "GET", "/")[1][b"x-own"] == b"1"


def test_another_host_name_is_refused(gate: Gate, behind: Behind) -> None:
    assert ask(gate, "GET", "/", host="evil")[0] == 403
    assert behind.requests == []


def test_a_body_is_passed_on_as_parsed(gate: Gate, behind: Behind) -> None:
    body = call([{"length": "1bars"}], session_hash="me", trigger_id=5)
    assert ask(gate, "POST", "/gradio_api/call/compose", body[:9], body[9:])[0] == 200
    ((_, _, handed_on),) = behind.requests
    assert json.loads(handed_on) == {"data": [{"length": "1bars"}], "session_hash": "me"}


def test_joining_the_queue_needs_an_operation_and_a_session(gate: Gate, behind: Behind) -> None:
    assert ask(gate, "POST", "/gradio_api/queue/join", call(["t"], fn_index=1, session_hash="me"))[0] == 200
    assert json.loads(behind.requests[0][2]) == {"data": ["t"], "fn_index": 1, "session_hash": "me"}
    status, _, body = ask(gate, "POST", "/gradio_api/queue/join", call(["t"], fn_index=2, session_hash="me"))
    assert (status, json.loads(body)["error"]) == (400, "The fn_index must be a whole number from 0 to 1.")
    cancel = json.dumps({"fn_index": 0, "session_hash": "me", "event_id": EVENT, "more": 1}).encode()
    assert ask(gate, "POST", "/gradio_api/cancel", cancel)[0] == 200
    assert json.loads(behind.requests[1][2]) == {"fn_index": 0, "session_hash": "me", "event_id": EVENT}


def test_only_direct_operations_bypass_the_queue(gate: Gate) -> None:
    assert ask(gate, "POST", "/gradio_api/run/stop", call(["t"]))[0] == 200
    assert ask(gate, "POST", "/gradio_api/run/compose", call([{}]))[0] == 404


@pytest.mark.parametrize(("path", "most"), [("/gradio_api/call/compose", MAX_JSON), ("/gradio_api/upload", MAX_UPLOAD)])
def test_a_body_is_refused_as_soon_as_it_is_too_long(gate: Gate, behind: Behind, path: str, most: int) -> None:
    status, headers, body = ask(gate, "POST", path, bytes(most), b"x", ends=False)
    assert (status, json.loads(body)["error"]) == (413, f"The request is larger than the {most:,} bytes that are read.")
    assert headers[b"connection"] == b"close"
    assert behind.requests == []
    assert gate._receiving == 0


def test_a_body_that_does_not_end_is_refused(gate: Gate) -> None:
    status, _, body = ask(gate, "POST", "/gradio_api/upload", b"x", ends=False)
    assert (status, json.loads(body)["error"]) == (400, "The request ended before its body was complete.")


def test_the_total_size_of_incoming_bodies_is_bounded(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RECEIVING", 10)
    assert ask(gate, "POST", "/gradio_api/upload", bytes(10))[0] == 200
    assert ask(gate, "POST", "/gradio_api/upload", bytes(11))[0] == 503
    assert ask(gate, "POST", "/gradio_api/upload", bytes(10))[0] == 200


def test_too_many_orders_or_connections_are_503(gate: Gate, turns: OpenTurns, monkeypatch: pytest.MonkeyPatch) -> None:
    turns.has_room = False
    assert ask(gate, "POST", "/gradio_api/call/compose", call([{}]))[0] == 503
    assert ask(gate, "GET", "/")[0] == 200
    monkeypatch.setattr(module, "MAX_OPEN", 0)
    assert ask(gate, "GET", "/")[0] == 503
    assert gate._open == 0


def test_listeners_are_counted_and_unknown_sessions_are_404(gate: Gate, turns: OpenTurns) -> None:
    assert ask(gate, "GET", f"/gradio_api/call/compose/{EVENT}")[0] == 200
    assert ask(gate, "GET", "/gradio_api/queue/data?session_hash=me")[0] == 200
    assert turns.heard == [f"session of {EVENT}", "me"]
    status, _, body = ask(gate, "GET", "/gradio_api/queue/data?session_hash=you")
    assert (status, "session does not exist" in json.loads(body)["error"]) == (404, True)


def test_a_websocket_is_closed(gate: Gate) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(gate({"type": "websocket"}, None, send))  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close"}]
