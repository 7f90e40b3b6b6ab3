"""Data to a part of the config, as it is: each value checked against the part's types, text left as it is.

It never resolves an interpolation, and takes no text for a missing value: Hydra did both when it composed the config.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from repro_track.errors import UsageError

T = TypeVar("T")

_SHOWN = {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "null"}


def list_types(part: Any) -> dict[str, Any]:
    """List the types of a part's keys."""
    return typing.get_type_hints(part)


def make_typed(part: type[T], data: Any, *, place: str = "") -> T:
    """Make a part of the config of data.

    Args:
        part: one of the dataclasses of `config.schema`.
        data: a mapping; what it does not have gets its default.
        place: where in the config it stands, for messages.

    Raises:
        UsageError: a key that the part does not have, or a value of another type.

    >>> from repro_track.config.schema import PipelineConfig
    >>> make_typed(PipelineConfig, {"revision": "1e5", "arguments": {"a": "${b}"}}).arguments
    {'a': '${b}'}
    """
    if not isinstance(data, Mapping):
        keys = ", ".join(list_types(part))
        raise UsageError(f"{place or 'the config'} is {data!r}", expected=f"keys and values; keys of it are {keys}")
    made = {}
    for key, value in data.items():
        inner = f"{place}.{key}" if place else str(key)
        if key not in list_types(part):
            name = f"{inner} is no key of the config"
            raise UsageError(name, expected="keys of it are " + ", ".join(list_types(part)))
        made[key] = _convert(value, list_types(part)[key], place=inner)
    return part(**made)


def _convert(value: Any, hint: Any, *, place: str) -> Any:
    """Return a value as one of a type; what is inside of an open place (`Any`) is as it is."""
    if hint is Any:
        return value
    options = typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
    if value is None and type(None) in options:
        return None
    (kind,) = [option for option in options if option is not type(None)]
    if dataclasses.is_dataclass(kind):
        return make_typed(kind, value, place=place)  # type: ignore[arg-type]
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is dict and isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {key: _convert(item, arguments[1], place=f"{place}.{key}") for key, item in value.items()}
    elif typing.get_origin(kind) is list and isinstance(value, (list, tuple)):
        return [_convert(item, arguments[0], place=f"{place}[{index}]") for index, item in enumerate(value)]
    elif kind in _SHOWN:
        try:
            return _to_scalar(value, kind)
        except (ValueError, OverflowError):
            pass
    raise UsageError(f"{place} is {value!r}", expected=_describe(kind) + (", or null" if type(None) in options else ""))


def _to_scalar(value: Any, kind: type) -> Any:
    """Return a value as one of a scalar type, as Hydra does; a whole number is also text, and text that says a number
    is one.

    Raises:
        ValueError: it is nothing of the kind.
    """
    if type(value) is kind:
        return value
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is str and (is_number or isinstance(value, bool)):
        return str(value)
    if kind is float and (is_number or isinstance(value, str)):
        return float(value)
    if kind is int and (isinstance(value, str) or (is_number and value == int(value))):
        return int(value)
    if kind is bool and str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    raise ValueError(value)


def _describe(kind: Any) -> str:
    if kind in _SHOWN:
        return _SHOWN[kind]
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is list:
        return f"a list, each {_describe(arguments[0])}"
    inside = _describe(arguments[1]) if arguments and arguments[1] is not Any else "a value"
    return f"keys that are text, each with {inside}"
