"""The stages of a config: what each is, and what each takes from those before it.

It never loads a pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from repro_track.config.builtin import BUILTIN
from repro_track.config.schema import AdapterConfig, AdaptersConfig, PipelineConfig, RunConfig, StageConfig
from repro_track.config.typed import make_typed
from repro_track.errors import UsageError
from repro_track.pipelines.adapters import resolve_adapter
from repro_track.pipelines.build import resolve_location


def list_stages(config: RunConfig) -> dict[str, StageConfig]:
    """List the stages of a config by name; the one pipeline of a config without stages has no name.

    Raises:
        UsageError: there are stages and a pipeline, or a stage takes something from no stage before it.
    """
    if not config.stages:
        one = StageConfig(config.pipeline, config.scheduler, config.adapters, config.switches, config.call)
        return {"": _make_typed_adapters(one)}
    if config.pipeline.path or config.pipeline.repo_id:
        place = config.pipeline.path or config.pipeline.repo_id
        raise UsageError(
            f"there are stages ({', '.join(config.stages)}) and a pipeline ({place})",
            expected="one or the other",
            advice="add pipeline=none",
        )
    before: list[str] = []
    stages = {
        name: _make_typed_adapters(make_typed(StageConfig, given, place=f"stages.{name}"))
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


def _make_typed_adapters(stage: StageConfig) -> StageConfig:
    """Return a stage whose adapters are configs instead of what a command line or file gave for them.

    Raises:
        UsageError: an adapter has a key that there is not, or a value of another type.
    """

    def make(name: str, given: Any) -> AdapterConfig:
        return make_typed(AdapterConfig, given, place=f"adapter {name}")

    return replace(stage, adapters=_replace_adapters(stage.adapters, make))


def _replace_adapters(adapters: AdaptersConfig, make: Callable[[str, Any], AdapterConfig]) -> AdaptersConfig:
    """Return adapters of which each was made anew, from its name and what it was."""

    def make_all(wanted: Mapping[str, Any]) -> dict[str, AdapterConfig]:
        return {name: make(name, one) for name, one in wanted.items()}

    return AdaptersConfig(
        lora=make_all(adapters.lora),
        ip_adapter=make_all(adapters.ip_adapter),
        textual_inversion=make_all(adapters.textual_inversion),
    )


def make_absolute(stage: StageConfig) -> StageConfig:
    """Return a stage whose paths are absolute, because a replay may start elsewhere; the stage given is unchanged.

    Raises:
        UsageError: neither or both of a folder and a repository are given, or the folder is not there.
    """
    location, pipeline = resolve_location(stage.pipeline), stage.pipeline
    if pipeline.path is not None and not pipeline.path.startswith(BUILTIN):
        pipeline = replace(pipeline, path=location)
    adapters = _replace_adapters(stage.adapters, lambda name, one: resolve_adapter(one))
    return replace(stage, pipeline=pipeline, adapters=adapters)


def take_from_earlier(wanted: Mapping[str, str], results: Mapping[str, Any], *, name: str) -> dict[str, Any]:
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


def name_pipeline(config: PipelineConfig) -> str:
    """Name a pipeline by the last part of its folder or repository."""
    where = config.repo_id or config.path or ""
    return where.removeprefix(BUILTIN).rstrip("/").rpartition("/")[2]
