"""A config to a tracked run: the Hydra app of `repro-track run`, and the same run from a resolved config.

It never has a path of its own for replays: their child process runs `run_config` like everybody else.
"""

from __future__ import annotations

import difflib
import os
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from repro_track import command, pipeline, report, seeding
from repro_track.adapters import resolve_adapter
from repro_track.config import (
    AdapterConfig,
    PipelineConfig,
    RunConfig,
    StageConfig,
    data_folder,
    leave_out_sweep,
    make_schema,
)
from repro_track.errors import ReproTrackError, UsageError, first_line
from repro_track.record import Batch, Embed, TraceLevel
from repro_track.redaction import redact_words
from repro_track.tracking import TrackedRun

if TYPE_CHECKING:
    from omegaconf import DictConfig

T = TypeVar("T")


def run_config(config: RunConfig) -> TrackedRun:
    """Run what a resolved config says, and log it.

    Raises:
        UsageError: a value in the config that cannot be used; nothing is logged then.
        PipelineError: the pipeline cannot be loaded, or failed while it ran (which is logged).
    """
    # before anything is started
    stages = _list_stages(config)
    for stage in stages.values():
        _make_absolute(stage)
    run = TrackedRun(
        experiment=config.store.experiment_name,
        seed=config.seed,
        seeds=config.seeds,
        generator=config.generator,
        batch=cast(Batch, config.batch),
        is_staged=bool(config.stages),
        policy=asdict(config.determinism),
        trace_level=cast(TraceLevel, config.trace.level),
        store=config.store.uri,
        name=config.name or _name_member(config, stages),
        stem="-".join(_name_pipeline(stage.pipeline) for stage in stages.values()),
        resolved=_resolve(config, stages),
        overrides=_list_own_overrides(),
        bundle=config.source.bundle,
        picture_format=config.picture_format,
        embed=cast(Embed, config.embed),
        previews=config.log.previews,
        parent_id=config.sweep.run,
        starts_late=True,
        is_config=True,
    )
    seeding.make_image_seeds(config.seed or 0, num_images=config.num_images, seeds=config.seeds)
    with run:
        results: dict[str, Any] = {}
        for name, stage in stages.items():
            if run.leave_out_call():
                continue
            with run.loading():
                pipe, files = pipeline.build_pipeline(stage, dtype=config.dtype, device=config.device)
            arguments = _choose_arguments(pipe, stage.call, config=config, is_first=name == next(iter(stages)))
            if results:  # empty where this stage is replayed alone: what it takes then comes from the record
                arguments |= _take(stage.take, results, name=name)
            results[name] = run.call_pipeline(pipe, arguments, stage=name or None, adapter_files=files)
    return run


def _name_member(config: RunConfig, stages: Mapping[str, StageConfig]) -> str | None:
    """Name the member of a sweep by its overrides; null for any other run."""
    if config.sweep.run is None:
        return None
    stem = "-".join(_name_pipeline(stage.pipeline) for stage in stages.values())
    return report.to_printable(" ".join([stem, *redact_words(_list_own_overrides())]), limit=120)


def _list_own_overrides() -> list[str]:
    return leave_out_sweep(command.read_hydra_overrides() or [])


def _list_stages(config: RunConfig) -> dict[str, StageConfig]:
    """List the stages of a config by name; the one pipeline of a config without stages has no name.

    Raises:
        UsageError: there are stages and a pipeline, or a stage takes something from no stage before it.
    """
    if not config.stages:
        one = StageConfig(config.pipeline, config.scheduler, config.adapters, config.switches, config.call)
        return {"": _make_typed_adapters(one)}
    if config.pipeline.path or config.pipeline.repo_id:
        raise UsageError(
            f"there are stages ({', '.join(config.stages)}) and a pipeline ({config.pipeline.path or config.pipeline.repo_id})",
            expected="one or the other",
            advice="add pipeline=none",
        )
    before: list[str] = []
    stages = {
        name: _make_typed_adapters(_make_typed(StageConfig, given, place=f"stages.{name}"))
        for name, given in config.stages.items()
    }
    for name, stage in stages.items():
        for argument, source in stage.take.items():
            wanted = source.rpartition(".")[0] or (before[-1] if before else "")
            if wanted not in before:
                raise UsageError(
                    f"stages.{name}.take.{argument} is {source!r}",
                    expected="a field of the stage before it, or STAGE.FIELD of one of: "
                    + (", ".join(before) or "none"),
                )
        before.append(name)
    return stages


def _resolve(config: RunConfig, stages: Mapping[str, StageConfig]) -> dict[str, Any]:
    """Give the config as data, with the paths of its stages as they were made absolute."""
    resolved = asdict(config)
    resolved["stages"] = {name: asdict(stage) for name, stage in stages.items() if name}
    del resolved["sweep"]  # where the run is shown, nothing that it is made of
    return resolved


def _make_typed(part: type[T], given: Any, *, place: str) -> T:
    """Make a part of the config of what a command line or file gave for it.

    Raises:
        UsageError: a key that it does not have, or a value of another type.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return cast(T, OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(part), given)))
    except OmegaConfBaseException as error:
        keys = ", ".join(field.name for field in fields(part))  # type: ignore[arg-type]
        raise UsageError(f"{place}: {first_line(error)}", expected=f"keys of it are {keys}") from error


def _make_typed_adapters(stage: StageConfig) -> StageConfig:
    for wanted in (stage.adapters.lora, stage.adapters.ip_adapter, stage.adapters.textual_inversion):
        wanted.update({name: _make_typed(AdapterConfig, one, place=f"adapter {name}") for name, one in wanted.items()})
    return stage


def _make_absolute(stage: StageConfig) -> None:
    """See that a stage's folder is there, and make its paths absolute: a replay may start elsewhere.

    Raises:
        UsageError: it is not there.
    """
    location = pipeline.resolve_location(stage.pipeline)
    if stage.pipeline.path is not None and not stage.pipeline.path.startswith(pipeline.BUILTIN):
        stage.pipeline.path = location
    for wanted in (stage.adapters.lora, stage.adapters.ip_adapter, stage.adapters.textual_inversion):
        wanted.update({name: resolve_adapter(adapter) for name, adapter in wanted.items()})


def _take(wanted: Mapping[str, str], results: Mapping[str, Any], *, name: str) -> dict[str, Any]:
    """Take what a stage is given from what earlier stages gave: `FIELD` of the last one, or `STAGE.FIELD`.

    Raises:
        UsageError: that stage gave no such field.
    """
    taken = {}
    for argument, place in wanted.items():
        stage, _, field = place.rpartition(".")
        result = results[stage or list(results)[-1]]
        if not isinstance(result, Mapping) or field not in result:
            raise UsageError(
                f"stages.{name}.take.{argument} is {place!r}, and there is no such field",
                expected="one of " + ", ".join(result) if isinstance(result, Mapping) else "a result with fields",
            )
        taken[argument] = result[field]
    return taken


def _name_pipeline(config: PipelineConfig) -> str:
    where = config.repo_id or config.path or ""
    return where.removeprefix(pipeline.BUILTIN).rstrip("/").rpartition("/")[2]


def _choose_arguments(pipe: Any, call: Mapping[str, Any], *, config: RunConfig, is_first: bool) -> dict[str, Any]:
    """Give the arguments under `call`, and the number of images where the call does not say it; later stages make as
    many as they are given."""
    arguments = dict(call)
    number = len(config.seeds) if config.seeds else config.num_images
    if number == 1 or not is_first or pipeline.count_prompts(pipeline.bind_arguments(pipe, arguments)) == number:
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

    from repro_track import sweep

    ConfigStore.instance().store(name="schema", node=make_schema())
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
    sys.argv = ["repro-track run", *sweep.complete_words(words)]
    is_failed = True
    try:
        app()
        for failure in failures:
            raise failure
        is_failed = False
    except (HydraException, OmegaConfBaseException) as error:
        raise _explain_config_error(error) from error
    finally:
        ended = sweep.end_sweep(is_failed=is_failed)
        if ended is not None:
            console = report.open_console()
            console.print(f"sweep {ended.run_id}: {ended.link}", markup=False)
            console.print(f"replay all of it: repro-track replay {ended.run_id}")


def _run_composed(composed: DictConfig) -> str:
    from omegaconf import OmegaConf

    from repro_track import sweep

    sweep.raise_failure()
    config = cast(RunConfig, OmegaConf.to_object(composed))
    there = config.sweep.done.get(sweep.make_member_key(command.read_hydra_overrides() or []))
    if there is not None:
        report.open_console().print(f"the sweep has this member already: run {there}")
        print(there, flush=True)
        return there
    run = run_config(config)
    _print_result(run, is_member=config.sweep.run is not None)
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


def _print_result(run: TrackedRun, *, is_member: bool) -> None:
    """The run id on stdout, for programs; everything for people on stderr, one line for the member of a sweep."""
    if run.stored is None or run.record is None:
        return
    console = report.open_console()
    if is_member:
        console.print(f"  {run.run_id}  {run.record.status}  {report.to_printable(run.record.name)}", markup=False)
        print(run.run_id, flush=True)
        return
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
