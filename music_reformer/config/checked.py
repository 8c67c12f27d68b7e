"""Dataclasses that check themselves: types, bounds, choices and paths, declared where a field is.

    @dataclass
    class OptimizerConfig(Checked):
        prefix: ClassVar[str] = "optimizer."
        kind: str = one_of("muon", OPTIMIZERS)
        learning_rate: float = bounded(2e-3, 0, 10, above=True)

Creating an instance that breaks a rule raises a `UserError`, which names the setting, its value and what is allowed.
The checks apply equally to a user's typing and to an untrusted `config.json`.
"""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, ClassVar, Union, get_args, get_origin, get_type_hints

from music_reformer.errors import UserError

# Longest value that a message repeats.
SHOWN = 60
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def require(condition: bool, message: str) -> None:
    """Raise `UserError(message)` unless `condition` holds."""
    if not condition:
        raise UserError(message)


@dataclass(frozen=True)
class Bounds:
    """The allowed range of a number.

    Attributes:
        low, high: the range, both ends included.
        above, below: whether `low` (`high`) itself is excluded.
        hint: what a special value means, such as "0 is off".
        keys: bounds of the keys, for a mapping.
        size: least and greatest number of entries, for a list or a mapping.
    """

    low: float
    high: float
    above: bool = False
    below: bool = False
    hint: str = ""
    keys: tuple[float, float] | None = None
    size: tuple[int, int] = (0, 1000)

    def __contains__(self, number: float) -> bool:
        above = number > self.low if self.above else number >= self.low
        return above and (number < self.high if self.below else number <= self.high)

    def __str__(self) -> str:
        low, high = _plain(self.low), _plain(self.high)
        if self.above or self.below:
            text = f"{'above' if self.above else 'at least'} {low} and {'below' if self.below else 'at most'} {high}"
        else:
            text = f"{low} to {high}"
        return f"{text}; {self.hint}" if self.hint else text


def bounded(default: Any, low: float, high: float, **more: Any) -> Any:
    """A field of one or several numbers between `low` and `high`, by the type of `default`; `more` as in `Bounds`."""
    return _field(default, bounds=Bounds(low, high, **more))


def one_of(default: str, choices: Sequence[str]) -> Any:
    """A field that is one of `choices`."""
    return _field(default, choices=tuple(choices))


def location(default: str | None) -> Any:
    """A field that names a file, a folder or an address: never empty, which would mean the current folder."""
    return _field(default, location=True)


def free_text(default: str | None) -> Any:
    """A field with a grammar of its own, which the command line takes literally."""
    return _field(default, free_text=True)


def _field(default: Any, **metadata: Any) -> Any:
    if isinstance(default, list | dict):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


class Checked:
    """Base class of all settings. `prefix` precedes their names on the command line."""

    prefix: ClassVar[str] = ""

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raise `UserError` if a field breaks its rule.

        Called on construction, and again by users of an instance that may have been changed since. Subclasses add rules
        that involve several fields.
        """
        assert is_dataclass(self)
        hints = type_hints(type(self))
        for each in fields(self):
            _check(f"{self.prefix}{each.name}", getattr(self, each.name), hints[each.name], each.metadata)


@functools.cache
def type_hints(schema: Hashable) -> dict[str, Any]:
    """Types of the fields of a dataclass."""
    assert isinstance(schema, type)
    return get_type_hints(schema)


def without_none(hint: Any) -> Any:
    """`X` for `X | None`; any other type unchanged."""
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (kind for kind in get_args(hint) if kind is not type(None))
    return hint


def _check(name: str, value: Any, hint: Any, metadata: Mapping[str, Any]) -> None:
    if value is None and hint != without_none(hint):
        return
    _check_type(name, value, without_none(hint))
    bounds = metadata.get("bounds")
    if bounds is not None:
        _check_bounds(name, value, bounds)
    if "choices" in metadata:
        require(value in metadata["choices"], f"{name} ({_shown(value)}) must be one of {_listed(metadata['choices'])}")
    if metadata.get("location"):
        require(value.strip() != "", f"{name} is empty; name a path ('.' is the current folder)")


def _check_type(name: str, value: Any, hint: Any) -> None:
    if hint is Any:  # checked where it is used
        return
    origin = get_origin(hint)
    if origin is list:
        require(isinstance(value, list), f"{name} ({_shown(value)}) must be a list: {name}=[...]")
        for entry in value:
            _check_type(name, entry, get_args(hint)[0])
    elif origin is dict:
        require(isinstance(value, dict), f"{name} ({_shown(value)}) must be a mapping: {name}={{key: value, ...}}")
        for key, entry in value.items():
            _check_type(name, key, get_args(hint)[0])
            _check_type(f"{name}.{key:.40}" if isinstance(key, str) else name, entry, get_args(hint)[1])
    elif is_dataclass(hint):
        assert isinstance(hint, type)
        require(isinstance(value, hint), f"{name} ({_shown(value)}) must be a group of settings")
        if isinstance(value, Checked):
            value.check()
    else:
        kind = (int, float) if hint is float else hint
        fits = isinstance(value, kind) and (hint is bool or not isinstance(value, bool))
        require(fits, f"{name} ({_shown(value)}) must be {KINDS[hint]}")


def _check_bounds(name: str, value: Any, bounds: Bounds) -> None:
    if isinstance(value, list | dict):
        least, most = bounds.size
        amount = f"{least}" if least == most else f"{least} to {most:,}"
        require(least <= len(value) <= most, f"{name} ({_shown(value)}) must have {amount} entries")
    if isinstance(value, dict):
        if bounds.keys is not None:
            for key in value:
                _check_bounds(f"{name}, key", key, Bounds(*bounds.keys))
        value = list(value.values())
    for number in _leaves(value):
        fits = math.isfinite(number) if isinstance(number, float) else True
        require(fits and number in bounds, f"{name} ({_shown(number)}) must be {bounds}")


def _leaves(value: Any) -> Iterable[float]:
    if isinstance(value, list):
        for entry in value:
            yield from _leaves(entry)
    else:
        yield value


def _plain(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


def _shown(value: Any) -> str:
    """A value for a message, shortened if it is long."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**SHOWN:
        return "a number of more than 60 digits"
    text = f"{value:g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _listed(choices: Iterable[str]) -> str:
    return ", ".join(choices)
