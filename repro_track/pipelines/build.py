"""A config to a diffusers pipeline, with its scheduler, adapters and switches.

It never keeps a list of what diffusers has: classes come from diffusers itself. It runs nothing but what diffusers
ships (no remote code).
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from repro_track.config.builtin import BUILTIN, find_builtin
from repro_track.config.schema import PipelineConfig, SchedulerConfig, StageConfig
from repro_track.errors import PipelineError, UsageError, first_line
from repro_track.pipelines.adapters import load_adapters
from repro_track.pipelines.switches import apply_switches
from repro_track.record.schema import Component, WeightFile

_MODULAR_INDEX = "modular_model_index.json"


def resolve_location(config: PipelineConfig) -> str:
    """Return where the pipeline is: an absolute folder, or a Hub repository's id.

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
    if not any((folder / name).is_file() for name in ("model_index.json", _MODULAR_INDEX)):
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


def find_pipeline_class(config: PipelineConfig) -> type | None:
    """Find the class of a pipeline before it is loaded: the one that is named, else that of its model_index.json, of
    which nothing else is loaded. `None`: it is known only once the pipeline is."""
    import diffusers

    name: Any = config.class_name
    if name is None or name == "DiffusionPipeline":
        try:
            index = diffusers.DiffusionPipeline.load_config(resolve_location(config), revision=config.revision)
        except (OSError, ValueError):
            return None  # loading it says why
        name = index.get("_class_name")
    found = getattr(diffusers, name, None) if isinstance(name, str) and name in dir(diffusers) else None
    return found if isinstance(found, type) and issubclass(found, diffusers.DiffusionPipeline) else None


def build_pipeline(stage: StageConfig, *, dtype: str, device: str) -> tuple[Any, tuple[WeightFile, ...]]:
    """Load a pipeline, swap its scheduler if asked, load its adapters, move it to its device, set its switches.

    Returns:
        the pipeline, and the files of its adapters.

    Raises:
        UsageError: a class, folder, dtype or device that is not there.
        PipelineError: diffusers cannot load it.
    """
    import torch

    location = resolve_location(stage.pipeline)
    torch_dtype = getattr(torch, dtype, None)
    if not isinstance(torch_dtype, torch.dtype):
        raise UsageError(f"dtype is {dtype!r}", expected="float32, float16, bfloat16 or float64")
    target = check_device(device)
    pipe = _load(stage.pipeline, location=location, torch_dtype=torch_dtype)
    if hasattr(pipe, "scheduler"):
        pipe.scheduler = _build_scheduler(pipe, stage.scheduler)
    elif stage.scheduler.class_name or stage.scheduler.config:
        raise UsageError(f"a scheduler is given, and {type(pipe).__name__} has no component of that name")
    pipe.set_progress_bar_config(disable=None)  # tqdm's own rule: shown on a terminal only
    files = load_adapters(pipe, stage.adapters)
    pipe = pipe.to(target)
    apply_switches(pipe, stage.switches)
    return pipe, files


def _load(config: PipelineConfig, *, location: str, torch_dtype: Any) -> Any:
    """Load a pipeline as diffusers does, with the classes that it has deprecated where it does not find them itself.

    Raises:
        UsageError: diffusers has no class of that name.
        PipelineError: diffusers cannot load it.
    """
    from diffusers.utils import is_accelerate_available

    modular = _find_modular_class(config, location=location)
    pipeline_class: Any = modular or get_diffusers_class(
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
            if modular:
                return _load_modular(modular, location, named)
            return pipeline_class.from_pretrained(location, **named)
        except (ValueError, AttributeError, ImportError):
            if modular:
                raise
            with _deprecated_found(location, revision=config.revision) as is_deprecated:
                if not is_deprecated:
                    raise
                return pipeline_class.from_pretrained(location, **named)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError, RuntimeError) as error:
        raise PipelineError(
            f"{pipeline_class.__name__} cannot be loaded from {location}: {first_line(error)}",
            advice="check the folder or the repository's id, the revision, and whether the Hub can be reached"
            if config.repo_id
            else "check the folder: model_index.json and every component that it names",
        ) from error


def _find_modular_class(config: PipelineConfig, *, location: str) -> Any:
    """Find the class of a modular pipeline: the one that the config names, or diffusers' own for a folder that was
    saved from one; `None`: it is none."""
    import diffusers

    base = getattr(diffusers, "ModularPipeline", None)  # not in versions before 0.35
    named = getattr(diffusers, config.class_name, None) if config.class_name else None
    if base is None or (named is None and config.class_name):
        return None
    if isinstance(named, type):
        return named if issubclass(named, base) else None
    folder = Path(location)
    return base if (folder / _MODULAR_INDEX).is_file() and not (folder / "model_index.json").is_file() else None


def _load_modular(modular: Any, location: str, named: dict[str, Any]) -> Any:
    """Load a modular pipeline, and then its components, which its own loading leaves out: those that have a class, the
    others are for blocks that are not used.

    What the pipeline itself does not know is for the components; the revision is for those of the same place.
    """
    import diffusers

    # from_pretrained finds the class, and does not know that it is one already
    make = modular.from_pretrained if modular is diffusers.ModularPipeline else modular
    known = inspect.signature(make).parameters.keys() | {"revision"}
    own_words = {name: value for name, value in named.items() if name in known}
    pipe = make(pretrained_model_name_or_path=location, **own_words)
    specs = {name: pipe.get_component_spec(name) for name in pipe.pretrained_component_names}
    names = [name for name, one in specs.items() if one.pretrained_model_name_or_path and one.type_hint is not None]
    more = {name: value for name, value in named.items() if name not in known}
    if "revision" in named:
        own = [name for name in names if specs[name].pretrained_model_name_or_path == location]
        more["revision"] = dict.fromkeys(own, named["revision"])
    pipe.load_components(names, **more)
    if missing := [name for name in names if getattr(pipe, name, None) is None]:
        raise ValueError(f"its components {', '.join(missing)} cannot be loaded: see the warnings")
    return pipe


@contextlib.contextmanager
def _deprecated_found(location: str, *, revision: str | None) -> Iterator[bool]:
    """Put the classes that diffusers has moved into `pipelines.deprecated` (0.42: UnCLIP, Stable Cascade) where its
    loader looks, for a block; yield whether the pipeline names any."""
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
    """Turn off the bars of loading: a person sees the denoising steps, a log sees neither."""
    from diffusers.utils import logging

    logging.disable_progress_bar()


def check_device(device: str) -> Any:
    """Return torch's device.

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
