"""A config to a tracked run: the Hydra app of `repro-track run`, and the same run from a resolved config.

It never has a path of its own for replays: their child process runs `run_config` like everybody else.
"""

from __future__ import annotations

import difflib
import os
import re
import secrets
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from repro_track import command, pipeline, report, seeding
from repro_track.config import RunConfig, data_folder
from repro_track.errors import ReproTrackError, UsageError
from repro_track.record import TraceLevel
from repro_track.tracking import TrackedRun

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run_config(config: RunConfig) -> TrackedRun:
    """Run what a resolved config says, and log it.

    Raises:
        UsageError: a value in the config that cannot be used; nothing is logged then.
        PipelineError: the pipeline cannot be loaded, or failed while it ran (which is logged).
    """
    # before anything is started
    location = pipeline.resolve_location(config.pipeline)
    resolved = asdict(config)
    if config.pipeline.path is not None and not config.pipeline.path.startswith(pipeline.BUILTIN):
        resolved["pipeline"]["path"] = location  # absolute: a replay may start elsewhere
    run = TrackedRun(
        experiment=config.store.experiment_name,
        seed=config.seed,
        seeds=config.seeds,
        generator=config.generator,
        policy=asdict(config.determinism),
        trace_level=cast(TraceLevel, config.trace.level),
        store=config.store.uri,
        name=config.name,
        stem=_name_pipeline(config),
        resolved=resolved,
        overrides=command.read_hydra_overrides() or [],
        bundle=config.source.bundle,
        starts_late=True,
        is_config=True,
    )
    seeding.make_image_seeds(config.seed or 0, num_images=config.num_images, seeds=config.seeds)
    with run:
        with run.timed("load"):
            pipe = pipeline.build_pipeline(
                config.pipeline, scheduler=config.scheduler, dtype=config.dtype, device=config.device
            )
        arguments = _choose_arguments(pipe, config)
        run(pipe, **arguments)
    return run


def _name_pipeline(config: RunConfig) -> str:
    where = config.pipeline.repo_id or config.pipeline.path or ""
    return where.removeprefix(pipeline.BUILTIN).rstrip("/").rpartition("/")[2]


def _choose_arguments(pipe: Any, config: RunConfig) -> dict[str, Any]:
    """Give the arguments under `call`, and the number of images where the call does not say it."""
    arguments = dict(config.call)
    number = len(config.seeds) if config.seeds else config.num_images
    if number == 1:
        return arguments
    name = pipeline.choose_batch_argument(pipe)
    if name is None:
        raise UsageError(
            f"{number} images are asked for, and {type(pipe).__name__} makes one a call",
            expected="num_images=1, or a pipeline with batch_size or num_images_per_prompt",
            advice="use a sweep: repro-track run -m seed=0,1,2",
        )
    arguments.setdefault(name, number)
    return arguments


# --- the Hydra app ------------------------------------------------------------------------------------------------


def run_hydra(words: Sequence[str]) -> None:
    """Be the Hydra app: compose the config from overrides and flags, run it, print each run id on stdout.

    Raises:
        UsageError: an override, key or group that is not there.
    """
    import hydra
    from hydra.core.config_store import ConfigStore
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    schema = OmegaConf.structured(RunConfig)
    for open_place in (schema.call, schema.scheduler.config, schema.pipeline.arguments):
        OmegaConf.set_struct(open_place, False)  # any key, without a +
    ConfigStore.instance().store(name="schema", node=schema)
    OmegaConf.register_new_resolver("repro_track.sweep_folder", _make_sweep_folder, replace=True, use_cache=True)

    failures: list[ReproTrackError] = []

    @hydra.main(version_base="1.3", config_path="pkg://repro_track.conf", config_name="config")
    def app(composed: DictConfig) -> str | None:
        try:
            return _run_composed(composed)
        except ReproTrackError as error:
            if HydraConfig.get().mode != RunMode.RUN:
                raise  # perhaps in a worker of the launcher: Hydra has to carry it
            failures.append(error)  # past Hydra, which would add a line of its own
            return None

    # Hydra would print its own traceback and exit with 1; this makes it raise to us
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = ["repro-track run", *words]
    try:
        app()
        for failure in failures:
            raise failure
    except (HydraException, OmegaConfBaseException) as error:
        raise _explain_config_error(error) from error


def _run_composed(composed: DictConfig) -> str:
    from omegaconf import OmegaConf

    run = run_config(cast(RunConfig, OmegaConf.to_object(composed)))
    _print_result(run)
    return run.run_id


def _make_sweep_folder() -> str:
    """A folder of its own for each sweep: Hydra's default has one-second resolution, and two sweeps would share it."""
    return str(data_folder() / "sweeps" / f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(3)}")


def _explain_config_error(error: Exception) -> UsageError:
    """Turn Hydra's and OmegaConf's errors into found, expected, do; with the nearest key for a typo."""
    lines: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        lines += [line.strip() for line in str(cause).split("Config search path:")[0].splitlines() if line.strip()]
        cause = cause.__cause__
    text = " ".join(lines)
    if missing := re.search(r"Missing mandatory value: (\S+)", text):
        return UsageError(f"{missing[1]} has no value", expected=f"{missing[1]}=VALUE on the command line")
    if group := re.search(r"Could not find '(\S+)/(\S+)' Available options in '\S+': (.*)", text):
        options = group[3].split()
        return UsageError(
            f"{group[1]} is {group[2]!r}", expected="one of " + ", ".join(options), advice=_suggest(group[2], options)
        )
    if key := re.search(r"Could not override '([^']+)'", text):
        suggestion = _suggest(key[1], _list_keys(asdict(RunConfig())))
        return UsageError(f"the config has no key {key[1]!r}", expected="a key of the config", advice=suggestion)
    return UsageError(
        lines[0] if lines else type(error).__name__, expected=" ".join(lines[1:3]) or None, advice=_suggest("", [])
    )


def _suggest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else "repro-track run --help lists the groups and keys"


def _list_keys(tree: dict[str, Any], place: str = "") -> list[str]:
    keys = []
    for key, value in tree.items():
        inner = f"{place}.{key}" if place else key
        keys += [inner, *(_list_keys(value, inner) if isinstance(value, dict) else [])]
    return keys


def _print_result(run: TrackedRun) -> None:
    """The run id on stdout, for programs; everything for people on stderr."""
    if run.stored is None or run.record is None:
        return
    console = report.open_console()
    report.print_record(run.record, console=console, link=run.stored.link)
    folder = run.stored.artifact_folder
    for output in run.record.outputs:
        if folder is not None and output.file:
            console.print(f"  {folder / output.file}")
    console.print(f"replay it: repro-track replay {run.run_id}")
    print(run.run_id, flush=True)


# --- the child of a replay ----------------------------------------------------------------------------------------


def main(words: Sequence[str]) -> int:
    """Run a resolved config from a file: `python -m repro_track.run CONFIG.yaml`."""
    from omegaconf import OmegaConf

    try:
        merged = OmegaConf.merge(OmegaConf.structured(RunConfig), OmegaConf.load(Path(words[0])))
        run_config(cast(RunConfig, OmegaConf.to_object(merged)))
    except ReproTrackError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
