"""Config to diffusers pipeline, with its scheduler, adapters and switches; a call's arguments.

It never keeps a list of what diffusers has: arguments come from the signature of the pipeline's own `__call__`,
classes from diffusers itself. It runs nothing but what diffusers ships (no remote code).
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from repro_track.adapters import load_adapters
from repro_track.config import PipelineConfig, SchedulerConfig, StageConfig
from repro_track.errors import PipelineError, UsageError, first_line
from repro_track.record import Component, WeightFile
from repro_track.switches import apply_switches

BUILTIN = "builtin:"


# --- building -----------------------------------------------------------------------------------------------------


def find_builtin(name: str) -> str:
    """Find the folder of a model that ships with the package, for `from_pretrained`.

    Args:
        name: `digits`, 8x8 handwritten digits.

    Raises:
        UsageError: there is no such model.
    """
    folder = Path(str(resources.files("repro_track") / "weights" / name))
    if not (folder / "model_index.json").is_file():
        raise UsageError(f"there is no builtin model {name!r}", expected="digits")
    return str(folder)


def resolve_location(config: PipelineConfig) -> str:
    """Say where the pipeline is: an absolute folder, or a Hub repository's id.

    Raises:
        UsageError: neither or both are given, or the folder is not there or holds no pipeline.
    """
    if (config.path is None) == (config.repo_id is None):
        raise UsageError(
            f"pipeline.path is {config.path!r} and pipeline.repo_id is {config.repo_id!r}",
            expected="exactly one of them",
            advice="pipeline=local pipeline.path=DIR, or pipeline=hub pipeline.repo_id=OWNER/NAME",
        )
    if config.path is None:
        return str(config.repo_id)
    if config.path.startswith(BUILTIN):
        return find_builtin(config.path.removeprefix(BUILTIN))
    folder = Path(config.path).expanduser().absolute()
    if not folder.is_dir():
        raise UsageError(
            f"pipeline.path is {config.path}, and there is no such folder",
            expected="a folder that save_pretrained wrote",
            advice="check the path (relative ones start at the working directory)",
        )
    if not (folder / "model_index.json").is_file():
        raise UsageError(f"{folder} has no model_index.json", expected="a folder that save_pretrained wrote")
    return str(folder)


def get_diffusers_class(name: str, *, base: str, key: str) -> type:
    """Find a class of diffusers by name.

    Raises:
        UsageError: diffusers has no such class, or it is not a subclass of `base`; with the nearest names.
    """
    import diffusers

    for place in (diffusers, diffusers.schedulers):  # some schedulers are exported by their own package alone
        found = getattr(place, name, None) if name in dir(place) else None
        if isinstance(found, type) and issubclass(found, getattr(diffusers, base)):
            return found
    near = difflib.get_close_matches(name, [entry for entry in dir(diffusers) if entry[:1].isupper()], n=3)
    raise UsageError(
        f"{key} is {name!r}, which is no {base.removesuffix('Mixin')} of diffusers {diffusers.__version__}",
        expected=f"the name of a class{', for example ' + ', '.join(near) if near else ''}",
    )


def build_pipeline(stage: StageConfig, *, dtype: str, device: str) -> tuple[Any, tuple[WeightFile, ...]]:
    """Load a pipeline, swap its scheduler if asked, load its adapters, move it to its device, set its switches.

    Returns:
        the pipeline, and the files of its adapters.

    Raises:
        UsageError: a class, folder, dtype or device that is not there.
        PipelineError: diffusers cannot load it.
    """
    import torch
    from diffusers.utils import is_accelerate_available

    config = stage.pipeline
    location = resolve_location(config)
    torch_dtype = getattr(torch, dtype, None)
    if not isinstance(torch_dtype, torch.dtype):
        raise UsageError(f"dtype is {dtype!r}", expected="float32, float16, bfloat16 or float64")
    target = check_device(device)
    pipeline_class: Any = get_diffusers_class(
        config.class_name or "DiffusionPipeline", base="DiffusionPipeline", key="pipeline.class_name"
    )
    named: dict[str, Any] = {
        name: value for name, value in (("revision", config.revision), ("variant", config.variant)) if value is not None
    }
    if not is_accelerate_available():
        named["low_cpu_mem_usage"] = False  # the default without accelerate is the same, and a warning
    _quieten_diffusers()
    named |= {"dtype": torch_dtype, **config.arguments}
    try:
        try:
            pipe = pipeline_class.from_pretrained(location, **named)
        except (ValueError, AttributeError, ImportError):
            with _deprecated_found(location, revision=config.revision) as is_deprecated:
                if not is_deprecated:
                    raise
                pipe = pipeline_class.from_pretrained(location, **named)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError, RuntimeError) as error:
        raise PipelineError(
            f"{pipeline_class.__name__} cannot be loaded from {location}: {first_line(error)}",
            advice="check the folder or the repository's id, the revision, and whether the Hub can be reached"
            if config.repo_id
            else "check the folder: model_index.json and every component that it names",
        ) from error
    if hasattr(pipe, "scheduler"):
        pipe.scheduler = _build_scheduler(pipe, stage.scheduler)
    elif stage.scheduler.class_name or stage.scheduler.config:
        raise UsageError(f"a scheduler is given, and {pipeline_class.__name__} has no component of that name")
    pipe.set_progress_bar_config(disable=None)  # tqdm's own rule: shown on a terminal only
    files = load_adapters(pipe, stage.adapters)
    pipe = pipe.to(target)
    apply_switches(pipe, stage.switches)
    return pipe, files


@contextlib.contextmanager
def _deprecated_found(location: str, *, revision: str | None) -> Iterator[bool]:
    """Let diffusers' loader find the classes that it has moved into `pipelines.deprecated`, where it does not look itself
    (0.42: UnCLIP, Stable Cascade); gives whether the pipeline names any."""
    import diffusers
    from diffusers import pipelines
    from diffusers.pipelines import deprecated

    index = diffusers.DiffusionPipeline.load_config(location, revision=revision)
    declared = [pair[1] for pair in index.values() if isinstance(pair, (list, tuple)) and len(pair) == 2 and pair[1]]
    missing = {name for name in declared if not hasattr(diffusers, name)}
    with contextlib.ExitStack() as stack:
        found = False
        for one in pkgutil.iter_modules(deprecated.__path__):
            folder = importlib.import_module(f"{deprecated.__name__}.{one.name}")
            for name in {name for name in missing if hasattr(folder, name)}:
                # a repository names the folder that the class was in, or diffusers itself
                for owner, attribute, value in (
                    (diffusers, name, getattr(folder, name)),
                    (pipelines, one.name, folder),
                ):
                    if attribute not in vars(owner):
                        setattr(owner, attribute, value)
                        stack.callback(delattr, owner, attribute)
                found = True
        yield found


def _quieten_diffusers() -> None:
    """No bar for loading: a person sees the denoising steps, a log sees neither."""
    from diffusers.utils import logging

    logging.disable_progress_bar()


def check_device(device: str) -> Any:
    """Give torch's device.

    Raises:
        UsageError: it has no such name, or this machine has none.
    """
    import torch

    try:
        target = torch.device(device)
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"device is {device!r}, and it cannot be used here: {first_line(error)}",
            expected="cpu, or cuda, cuda:1, mps where torch finds one",
        ) from error
    return target


def _build_scheduler(pipe: Any, config: SchedulerConfig) -> Any:
    if config.class_name is None and not config.config:
        return pipe.scheduler
    scheduler_class = type(pipe.scheduler)
    if config.class_name is not None:
        scheduler_class = get_diffusers_class(config.class_name, base="SchedulerMixin", key="scheduler.class_name")
    known = set(inspect.signature(scheduler_class.__init__).parameters) - {"self"}
    if unknown := sorted(set(config.config) - known):
        near = difflib.get_close_matches(unknown[0], sorted(known), n=1)
        raise UsageError(
            f"scheduler.config.{unknown[0]} is no setting of {scheduler_class.__name__}",
            expected="one of " + ", ".join(sorted(known)),
            advice=f"did you mean {near[0]}?" if near else None,
        )
    return scheduler_class.from_config(pipe.scheduler.config, **config.config)


def build_recorded_scheduler(part: Component) -> Any:
    """Build a scheduler of the class and config that a record names.

    Raises:
        UsageError: this diffusers has no such class.
    """
    name = part.class_name.rpartition(".")[2]
    scheduler_class: Any = get_diffusers_class(name, base="SchedulerMixin", key=part.name)
    return scheduler_class.from_config(part.config)


# --- the call -----------------------------------------------------------------------------------------------------


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
    """Give the arguments that make image `index` of a call alone.

    What has an entry for each prompt gives that of the image's prompt, what has one for each image that of the image;
    the batch argument becomes 1; everything else stays.

    >>> split_arguments({"prompt": ["a", "b"], "n": 3}, bound={"prompt": ["a", "b"], "num_images_per_prompt": 1}, index=1)
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


@contextlib.contextmanager
def undisturbed(pipe: Any) -> Iterator[None]:
    """Let a pipeline be called, and the call be broken off, without a trace: fresh schedulers for the time, no progress
    bar, and models that were moved to a device go back."""
    schedulers = {
        name: part for name, part in pipe.components.items() if hasattr(part, "from_config") and hasattr(part, "step")
    }
    bar = getattr(pipe, "_progress_bar_config", {})
    for name, scheduler in schedulers.items():
        setattr(pipe, name, type(scheduler).from_config(scheduler.config))
    pipe.set_progress_bar_config(disable=True)
    try:
        yield
    finally:
        pipe.maybe_free_model_hooks()
        pipe.set_progress_bar_config(**bar)
        for name, scheduler in schedulers.items():
            setattr(pipe, name, scheduler)


def find_sampling_rate(pipe: Any) -> int | None:
    """Find how many samples a second of sound has that the pipeline makes, from its components; null: they do not say.

    A vocoder makes the sound where there is one, and is asked first.
    """
    for _, part in sorted(pipe.components.items(), key=lambda item: item[0] != "vocoder"):
        config = getattr(part, "config", None)
        for name in ("output_sampling_rate", "sampling_rate", "sample_rate"):
            found = getattr(part, name, None) or getattr(config, name, None)
            if isinstance(found, (int, float)) and not isinstance(found, bool) and hasattr(part, "parameters"):
                return int(found)
    return None
