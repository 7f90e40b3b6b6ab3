"""The arguments of a pipeline's call: bound, counted, split.

It never keeps a list of pipelines: everything comes from the signature of the pipeline's own `__call__`.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Mapping
from typing import Any

from repro_track.errors import UsageError


def bind_arguments(pipe: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Bind a call's arguments to the signature of the pipeline's `__call__`, defaults included.

    Raises:
        UsageError: the pipeline has no such argument, with the nearest name.
    """
    signature = inspect.signature(type(pipe).__call__)
    known = [name for name in signature.parameters if name != "self"]
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values())
    unknown = [name for name in arguments if name not in known]
    if unknown and not takes_any:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        raise UsageError(
            f"call.{unknown[0]} is no argument of {type(pipe).__name__}",
            expected="one of " + ", ".join(known),
            advice=f"did you mean call.{near[0]}?" if near else None,
        )
    bound = signature.bind_partial(pipe, **arguments)
    bound.apply_defaults()
    return {name: value for name, value in bound.arguments.items() if name != "self"}


def choose_batch_argument(pipe: Any) -> str | None:
    """Name the argument by which this pipeline makes several images, videos or sounds in one call, if it has one."""
    names = [name for name in inspect.signature(type(pipe).__call__).parameters if name != "self"]
    return next((name for name in names if _makes_several(name, first=names[0])), None)


def _makes_several(name: str, *, first: str) -> bool:
    """Whether an argument multiplies what comes out. `batch_size` does where it leads the signature (unconditional
    pipelines); elsewhere it is how many are computed at a time (Marigold)."""
    return re.fullmatch(r"num_\w+_per_prompt", name) is not None or name == "batch_size" == first


def takes_several_generators(pipe: Any) -> bool:
    """Whether the pipeline says that it takes a list of generators, one for each image."""
    parameter = inspect.signature(type(pipe).__call__).parameters.get("generator")
    return parameter is not None and re.search(r"[Ll]ist|[Ss]equence", str(parameter.annotation)) is not None


def count_prompts(arguments: Mapping[str, Any]) -> int:
    """Count what bound arguments describe: prompts, else their embeddings, else the rows of the first argument (class
    labels, pictures, image embeddings)."""
    prompts, embeddings = arguments.get("prompt"), arguments.get("prompt_embeds")
    first: Any = prompts if prompts is not None else next(iter(arguments.values()), None)
    if prompts is None and embeddings is not None:
        return len(embeddings)
    if isinstance(first, (list, tuple)):
        return max(len(first), 1)
    # three axes are one picture; a vector holds labels, a matrix embeddings, four axes pictures, five videos
    return int(first.shape[0]) if len(getattr(first, "shape", ())) not in (0, 3) else 1


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
