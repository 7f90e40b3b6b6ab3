"""What a pipeline's call expects of a config: the names and kinds of its arguments, known before anything is loaded.

It never loads a pipeline, and judges no value of a script: a script may know better than the signature.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import textwrap
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from repro_track.errors import UsageError

_NUMBERS = ("int", "float", "bool")
_NAMES = {"number": "a number", "text": "text", "list": "a list"}


def check_call(pipeline_class: type, call: Mapping[str, Any], *, taken: Iterable[str] = (), place: str = "") -> None:
    """Check the arguments that a config gives a pipeline.

    Args:
        pipeline_class: the pipeline's.
        call: its arguments by name.
        taken: those that a stage takes from an earlier one.
        place: what stands before their names in the config: `stages.base.`.

    Raises:
        UsageError: the pipeline has no such argument, or a value is not of a kind that it takes.
    """
    names = list_argument_names(pipeline_class)
    parameters = inspect.signature(pipeline_class.__call__).parameters
    for name in (*call, *taken):
        shown = f"{place}call.{name}"
        if names is not None and name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            raise UsageError(
                f"{shown} is no argument of {pipeline_class.__name__}",
                expected="one of " + ", ".join(names),
                advice=f"did you mean {place}call.{near[0]}?" if near else None,
            )
        if name == "generator":
            raise UsageError(f"{shown} is given", expected="seed=N, or seeds=[N,…]: the generators are made of them")
    for name, value in call.items():
        if name in parameters:
            _check_kind(value, parameters[name], place=f"{place}call.{name}")


def list_argument_names(pipeline_class: type) -> list[str] | None:
    """List the names of the arguments that a pipeline's call takes; `None`: it may take any.

    Behind `**kwargs` diffusers takes names that it has deprecated: those that the code of the call asks for. What is
    passed on as a whole can be any.
    """
    call: Any = pipeline_class.__call__
    parameters = inspect.signature(call).parameters.values()
    names = [one.name for one in parameters if one.name != "self" and one.kind is not one.VAR_KEYWORD]
    rest = next((one.name for one in parameters if one.kind is one.VAR_KEYWORD), None)
    if rest is None:
        return names
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(call))))
    except (OSError, TypeError, SyntaxError):
        return None
    asked = [_read_asked_name(node, rest) for node in ast.walk(tree)]
    uses = sum(isinstance(node, ast.Name) and node.id == rest for node in ast.walk(tree))
    found = [name for name in asked if name is not None]
    return [*names, *dict.fromkeys(found)] if len(found) == uses else None


def _read_asked_name(node: ast.AST, rest: str) -> str | None:
    """Read the name that a piece of code asks `**kwargs` for: `kwargs.pop("x")`, `kwargs["x"]`, `"x" in kwargs`."""
    match node:
        case (
            ast.Call(
                func=ast.Attribute(value=ast.Name(id=owner), attr="pop" | "get"), args=[ast.Constant(value=name), *_]
            )
            | ast.Subscript(value=ast.Name(id=owner), slice=ast.Constant(value=name))
            | ast.Compare(left=ast.Constant(value=name), comparators=[ast.Name(id=owner)])
        ) if owner == rest:
            return str(name)
    return None


def _check_kind(value: Any, parameter: inspect.Parameter, *, place: str) -> None:
    """Refuse a value of a kind that neither the argument's type nor its default is of.

    Raises:
        UsageError: a list where a number is expected, a number where text is, and the like.
    """
    kinds, kind = list_kinds(parameter.annotation), _find_kind(value)
    if kind is None or not kinds or kind in kinds or kind == _find_kind(parameter.default):
        return
    quoted = f"put it in quotes that reach the program: '{place}=\"{value}\"'"
    raise UsageError(
        f"{place} is {value!r}",
        expected=" or ".join(_NAMES[one] for one in kinds),
        advice=quoted if kind == "number" and "text" in kinds else None,
    )


def _find_kind(value: Any) -> str | None:
    if isinstance(value, (bool, int, float)):
        return "number"
    if isinstance(value, str):
        return "text"
    return "list" if isinstance(value, (list, tuple)) else "dict" if isinstance(value, Mapping) else None


def list_kinds(annotation: Any) -> Sequence[str]:
    """List the kinds of plain values that an argument's annotation lets in; empty: it cannot be told, or it takes
    something else as well, which a path may stand for.

    >>> list_kinds(float | list[float]), list_kinds("int"), list_kinds(Any)
    (['number', 'list'], ['number'], [])
    """
    options = typing.get_args(annotation) if typing.get_origin(annotation) in (types.UnionType, typing.Union) else ()
    kinds = []
    for option in options or (annotation,):
        name = option if isinstance(option, str) else getattr(typing.get_origin(option) or option, "__name__", "")
        kind = "number" if name in _NUMBERS else {"str": "text", "list": "list", "tuple": "list"}.get(name)
        if option is not type(None):
            kinds.append(kind)
    plain = [kind for kind in dict.fromkeys(kinds) if kind is not None]
    # a type that is a list alone is often not all that a pipeline takes
    return plain if None not in kinds and {"number", "text"} & set(plain) else []
