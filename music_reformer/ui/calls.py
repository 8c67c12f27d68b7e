"""Parses the bodies of requests before Gradio sees them.

Gradio acts on more of a body than its `data`: a dictionary marked as a file is fetched from wherever its path or URL
points. So bodies are parsed here, within bounds, and Gradio receives a new body with only what was checked.
"""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from music_reformer.config import Checked, require
from music_reformer.errors import UserError

MAX_DEPTH = 8
MAX_TEXT = 4000
MAX_DIGITS = 20
SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")
EVENT = re.compile(r"[0-9a-f]{32}")
FILE_MARK = "meta"

Fields = TypeVar("Fields", bound=Checked)


@dataclass(frozen=True)
class Endpoint:
    """An operation that can be called from outside: its name, and its arguments with their defaults."""

    name: str
    arguments: tuple[str, ...]
    defaults: tuple[Any, ...]

    @classmethod
    def of(cls, name: str, operation: Callable[..., Any]) -> Endpoint:
        """The endpoint of a function, by its signature."""
        parameters = inspect.signature(operation).parameters.values()
        defaults = tuple(p.default for p in parameters if p.default is not inspect.Parameter.empty)
        return cls(name, tuple(parameter.name for parameter in parameters), defaults)

    def fill(self, data: Any) -> list[Any]:
        """All arguments, defaults filled in. Raises `UserError` if too many or too few were sent."""
        fewest, most = len(self.arguments) - len(self.defaults), len(self.arguments)
        wanted = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        fits = isinstance(data, list) and fewest <= len(data) <= most
        require(fits, f"/{self.name} takes data: a list of {wanted} ({', '.join(self.arguments)}).")
        return [*data, *self.defaults[len(data) - fewest :]]


def read_json(body: bytes) -> dict[str, Any]:
    """Parse a body that is a JSON object of reasonable size and depth. Raises `UserError` for any other."""
    try:
        value = json.loads(body.decode(), parse_constant=_refuse_number, parse_float=_read_float, parse_int=_read_whole)
    except UserError:
        raise
    except (ValueError, RecursionError) as error:
        raise UserError("The request is not valid JSON.") from error
    require(isinstance(value, dict), 'The request must be a JSON object, such as {"data": [...]}.')
    for text in _texts(value):
        require(len(text) <= MAX_TEXT, f"A text in the request is longer than {MAX_TEXT} characters.")
        require(_is_unicode(text), "A text in the request is not valid Unicode.")
    return value


def read_fields(schema: type[Fields], data: Any, *, name: str) -> Fields:
    """Convert a JSON object to a dataclass that checks itself; `name` is used in messages.

    Raises:
        UserError: it is not an object, or a field is unknown or invalid.
    """
    require(isinstance(data, dict), f'The {name} must be a JSON object, such as {{"field": value}}.')
    known = {each.name for each in fields(schema)}  # type: ignore[arg-type]
    for each in data:
        require(each in known, f"The setting {each!r:.40} is not one of {', '.join(sorted(known))}.")
    return schema(**data)


def plain_call(endpoint: Endpoint, sent: dict[str, Any]) -> dict[str, Any]:
    """The body of a call for Gradio: all arguments, and the session that receives its reports.

    Raises:
        UserError: too few or too many arguments, an invalid session, or a file where none is taken.
    """
    data = endpoint.fill(sent.get("data"))
    if endpoint.arguments[0] == "file" and isinstance(data[0], dict):
        data[0] = {name: value for name, value in data[0].items() if name in ("path", "orig_name")}
    require(not _is_marked(data), f"/{endpoint.name} does not take a file there; open it with /open.")
    plain: dict[str, Any] = {"data": data}
    if sent.get("session_hash") is not None:
        plain["session_hash"] = session_of(sent)
    return plain


def session_of(sent: dict[str, Any]) -> str:
    """The session that a request names. Raises `UserError` if it is not valid."""
    return _named(sent, "session_hash", SESSION, "1 to 64 letters, digits, - or _")


def event_of(sent: dict[str, Any]) -> str:
    """The event that a request names. Raises `UserError` if it is not valid."""
    return _named(sent, "event_id", EVENT, "an id that the server gave")


def _named(sent: dict[str, Any], name: str, pattern: re.Pattern[str], wanted: str) -> str:
    value = sent.get(name)
    require(isinstance(value, str) and pattern.fullmatch(value) is not None, f"The {name} must be {wanted}.")
    return str(value)


def _refuse_number(text: str) -> Any:
    raise UserError(f"A number in the request ({text}) is not valid JSON.")


def _read_float(text: str) -> float:
    value = float(text)
    require(math.isfinite(value), f"A number in the request ({text[:MAX_DIGITS]}) is too large.")
    return value


def _read_whole(text: str) -> int:
    require(len(text) <= MAX_DIGITS, f"A number in the request ({text[:MAX_DIGITS]}...) is too large.")
    return int(text)


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    """All strings in a value, including names of fields. Raises `UserError` if it is nested too deeply."""
    require(depth <= MAX_DEPTH, f"The request is nested more than {MAX_DEPTH} levels deep.")
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, depth + 1)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _texts(item, depth + 1)


def _is_unicode(text: str) -> bool:
    """Whether a string can be encoded: half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_marked(value: Any) -> bool:
    """Whether a value contains anything that Gradio may take for a file."""
    if isinstance(value, dict):
        return FILE_MARK in value or any(map(_is_marked, value.values()))
    return isinstance(value, list) and any(map(_is_marked, value))
