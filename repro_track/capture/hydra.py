"""The job of a Hydra app that runs now: its function, its config, the words that compose that config again.

Hydra tells a job its overrides and little else: the rest is read from Hydra's own frames on the stack. It never
composes a config, and never changes one.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from repro_track.capture.launch import find_real_file, name_main_module
from repro_track.record.redaction import redact_tree
from repro_track.tensors.digests import digest_bytes

if TYPE_CHECKING:
    from omegaconf import DictConfig

_OF_THE_RUN = (
    "hydra.run", "hydra.sweep", "hydra.sweeper", "hydra/sweeper", "hydra.launcher", "hydra/launcher", "hydra.mode",
    "hydra/output", "hydra.runtime", "hydra.hydra_logging", "hydra/hydra_logging", "hydra.help",
    "hydra/help", "hydra.hydra_help", "hydra/hydra_help",
)  # fmt: skip
"""What says where a job's files go and who starts how many jobs: one job is replayed, in a folder of the replay's."""


_OURS = "repro_track."
_MOST_FILES = 1000
"""A folder with more is not one of configs alone."""


@dataclass(frozen=True)
class Job:
    """A job of a Hydra app.

    Attributes:
        words: the flags and overrides that compose its config again, alone.
        cwd: the working directory in which the app was started.
        file: the file of the app's function; `None`: it has none.
        module: the name by which that file was started (`python -m`), or is imported; `None`: it was started as a file.
        entry_point: the app's function, where it is one of a module that is imported.
        config: the app's own part of the config; `None`: it is not to be found.
    """

    words: tuple[str, ...]
    cwd: str
    file: str | None = None
    module: str | None = None
    entry_point: str | None = None
    config: DictConfig | None = None


def read_hydra_overrides() -> list[str] | None:
    """Read the overrides of the Hydra app that runs us (of this job, in a sweep); `None` outside one."""
    if "hydra.core.hydra_config" not in sys.modules:
        return None
    from hydra.core.hydra_config import HydraConfig

    return list_words(HydraConfig.get().overrides.task) if HydraConfig.initialized() else None


def list_words(overrides: Any) -> list[str]:
    """List overrides as they were typed: Hydra keeps them in a config, which would look up what `${oc.env:A_TOKEN}`
    refers to."""
    from omegaconf import OmegaConf

    words: Any = OmegaConf.to_container(overrides, resolve=False)
    return list(words)


def find_job() -> Job | None:
    """Find the job of the Hydra app that runs us; `None` outside one."""
    overrides = read_hydra_overrides()
    if overrides is None:
        return None
    from hydra.core.hydra_config import HydraConfig

    config: Any = HydraConfig.get()
    inside = _find_locals("hydra.core.utils", "run_job")
    typed = _find_locals("hydra.main", "decorated_main").get("args")
    file, module, entry_point = _describe_function(inside.get("task_function"))
    words = [
        *_read_flags(config, typed, file=file),
        *keep_hydra_words(list_words(config.overrides.hydra)),
        *_read_job_number(config),
    ]
    return Job(
        words=(*words, *overrides),
        cwd=config.runtime.cwd,
        file=file,
        module=module,
        entry_point=entry_point,
        config=inside.get("task_cfg"),
    )


def _find_locals(module: str, function: str) -> dict[str, Any]:
    """Return the local names of a function of Hydra's that is on the stack; empty: it is not."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == function and frame.f_globals.get("__name__") == module:
            return frame.f_locals
        frame = frame.f_back
    return {}


def _describe_function(function: Callable[..., Any] | None) -> tuple[str | None, str | None, str | None]:
    """Return the file, module and entry point of an app's function, as `Job` has them."""
    if function is None:
        return None, None, None
    inner: Any = inspect.unwrap(function)
    code = getattr(inner, "__code__", None)
    file = find_real_file(code.co_filename) if code else None
    if inner.__module__ in (None, "__main__", "__mp_main__"):
        return file, name_main_module(inner.__globals__, path=file) if file else None, None
    return file, inner.__module__, f"{Path(file or 'app').stem}={inner.__module__}:{inner.__qualname__}"


def _read_flags(config: Any, typed: Any, *, file: str | None) -> list[str]:
    """Read the flags that choose the config: as they were typed, else what they came to."""
    sources = {one.provider: one.path for one in config.runtime.config_sources if one.schema == "file"}
    # where the app's file alone is restored, its config is not beside it
    is_alone = file is not None and not any((folder / ".git").exists() for folder in Path(file).parents)
    main = sources.get("main")
    if typed is not None:
        path, name, folder = typed.config_path or (main if is_alone else None), typed.config_name, typed.config_dir
    else:  # in a process of a launcher: the app's own defaults are among them
        path, name, folder = main, config.job.config_name, sources.get("command-line")
    chosen = {"config-path": path, "config-name": name, "config-dir": folder}
    return [f"--{key}={value}" for key, value in chosen.items() if value]


def list_config_files() -> list[Path]:
    """List the files from which the config of a job of somebody's own app was composed; where Hydra does not say which,
    those of every folder in which it looked. Empty outside an app."""
    inside = _find_locals("hydra.core.utils", "run_job")
    function = inside.get("task_function")
    if function is None or read_hydra_overrides() is None or inspect.unwrap(function).__module__.startswith(_OURS):
        return []
    from hydra.core.hydra_config import HydraConfig

    config: Any = HydraConfig.get()
    folders = [Path(one.path).absolute() for one in config.runtime.config_sources if one.schema == "file" and one.path]
    try:
        words = [*config.overrides.hydra, *config.overrides.task]
        names = _list_composed(inside["hydra_context"].config_loader, config.job.config_name, words)
    except Exception:  # another Hydra: its own workings are no promise
        every = (file for folder in folders for file in sorted(folder.rglob("*")))
        return [file for file in every if file.suffix in (".yaml", ".yml") and file.is_file()][:_MOST_FILES]
    found = []
    for name in names:
        files = (folder / f"{name}{ending}" for folder in folders for ending in (".yaml", ".yml"))
        found += [file for file in files if file.is_file()][:1]
    return found


def _list_composed(loader: Any, name: str | None, words: Sequence[str]) -> list[str]:
    """List the names of the configs that a config is composed of, as Hydra itself does it."""
    from hydra.types import RunMode

    composed = loader.compute_defaults_list(config_name=name, overrides=list(words), run_mode=RunMode.RUN)
    paths = (str(one.config_path) for one in composed.defaults if one.config_path)
    return list(dict.fromkeys(path.removesuffix(".yaml") for path in paths))


def keep_hydra_words(words: Sequence[str]) -> list[str]:
    """Keep the overrides of Hydra's own config that one job needs when it is run again.

    >>> keep_hydra_words(["hydra.job.chdir=true", "hydra/launcher=joblib", "hydra.sweep.dir=x", "~hydra.run"])
    ['hydra.job.chdir=true']
    """
    keys = ((word.lstrip("+~").partition("=")[0].partition("@")[0], word) for word in words)
    return [word for key, word in keys if not any(key == one or key.startswith(f"{one}.") for one in _OF_THE_RUN)]


def _read_job_number(config: DictConfig) -> list[str]:
    """Read the number of a job in its sweep, of which its config may be made."""
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    if config.mode != RunMode.MULTIRUN or OmegaConf.is_missing(config.job, "num"):
        return []
    return [f"hydra.job.num={config.job.num}", f"hydra.job.id={config.job.id}"]


def digest_composed(config: Any) -> str | None:
    """Digest an app's config as it was composed, before anything is looked up: paths and variables that a config refers
    to are not part of it, secrets neither. `None`: it cannot be read."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        data: Any = OmegaConf.to_container(config, resolve=False, enum_to_str=True)
    except (OmegaConfBaseException, ValueError, TypeError):
        return None
    return digest_bytes(json.dumps(redact_tree(data)[0], sort_keys=True, default=str).encode())
