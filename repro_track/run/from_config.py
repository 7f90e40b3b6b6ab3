"""A resolved config to a tracked run.

It never composes a config, and never replays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from repro_track.capture.hydra import read_hydra_overrides
from repro_track.config.schema import RunConfig, StageConfig, leave_out_sweep
from repro_track.determinism.generators import make_image_seeds
from repro_track.errors import UsageError
from repro_track.pipelines.arguments import bind_arguments, choose_batch_argument, count_prompts
from repro_track.pipelines.build import build_pipeline, find_pipeline_class
from repro_track.pipelines.expected import check_call
from repro_track.record.redaction import redact_words
from repro_track.record.schema import Batch, Embed, Noise, TraceLevel
from repro_track.report.text import to_printable
from repro_track.run.stages import list_stages, make_absolute, name_pipeline, take_from_earlier
from repro_track.tracking.options import Options
from repro_track.tracking.run import TrackedRun


def run_config(config: RunConfig, *, references: Mapping[str, str] | None = None) -> TrackedRun:
    """Run what a resolved config says, and log it.

    Args:
        config: the resolved config.
        references: the environment variables that values of it were before.

    Raises:
        UsageError: a value in the config that cannot be used; nothing is logged then.
        PipelineError: the pipeline cannot be loaded, or failed while it ran (which is logged).
    """
    # before anything is started
    stages = {name: make_absolute(stage) for name, stage in list_stages(config).items()}
    run = TrackedRun(_make_options(config, stages, references or {}))
    _check_numbers(config)
    with run:
        _check_calls(stages)  # not before: it imports torch, which some settings have to precede
        results: dict[str, Any] = {}
        for name, stage in stages.items():
            if run.leave_out_call():
                continue
            with run.loading():
                pipe, files = build_pipeline(stage, dtype=config.dtype, device=config.device)
            arguments = _choose_arguments(pipe, stage.call, config=config, is_first=name == next(iter(stages)))
            if results:  # empty where this stage is replayed alone: what it takes then comes from the record
                arguments |= take_from_earlier(stage.take, results, name=name)
            results[name] = run.call_pipeline(pipe, arguments, stage=name or None, adapter_files=files)
    return run


def _check_numbers(config: RunConfig) -> None:
    """Check seeds, and that they are as many as the images.

    Raises:
        UsageError: a seed beyond 32 bits, no image, or another number of seeds than of images.
    """
    make_image_seeds(config.seed or 0, num_images=config.num_images, seeds=config.seeds)
    if config.seeds is not None and config.num_images not in (1, len(config.seeds)):
        raise UsageError(
            f"num_images is {config.num_images}, and there are {len(config.seeds)} seeds",
            expected="one of the two, or as many seeds as images: there is an image for each seed",
        )


def _check_calls(stages: Mapping[str, StageConfig]) -> None:
    """Check what every stage's pipeline is called with, before the first is loaded.

    Raises:
        UsageError: one has no such argument, or a value is not of a kind that it takes.
    """
    for name, stage in stages.items():
        if found := find_pipeline_class(stage.pipeline):
            check_call(found, stage.call, taken=stage.take, place=f"stages.{name}." if name else "")


def _make_options(config: RunConfig, stages: Mapping[str, StageConfig], references: Mapping[str, str]) -> Options:
    """Make the options of a run from its config and the stages in it.

    Raises:
        UsageError: one of them is none of the words that it may be.
    """
    stem = "-".join(name_pipeline(stage.pipeline) for stage in stages.values())
    return Options(
        experiment=config.store.experiment_name,
        seed=config.seed,
        seeds=config.seeds,
        generator=config.generator,
        batch=cast(Batch, config.batch),
        noise=cast(Noise, config.noise),
        stages=bool(config.stages),
        determinism=asdict(config.determinism),
        trace=cast(TraceLevel, config.trace.level),
        store=config.store.uri,
        name=config.name or _name_member(config, stem=stem),
        config=_to_resolved(config, stages),
        references=references,
        bundle=config.source.bundle,
        picture_format=config.picture_format,
        embed=cast(Embed, config.embed),
        previews=config.log.previews,
        overrides=_list_own_overrides(),
        stem=stem,
        parent_id=config.sweep.run,
        is_config=True,
    )


def _name_member(config: RunConfig, *, stem: str) -> str | None:
    """Name the member of a sweep by its pipelines and overrides; `None` for any other run."""
    if config.sweep.run is None:
        return None
    return to_printable(" ".join([stem, *redact_words(_list_own_overrides())]), limit=120)


def _list_own_overrides() -> list[str]:
    return leave_out_sweep(read_hydra_overrides() or [])


def _to_resolved(config: RunConfig, stages: Mapping[str, StageConfig]) -> dict[str, Any]:
    """Return the config as data, with the paths of its stages as they were made absolute."""
    resolved = asdict(config)
    resolved["stages"] = {name: asdict(stage) for name, stage in stages.items() if name}
    if only := stages.get(""):  # of a config without stages: its parts are the config's own
        resolved |= {key: value for key, value in asdict(only).items() if key in resolved}
    del resolved["sweep"]  # where the run is shown, nothing that it is made of
    return resolved


def _choose_arguments(pipe: Any, call: Mapping[str, Any], *, config: RunConfig, is_first: bool) -> dict[str, Any]:
    """Return the arguments under `call`, and the number of images where the call does not say it; later stages make as
    many as they are given."""
    arguments = dict(call)
    bound = bind_arguments(pipe, arguments, strict=True)
    number = len(config.seeds) if config.seeds else config.num_images
    if number == 1 or not is_first or count_prompts(bound) == number:
        return arguments
    name = choose_batch_argument(pipe)
    if name is None:
        raise UsageError(
            f"{number} images are asked for, and {type(pipe).__name__} makes one a call",
            expected="num_images=1, or a pipeline with batch_size or num_images_per_prompt",
            advice="use a sweep: repro-track run -m seed=0,1,2",
        )
    arguments.setdefault(name, number)
    return arguments
