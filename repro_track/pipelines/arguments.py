"""The arguments of a pipeline's call: bound, counted, split.

It never keeps a list of pipelines: everything comes from the pipeline itself, the signature of its `__call__` or, where
that takes any keyword, what is behind it.
"""

from __future__ import annotations

import contextlib
import difflib
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from repro_track.errors import UsageError


def is_modular(pipe: Any) -> bool:
    """Whether a pipeline is put together of blocks (diffusers' `ModularPipeline`), which say what it takes."""
    return hasattr(getattr(pipe, "blocks", None), "inputs")


def list_parameters(pipe: Any) -> dict[str, inspect.Parameter]:
    """List what a pipeline's call can be given, by name, in its own order.

    They are those of the signature of its `__call__`. Where that takes any keyword (`**kwargs`), also the inputs of its
    blocks, or those of the `__call__`s that it overrides, and a generator if its code names one.
    """
    call = type(pipe).__call__
    own = _list_named(call)
    if not _takes_any(call):
        return own
    if is_modular(pipe):
        return {**_list_inputs(pipe), **own}
    for base in type(pipe).__mro__[1:]:
        overridden = vars(base).get("__call__")
        if overridden is None:
            continue
        own = {**own, **{name: one for name, one in _list_named(overridden).items() if name not in own}}
        if not _takes_any(overridden):
            break
    if "generator" not in own and _names(inspect.unwrap(call), "generator"):
        own["generator"] = inspect.Parameter("generator", inspect.Parameter.KEYWORD_ONLY, default=None)
    return own


_OPEN = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _list_named(call: Any) -> dict[str, inspect.Parameter]:
    parameters = list(inspect.signature(call).parameters.values())[1:]  # the first is the pipeline itself
    return {one.name: one for one in parameters if one.kind not in _OPEN}


def _takes_any(call: Any) -> bool:
    return any(one.kind is one.VAR_KEYWORD for one in inspect.signature(call).parameters.values())


def _list_inputs(pipe: Any) -> dict[str, inspect.Parameter]:
    """List the inputs of a modular pipeline's blocks; a group of any (`kwargs_type`) has the group's name."""
    parameters = {}
    for one in pipe.blocks.inputs:
        name = one.name or one.kwargs_type
        hint = inspect.Parameter.empty if one.type_hint is None else one.type_hint
        parameters[name] = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=hint)
    return parameters


def _names(function: Any, word: str) -> bool:
    """Whether the code of a function names a key or keyword."""
    todo = [getattr(function, "__code__", None)]
    while todo:
        code = todo.pop()
        for value in getattr(code, "co_consts", ()):
            if value == word or (isinstance(value, tuple) and word in value):
                return True
            todo.append(value)
    return False


def bind_arguments(pipe: Any, arguments: Mapping[str, Any], *, strict: bool = False) -> dict[str, Any]:
    """Bind a call's arguments to what the pipeline's call can be given, defaults included, in its own order.

    Args:
        pipe: the pipeline.
        arguments: those of the call.
        strict: refuse names that the blocks of a modular pipeline do not have, which diffusers only warns of.

    Raises:
        UsageError: the pipeline has no such argument, with the nearest name.
    """
    known = list_parameters(pipe)
    unknown = [name for name in arguments if name not in known]
    if unknown and (not _takes_any(type(pipe).__call__) or (strict and is_modular(pipe))):
        near = difflib.get_close_matches(unknown[0], known, n=1)
        raise UsageError(
            f"call.{unknown[0]} is no argument of {type(pipe).__name__}",
            expected="one of " + ", ".join(known),
            advice=f"did you mean call.{near[0]}?" if near else None,
        )
    defaults = {name: one.default for name, one in known.items()}
    bound = {name: arguments.get(name, default) for name, default in defaults.items()}
    given = {name: value for name, value in bound.items() if value is not inspect.Parameter.empty}
    return {**given, **{name: arguments[name] for name in unknown}}


def choose_batch_argument(pipe: Any) -> str | None:
    """Name the argument by which this pipeline makes several images, videos or sounds in one call, if it has one."""
    names = list(list_parameters(pipe))
    return next((name for name in names if _makes_several(name, first=names[0])), None)


def _makes_several(name: str, *, first: str) -> bool:
    """Whether an argument multiplies what comes out. `batch_size` does where it leads the signature (unconditional
    pipelines); elsewhere it is how many are computed at a time (Marigold)."""
    return re.fullmatch(r"num_\w+_per_prompt", name) is not None or name == "batch_size" == first


def takes_several_generators(pipe: Any) -> bool:
    """Whether the pipeline says that it takes a list of generators, one for each image: in the annotation, or, as the
    inputs of blocks have none, in the code of its blocks."""
    parameter = list_parameters(pipe).get("generator")
    if parameter is None:
        return False
    if is_modular(pipe) and not re.search(r"[Ll]ist", str(parameter.annotation)):
        return any("isinstance(generator, list)" in text for text in _list_sources(pipe.blocks))
    return re.search(r"[Ll]ist|[Ss]equence", str(parameter.annotation)) is not None


def _list_sources(block: Any) -> Iterator[str]:
    """List the source of the modules that a block and the blocks in it are of."""
    module = sys.modules.get(type(block).__module__)
    if module is not None:
        with contextlib.suppress(OSError, TypeError):  # typed into an interpreter, which keeps no source
            yield inspect.getsource(module)
    for inner in getattr(block, "sub_blocks", {}).values():
        yield from _list_sources(inner)


def count_prompts(arguments: Mapping[str, Any]) -> int:
    """Count what bound arguments describe: prompts, else their embeddings, else the rows of the first argument (class
    labels, pictures, image embeddings). The frames of a video are one thing."""
    prompts, embeddings = arguments.get("prompt"), arguments.get("prompt_embeds")
    if prompts is None and embeddings is not None:
        return len(embeddings)
    if prompts is not None:
        return _count_rows(prompts, single=0)
    name, first = next(iter(arguments.items()), ("", None))
    if re.search(r"video|frames", name):
        return _count_rows(first, single=4) if _holds_videos(first) else 1
    return _count_rows(first, single=3)


def _count_rows(value: Any, *, single: int) -> int:
    """Count the members of a list or the rows of an array; `single` is how many axes one thing alone has: three are one
    picture, while a vector holds labels, a matrix embeddings, four axes pictures, five videos."""
    if isinstance(value, (list, tuple)):
        return max(len(value), 1)
    return int(value.shape[0]) if len(getattr(value, "shape", ())) not in (0, single) else 1


def _holds_videos(value: Any) -> bool:
    """Whether a value is several videos and not the frames of one."""
    if isinstance(value, (list, tuple)):
        return any(isinstance(item, (list, tuple)) or len(getattr(item, "shape", ())) > 3 for item in value)
    return len(getattr(value, "shape", ())) > 4


def count_images(arguments: Mapping[str, Any]) -> int:
    """Count the images that bound arguments ask for: prompts times images per prompt, or the batch size."""
    number, first = count_prompts(arguments), next(iter(arguments), "")
    for name, value in arguments.items():
        if _makes_several(name, first=first) and isinstance(value, int):
            number *= value
    return number


def split_arguments(arguments: Mapping[str, Any], *, bound: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Return the arguments that make image `index` of a call alone.

    What has an entry for each prompt gives that of the image's prompt, what has one for each image that of the image;
    the batch argument becomes 1; everything else stays.

    >>> bound = {"prompt": ["a", "b"], "num_images_per_prompt": 1}
    >>> split_arguments({"prompt": ["a", "b"], "n": 3}, bound=bound, index=1)
    {'prompt': ['b'], 'n': 3}
    """
    prompts, images = count_prompts(bound), count_images(bound)
    split = {}
    for name, value in arguments.items():
        if _makes_several(name, first=next(iter(bound))):
            split[name] = 1
            continue
        size = len(value) if isinstance(value, (list, tuple)) else (getattr(value, "shape", None) or [0])[0]
        rows = images if size == images else prompts
        if size == rows > 1:
            row = index if rows == images else index * prompts // images
            split[name] = value[row : row + 1]
        else:
            split[name] = value
    return split
