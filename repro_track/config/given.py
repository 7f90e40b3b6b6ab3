"""A config that somebody gives, as plain data: whatever is in it, so that recording it never ends a run.

It never changes what it was given. What has no value that can be written down is `{"unavailable": WHY}` at its place.
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from pathlib import PurePath
from typing import Any

from repro_track.errors import first_line

_MISSING = "???"
_DEEPEST = 50
"""What lies deeper is not recorded: whatever reads a record goes down as deep."""
_PLAIN = (bool, int, float, str)


def freeze_config(given: Any, *, leave_out: Sequence[str] = ()) -> dict[str, Any]:
    """Return a config as data; `None` is an empty one.

    Interpolations and resolvers of OmegaConf get their values now, where they stand in the whole config; what has no
    value stays `???`. An enumeration's member becomes its name, a path its text, a function or class its full name.

    Args:
        given: a dict, a DictConfig or a part of one, a dataclass, a namespace, anything.
        leave_out: keys at the top that are left out, and not looked at.

    >>> freeze_config({"size": (1, 2), "make": len, "what": object()})
    {'size': [1, 2], 'make': 'builtins.len', 'what': {'unavailable': 'an object, which is no data'}}
    """
    if given is None:
        return {}
    frozen = _guard(lambda: _freeze(given, above=(), leave_out=leave_out))
    if isinstance(frozen, dict):
        return frozen
    return {"config": frozen}


def _guard(make: Callable[[], Any]) -> Any:
    """Return what `make` gives; where it fails, why: a resolver, a property or `__iter__` is anybody's code."""
    try:
        return make()
    except Exception as error:
        return {"unavailable": f"{type(error).__name__}: {first_line(error)}"}


def _freeze(value: Any, *, above: tuple[int, ...], leave_out: Sequence[str] = ()) -> Any:
    """Return a value as data.

    Args:
        value: anything.
        above: the ids of the containers that it is in.
        leave_out: its keys that are left out.
    """
    if type(value) is str:
        return value.encode(errors="backslashreplace").decode()  # half of a surrogate pair is in no file
    if value is None or type(value) in _PLAIN:
        return value
    if len(above) >= _DEEPEST:
        return {"unavailable": f"it is more than {_DEEPEST} deep"}
    if id(value) in above:
        return {"unavailable": "it contains itself"}
    inside = (*above, id(value))
    if (pairs := _list_pairs(value)) is not None:
        return {
            _freeze(str(key), above=()): _guard(lambda get=get: _freeze(get(), above=inside))  # type: ignore[misc]
            for key, get in pairs
            if key not in leave_out
        }
    if (members := _list_members(value)) is not None:
        return [_guard(lambda get=get: _freeze(get(), above=inside)) for get in members]  # type: ignore[misc]
    return _name(value)


def _list_pairs(value: Any) -> Iterator[tuple[Any, Callable[[], Any]]] | None:
    """List the keys of what has any, each with what reads its value; `None`: it has none."""
    if _is_node(value):
        from omegaconf import DictConfig, OmegaConf

        if isinstance(value, DictConfig) and not (value._is_none() or value._is_missing()):
            return ((key, _reader(OmegaConf.is_missing(value, key), value, key)) for key in list(value.keys()))
        return None
    if isinstance(value, Mapping):
        return ((key, _reader(False, value, key)) for key in list(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return ((one.name, lambda name=one.name: getattr(value, name)) for one in dataclasses.fields(value))  # type: ignore[misc]
    if isinstance(value, argparse.Namespace):
        return ((key, _reader(False, vars(value), key)) for key in list(vars(value)))
    if hasattr(type(value), "__attrs_attrs__"):
        return ((one.name, lambda name=one.name: getattr(value, name)) for one in type(value).__attrs_attrs__)  # type: ignore[misc]
    if callable(dump := getattr(type(value), "model_dump", None)):  # pydantic's
        return ((key, lambda item=item: item) for key, item in dump(value).items())  # type: ignore[misc]
    return None


def _list_members(value: Any) -> Iterator[Callable[[], Any]] | None:
    """List what reads the members of a list, a tuple or a set; `None`: it is none."""
    if _is_node(value):
        from omegaconf import ListConfig, OmegaConf

        if isinstance(value, ListConfig) and not (value._is_none() or value._is_missing()):
            return (_reader(OmegaConf.is_missing(value, index), value, index) for index in range(len(value)))
        return None
    if isinstance(value, (list, tuple)):
        return ((lambda item=item: item) for item in value)  # type: ignore[misc]
    if isinstance(value, Set):
        return ((lambda item=item: item) for item in sorted(value, key=repr))  # type: ignore[misc]
    return None


def _is_node(value: Any) -> bool:
    return hasattr(type(value), "_get_node")


def _reader(is_missing: bool, container: Any, key: Any) -> Callable[[], Any]:
    return (lambda: _MISSING) if is_missing else (lambda: container[key])


def _name(value: Any) -> Any:
    """Return what stands for a value that is no container."""
    if _is_node(value):
        return _MISSING if value._is_missing() else None
    if isinstance(value, enum.Enum):
        return value.name
    if getattr(value, "shape", None) == () and hasattr(value, "item"):  # a number of NumPy's or torch's
        return _freeze(value.item(), above=())
    if isinstance(value, _PLAIN):  # a subclass: a number or text with more to it
        return _freeze(next(kind(value) for kind in _PLAIN if isinstance(value, kind)), above=())
    if isinstance(value, PurePath) or (type(value).__module__ == "torch" and not hasattr(value, "shape")):
        return _freeze(str(value), above=())
    if hasattr(value, "__qualname__"):
        return f"{getattr(value, '__module__', None) or 'builtins'}.{value.__qualname__}"
    name = type(value).__name__
    return {"unavailable": f"a{'n' * (name[0] in 'aeiouAEIOU')} {name}, which is no data"}
