"""The gate that every request passes before the page or Gradio sees it: an ASGI application around theirs.

Gradio serves dozens of routes that this page does not need (files of the server, proxies, recordings, an editor); only
the routes listed here exist for visitors. Bodies are read here, with a limit on their size, and passed on only as
parsed and checked (`calls.py`).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from music_reformer.errors import UserError
from music_reformer.midi.score import UPLOAD_BYTES
from music_reformer.ui.calls import Endpoint, event_of, plain_call, read_json, session_of
from music_reformer.ui.hosts import Hosts
from music_reformer.ui.turns import Turns

MAX_JSON = 64_000
# Size of the file, and of the form around it.
MAX_UPLOAD = UPLOAD_BYTES + 8_000
# Bytes of all bodies being received at a time, and seconds that each may take.
MAX_RECEIVING = 100_000_000
MAX_SECONDS = 60.0
# The page loads only its own files: the browser refuses to fetch anything from elsewhere.
CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self' 'wasm-unsafe-eval'; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'self'"
)
# Headers of every answer, including Gradio's and errors.
HEADERS = (
    (b"content-security-policy", CONTENT_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"midi=(self), camera=(), microphone=(), geolocation=()"),
)
# Connections open at a time; a visitor who waits or listens holds one or two.
MAX_OPEN = 400


class RequestError(Exception):
    """A refused request: its HTTP status, and the sentence for its sender."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


@dataclass(frozen=True)
class Route:
    """An address that exists.

    Args:
        methods: allowed HTTP methods.
        path: pattern of the whole path.
        read: for a POST, a function of the path's groups and the body, which returns the body for Gradio and the
            operation that it queues for ("" if none); None: the body is passed on unchanged.
        max_body: largest size of a body in bytes.
    """

    methods: tuple[str, ...]
    path: re.Pattern[str]
    read: Callable[[tuple[str, ...], bytes], tuple[dict[str, Any], str]] | None = None
    max_body: int = MAX_JSON


class Gate:
    """Lets through what the page and its API need.

    Args:
        application: the application behind the gate.
        endpoints: the operations, in Gradio's order.
        direct: names of the operations that Gradio may call without its queue.
        turns: bounds on the queue.
        hosts: the names of this server.
    """

    def __init__(
        self,
        application: ASGIApp,
        *,
        endpoints: Sequence[Endpoint],
        direct: Sequence[str],
        turns: Turns,
        hosts: Hosts,
    ) -> None:
        self._application = application
        self._endpoints = list(endpoints)
        self._turns = turns
        self._hosts = hosts
        self._receiving = 0
        self._open = 0
        names = "|".join(endpoint.name for endpoint in endpoints)
        post, get = ("POST",), ("GET", "HEAD")
        self._routes = [
            Route(get, re.compile(r"/|/setup|/waiting|/soundfont|/music-font|/file/[^/]+|/part/[^/]+|/page/.+")),
            Route(get, re.compile(r"/config|/gradio_api/(?:info|startup-events)")),  # a program asks what there is
            Route(get, re.compile(rf"/gradio_api/(?:heartbeat/[\w-]+|queue/data|call/(?:{names})/([0-9a-f]+))")),
            Route(post, re.compile(r"/gradio_api/upload"), max_body=MAX_UPLOAD),
            Route(post, re.compile(rf"/gradio_api/call/({names})"), self._read_call),
            Route(post, re.compile(rf"/gradio_api/(?:run|api)/({'|'.join(direct)})"), self._read_call),
            Route(post, re.compile(r"/gradio_api/queue/join"), self._read_join),
            Route(post, re.compile(r"/gradio_api/cancel"), self._read_cancel),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of the ASGI protocol."""
        if scope["type"] == "lifespan":
            watching = asyncio.create_task(self._turns.watch())
            await self._application(scope, receive, send)
            watching.cancel()
        elif scope["type"] == "http":
            self._open += 1
            send = _with_headers(send)
            try:
                await self._serve(scope, receive, send)
            except RequestError as error:
                await _answer(send, error)
            finally:
                self._open -= 1
        else:
            await send({"type": "websocket.close"})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises `RequestError` to refuse it."""
        if self._open > MAX_OPEN:
            raise RequestError(503, "Too many visitors are here just now; try again in a minute.")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if refusal := self._hosts.refusal(headers, is_navigation=scope["path"] == "/"):
            raise RequestError(403, refusal)
        route, parts = self._route(scope)
        if scope["method"] != "POST":
            session = self._session(scope, parts)
            if session is None:
                await self._application(scope, receive, send)
            elif not self._turns.knows(session):
                raise RequestError(404, "This session does not exist or has ended; call an operation first.")
            else:
                with self._turns.listening(session):
                    await self._application(scope, receive, send)
            return
        body = await self._body(receive, route.max_body)
        if route.read is not None:
            try:
                plain, operation = route.read(parts, body)
            except UserError as error:
                raise RequestError(400, str(error)) from error
            if operation and not await self._turns.make_room(operation, (scope.get("client") or ("",))[0]):
                raise RequestError(503, "Too many visitors are waiting just now; try again in a minute.")
            body = json.dumps(plain).encode()
            scope = _with_header(scope, b"content-type", b"application/json")
        scope = _with_header(scope, b"content-length", str(len(body)).encode())
        await self._application(scope, _replay(body, receive), send)

    def _session(self, scope: Scope, parts: tuple[str, ...]) -> str | None:
        """The session that a request listens to; None if it does not listen."""
        if parts and parts[0]:
            return self._turns.session_of(parts[0])
        if scope["path"].endswith("/queue/data"):
            return parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0]
        return None

    def _route(self, scope: Scope) -> tuple[Route, tuple[str, ...]]:
        for route in self._routes:
            if match := route.path.fullmatch(scope["path"]):
                if scope["method"] not in route.methods:
                    raise RequestError(405, f"This address answers to {' and '.join(route.methods)} only.")
                return route, match.groups()
        raise RequestError(404, "There is nothing at this address.")

    async def _body(self, receive: Receive, most: int) -> bytes:
        """Read the body of a request, checking its size as it arrives, because the stated length may be wrong."""
        body = bytearray()
        try:
            async with asyncio.timeout(MAX_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RequestError(400, "The request ended before its body was complete.")
                    chunk = message.get("body", b"")
                    if len(body) + len(chunk) > most:
                        raise RequestError(413, f"The request is larger than the {most:,} bytes that are read.")
                    if self._receiving + len(chunk) > MAX_RECEIVING:
                        raise RequestError(503, "Too much is being sent to the server just now; try again in a minute.")
                    body += chunk
                    self._receiving += len(chunk)
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise RequestError(408, f"The request took more than {MAX_SECONDS:g} seconds to arrive.") from None
        finally:
            self._receiving -= len(body)

    def _read_call(self, parts: tuple[str, ...], body: bytes) -> tuple[dict[str, Any], str]:
        endpoint = next(endpoint for endpoint in self._endpoints if endpoint.name == parts[0])
        return plain_call(endpoint, read_json(body)), endpoint.name

    def _read_join(self, parts: tuple[str, ...], body: bytes) -> tuple[dict[str, Any], str]:
        sent = read_json(body)
        number = self._number(sent)
        endpoint = self._endpoints[number]
        session = session_of(sent)
        return {**plain_call(endpoint, sent), "fn_index": number, "session_hash": session}, endpoint.name

    def _read_cancel(self, parts: tuple[str, ...], body: bytes) -> tuple[dict[str, Any], str]:
        sent = read_json(body)
        return {"fn_index": self._number(sent), "session_hash": session_of(sent), "event_id": event_of(sent)}, ""

    def _number(self, sent: dict[str, Any]) -> int:
        number = sent.get("fn_index")
        if type(number) is not int or not 0 <= number < len(self._endpoints):
            raise UserError(f"The fn_index must be a whole number from 0 to {len(self._endpoints) - 1}.")
        return number


async def _answer(send: Send, error: RequestError) -> None:
    body = json.dumps({"error": error.sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if error.status in (408, 413):
        headers.append((b"connection", b"close"))  # do not wait for the rest of the body
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            ours = [name for name, _ in HEADERS]
            others = [pair for pair in message.get("headers", ()) if pair[0].lower() not in ours]
            message = {**message, "headers": [*others, *HEADERS]}
        await send(message)

    return sent


def _with_header(scope: Scope, name: bytes, value: bytes) -> Scope:
    others = [pair for pair in scope["headers"] if pair[0] not in (name, b"transfer-encoding")]
    return {**scope, "headers": [*others, (name, value)]}


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that returns the body already read, then further messages of the connection."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return pending.pop() if pending else await receive()

    return replayed
