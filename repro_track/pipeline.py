"""Config to diffusers pipeline; a call's arguments; a pipeline's components.

It never keeps a list of what diffusers has: arguments come from the signature of the pipeline's own `__call__`,
classes from diffusers itself. It runs nothing but what diffusers ships (no remote code).
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from repro_track.config import PipelineConfig, SchedulerConfig
from repro_track.errors import PipelineError, UsageError, first_line
from repro_track.fingerprint import digest_tensor, digest_tensors_quickly, digest_weight_file
from repro_track.record import Component, Known, Unavailable, WeightFile
from repro_track.redaction import redact_tree

BUILTIN = "builtin:"
_SNAPSHOT = re.compile(r"/snapshots/(?P<commit>[0-9a-f]{40})(?:/|$)")


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

    found = getattr(diffusers, name, None) if name in dir(diffusers) else None
    if isinstance(found, type) and issubclass(found, getattr(diffusers, base)):
        return found
    near = difflib.get_close_matches(name, [entry for entry in dir(diffusers) if entry[:1].isupper()], n=3)
    raise UsageError(
        f"{key} is {name!r}, which is no {base.removesuffix('Mixin')} of diffusers {diffusers.__version__}",
        expected=f"the name of a class{', for example ' + ', '.join(near) if near else ''}",
    )


def build_pipeline(config: PipelineConfig, *, scheduler: SchedulerConfig, dtype: str, device: str) -> Any:
    """Load a pipeline, swap its scheduler if asked, and move it to its device.

    Raises:
        UsageError: a class, folder, dtype or device that is not there.
        PipelineError: diffusers cannot load it.
    """
    import torch
    from diffusers.utils import is_accelerate_available

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
    try:
        pipe = pipeline_class.from_pretrained(location, dtype=torch_dtype, **named, **config.arguments)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError, RuntimeError) as error:
        raise PipelineError(
            f"{pipeline_class.__name__} cannot be loaded from {location}: {first_line(error)}",
            advice="check the folder or the repository's id, the revision, and whether the Hub can be reached"
            if config.repo_id
            else "check the folder: model_index.json and every component that it names",
        ) from error
    pipe.scheduler = _build_scheduler(pipe, scheduler) if hasattr(pipe, "scheduler") else None
    pipe.set_progress_bar_config(disable=None)  # tqdm's own rule: shown on a terminal only
    return pipe.to(target)


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
    """Name the argument by which this pipeline makes several images in one call, if it has one."""
    parameters = inspect.signature(type(pipe).__call__).parameters
    return next((name for name in ("batch_size", "num_images_per_prompt") if name in parameters), None)


def count_images(arguments: Mapping[str, Any]) -> int:
    """Count the images that bound arguments ask for: prompts times images per prompt, or the batch size."""
    prompts = arguments.get("prompt")
    number = len(prompts) if isinstance(prompts, (list, tuple)) else 1
    for name in ("batch_size", "num_images_per_prompt"):
        if isinstance(arguments.get(name), int):
            number *= arguments[name]
    return number


def to_plain(value: Any) -> Any:
    """Give a JSON value for anything: tensors, arrays and pictures by digest, other objects by class and name."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((to_plain(item) for item in value), key=repr)
    if isinstance(value, np.generic):
        return value.item()
    try:
        return {
            "sha256": digest_tensor(value),
            "type": type(value).__name__,
            "shape": list(getattr(value, "shape", ()) or value.size),
        }
    except TypeError:
        named = getattr(value, "__qualname__", None)
        return (
            f"{type(value).__module__}.{named or type(value).__qualname__}"
            if named is None
            else f"{value.__module__}.{named}"
        )


# --- what a pipeline is made of -----------------------------------------------------------------------------------


def describe_components(pipe: Any) -> tuple[Component, ...]:
    """Describe every component: class, config, weights on disk by digest, weights in memory by one digest."""
    return tuple(_describe_component(name, part) for name, part in sorted(pipe.components.items()) if part is not None)


def _describe_component(name: str, part: Any) -> Component:
    location = _find_location(part)
    commit = _SNAPSHOT.search(location or "")
    is_model = hasattr(part, "register_forward_hook")
    return Component(
        name=name,
        class_name=f"{type(part).__module__.split('.')[0]}.{type(part).__name__}",
        config=_read_config(part),
        location=location,
        dtype=str(part.dtype).removeprefix("torch.") if is_model and hasattr(part, "dtype") else None,
        device=str(part.device) if is_model and hasattr(part, "device") else None,
        channels_last=is_model and any(_is_channels_last(weight) for weight in part.parameters()),
        commit=commit["commit"] if commit else None,
        weights=_digest_weights(Path(location)) if is_model and location else (),
        memory_xxh3=_digest_memory(part) if is_model else None,
    )


def _is_channels_last(weight: Any) -> bool:
    import torch

    return weight.dim() == 4 and not weight.is_contiguous() and weight.is_contiguous(memory_format=torch.channels_last)


def _digest_memory(model: Any) -> Known[str]:
    try:
        return digest_tensors_quickly([*model.parameters(), *model.buffers()])
    except (RuntimeError, TypeError) as error:  # offloaded to the meta device, or a packed dtype without plain bytes
        return Unavailable(unavailable=f"the weights in memory cannot be read: {first_line(error)}")


def _find_location(part: Any) -> str | None:
    """Find the folder that a component was loaded from; null for one that was built in Python."""
    config = getattr(part, "config", None)
    location = getattr(part, "name_or_path", None) or getattr(config, "_name_or_path", None)
    if not location and isinstance(config, Mapping):
        location = config.get("_name_or_path")
    return str(Path(str(location)).absolute()) if location and Path(str(location)).is_dir() else None


def _read_config(part: Any) -> dict[str, Any]:
    config: Any = getattr(part, "config", None)
    if hasattr(config, "to_dict"):
        config = config.to_dict()
    if not isinstance(config, Mapping):
        return {}
    public = {key: value for key, value in config.items() if not str(key).startswith("_")}
    return redact_tree(to_plain(public))[0]


def _digest_weights(folder: Path) -> tuple[WeightFile, ...]:
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    weights = []
    for path in files:
        digest, origin = digest_weight_file(path)
        weights.append(WeightFile(path=path.name, sha256=digest, size_bytes=path.stat().st_size, origin=origin))
    return tuple(weights)


def find_commit(components: Sequence[Component]) -> Known[str]:
    """Find the Hub commit that a pipeline was loaded from, by the snapshot folder of its components."""
    commits = {component.commit for component in components if component.commit}
    if len(commits) == 1:
        return commits.pop()
    if commits:
        return Unavailable(unavailable="components come from several commits: see each")
    return Unavailable(unavailable="not loaded from the Hub's cache")
