"""Calls of pipelines that somebody makes directly, while a run is open: they are recorded as if the run had made them.

The classes of pipelines get another `__call__` for that time, and their own one back afterwards. It never keeps a call
from being made: one that cannot be recorded is made as it is, and the record says so.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import wrapt

from repro_track.tracking import open_runs

_ROOTS = {
    "diffusers.pipelines.pipeline_utils": "DiffusionPipeline",
    "diffusers.modular_pipelines.modular_pipeline": "ModularPipeline",
}
"""The classes that all pipelines are made of, by the modules that define them."""

_lock = threading.RLock()
_former: dict[Any, dict[str, Any]] = {}  # what classes had that were given something else, while a run is open
_blocks: list[object] = []  # one for each open block
_hooked: set[str] = set()


@contextmanager
def recorded_calls() -> Iterator[None]:
    """Let calls of pipelines be recorded by the run that is open where they are made; also those of pipelines whose
    classes are imported in the block."""
    block = object()
    with _lock:
        _blocks.append(block)
        for module in _ROOTS:
            if module in sys.modules:
                _watch_root(sys.modules[module])
            elif module not in _hooked:
                _hooked.add(module)
                wrapt.register_post_import_hook(_watch_root, module)
    try:
        yield
    finally:
        with _lock:
            _blocks.remove(block)
            if not _blocks:
                _put_back()


def _watch_root(module: Any) -> None:
    """Watch every class of pipelines that there is and that is defined from now on."""
    root = getattr(module, _ROOTS[module.__name__], None)
    with _lock:
        if not _blocks or root is None or root in _former:
            return
        _former[root] = {}
        _replace(root, "__init_subclass__", classmethod(functools.partial(_watch_new, root)))
        todo = [root]
        while todo:
            one = todo.pop()
            _watch(one)
            todo += one.__subclasses__()


def _watch_new(root: Any, made: Any, **words: Any) -> None:
    """Watch a class that is being defined; everything else about it is as it would be."""
    super(root, made).__init_subclass__(**words)
    with _lock:
        if _blocks:
            _watch(made)


def _watch(kind: Any) -> None:
    original = vars(kind).get("__call__")
    if not callable(original) or "__call__" in _former.get(kind, {}):
        return

    @functools.wraps(original)
    def __call__(self: Any, *values: Any, **named: Any) -> Any:
        return _call(self, original, values, named)

    _replace(kind, "__call__", __call__)


def _replace(kind: Any, name: str, value: Any) -> None:
    """Give a class something else, and remember what it had itself; `_put_back` takes it away."""
    _former.setdefault(kind, {})[name] = (vars(kind).get(name), value)
    setattr(kind, name, value)


def _put_back() -> None:
    for kind, names in _former.items():
        for name, (own, given) in names.items():
            if vars(kind).get(name) is not given:
                continue  # somebody else has given it another one since
            if own is None:
                delattr(kind, name)
            else:
                setattr(kind, name, own)
    _former.clear()


def _call(pipe: Any, original: Callable[..., Any], values: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    """Call a pipeline as somebody did; recorded, unless a run makes the call itself."""

    def call_as_it_is() -> Any:
        return original(pipe, *values, **named)

    run = open_runs.find_for_call()
    if run is None:
        return call_as_it_is()
    try:
        bound = inspect.signature(original).bind(pipe, *values, **named)
    except TypeError:
        return call_as_it_is()  # which says in Python's words what is wrong
    return run.call_pipeline(pipe, _name_arguments(bound), otherwise=call_as_it_is)


def _name_arguments(bound: inspect.BoundArguments) -> dict[str, Any]:
    """Return bound arguments by name, those of `**kwargs` among them, without the pipeline itself."""
    parameters = list(bound.signature.parameters.values())
    named = {one.name: bound.arguments[one.name] for one in parameters[1:] if one.name in bound.arguments}
    for one in parameters:
        if one.kind is one.VAR_KEYWORD:
            named |= named.pop(one.name, {})
    return named
