"""What is given as a pipeline: the pipeline itself, and its arguments by name; or one message about what it is.

It loads nothing, and calls nothing that it is given.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from types import MethodType
from typing import Any

from repro_track.errors import UsageError


def is_pipeline(thing: Any) -> bool:
    """Whether something can be called as a pipeline of diffusers is, and has components."""
    return not isinstance(thing, type) and callable(thing) and isinstance(_get(thing, "components"), Mapping)


def take_pipeline(thing: Any, values: Sequence[Any], named: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the pipeline that is meant, and the arguments of its call by name.

    Args:
        thing: a pipeline, its `__call__`, or a `functools.partial` of one.
        values: arguments by position.
        named: arguments by name.

    Raises:
        UsageError: it is no pipeline, or takes fewer arguments by position, or one of them twice.
    """
    while True:
        if isinstance(thing, functools.partial):
            values, named, thing = (*thing.args, *values), {**thing.keywords, **named}, thing.func
        elif isinstance(thing, MethodType) and thing.__name__ == "__call__":
            thing = thing.__self__
        else:
            break
    if not is_pipeline(thing):
        found, advice = _describe(thing)
        raise UsageError(f"run(...) was given {found}", expected="a diffusers pipeline", advice=advice)
    return thing, {**_name_values(thing, values, named), **named}


def _name_values(pipe: Any, values: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """Return by name what is given by position."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = list(inspect.signature(type(pipe).__call__).parameters.values())[1:]
    names = [one.name for one in parameters if one.kind in kinds]
    if len(values) > len(names):
        raise UsageError(
            f"{type(pipe).__name__} was given {len(values)} arguments by position",
            expected=f"at most {len(names)}: " + ", ".join(names),
        )
    placed = dict(zip(names, values, strict=False))
    if twice := sorted(placed.keys() & named.keys()):
        raise UsageError(
            f"{twice[0]} was given twice to {type(pipe).__name__}, by its place and by its name",
            expected="one value",
        )
    return placed


def _get(thing: Any, name: str) -> Any:
    """Return an attribute; `None`: there is none, or asking fails, as it may with somebody's own `__getattr__`."""
    try:
        return getattr(thing, name, None)
    except Exception:
        return None


def _describe(thing: Any) -> tuple[str, str]:
    """Describe what is no pipeline, and say what to do."""
    load = "load it first: pipe = DiffusionPipeline.from_pretrained(...)"
    name = _get(thing, "__qualname__") or type(thing).__name__
    if thing is None:
        return "None", load
    if isinstance(thing, (str, PurePath)):
        return f"the text {str(thing)[:80]!r}", load
    if isinstance(thing, type):
        return f"the class {name} itself", f"make one of it: {name}.from_pretrained(...)"
    if _get(thing, "_torchdynamo_orig_callable") is not None:
        return f"what torch.compile made of {name}", "compile its models: pipe.unet = torch.compile(pipe.unet)"
    if hasattr(type(thing), "named_parameters"):
        return (
            f"a model alone, a {type(thing).__name__}",
            "give the pipeline that it is in; what you compute yourself is recorded with run.add_output(name, value)",
        )
    what = f"the function {name}" if inspect.isroutine(thing) else f"a {type(thing).__name__}"
    return what, "call it as it is, inside the block: the diffusers pipelines that it calls are recorded"
