"""The config of `repro-track run` as Hydra's structured config, and the checks that need nothing else.

It never loads torch or mlflow, and never reads a file.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from repro_track.errors import UsageError

SEED_LIMIT = 2**32
"""CPU generators keep 32 bits of a seed: 0, 2**32 and 2**63 give one stream of numbers."""

TRACE_LEVELS = ("off", "steps", "modules")


@dataclass
class PipelineConfig:
    """Which pipeline: a folder (`path`) or a Hub repository (`repo_id`), and the class that loads it.

    `path` may be `builtin:digits`, the model that ships with the package. `class_name` `None`: the class that the
    pipeline's own model_index.json names. `arguments` go to `from_pretrained`.
    """

    class_name: str | None = None
    path: str | None = None
    repo_id: str | None = None
    revision: str | None = None
    variant: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass
class SchedulerConfig:
    """`class_name` `None` keeps the pipeline's own scheduler; `config` overrides keys of its config."""

    class_name: str | None = None
    config: dict[str, Any] = field(default_factory=dict)


@dataclass
class AdapterConfig:
    """One adapter: `path` is a safetensors file, a folder that holds one, or a Hub repository with `weight_name` in
    it."""

    path: str | None = None
    subfolder: str | None = None
    weight_name: str | None = None
    scale: float = 1.0


@dataclass
class AdaptersConfig:
    """Adapters by name, in the order in which they are loaded; a textual inversion's name is its token.

    Each is an `AdapterConfig`; OmegaConf would not let a command line make one of a typed dict.
    """

    lora: dict[str, Any] = field(default_factory=dict)
    ip_adapter: dict[str, Any] = field(default_factory=dict)
    textual_inversion: dict[str, Any] = field(default_factory=dict)


@dataclass
class StageConfig:
    """One stage of several: a pipeline of its own. `take` names what it is given of an earlier one, by argument:
    `image: images` (a field of the stage before) or `image: base.images` (of the stage `base`)."""

    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    adapters: AdaptersConfig = field(default_factory=AdaptersConfig)
    switches: dict[str, Any] = field(default_factory=dict)
    call: dict[str, Any] = field(default_factory=dict)
    take: dict[str, str] = field(default_factory=dict)


@dataclass
class DeterminismConfig:
    """The numerics policy: flags by the names of `repro_track.determinism`, variables that must precede torch."""

    name: str = "strict"
    num_threads: int | None = None
    flags: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class TraceConfig:
    """What is digested while the pipeline runs: `off`, `steps` or `modules`."""

    level: str = "steps"


@dataclass
class ToleranceConfig:
    """Per dtype: `|actual - expected| <= atol + rtol * |expected|` for every element. `decoded_atol` stands for `atol`
    behind a decoder, where the latents have to be within `atol` as well."""

    name: str = "same_device"
    rtol: dict[str, float] = field(default_factory=dict)
    atol: dict[str, float] = field(default_factory=dict)
    decoded_atol: dict[str, float] = field(default_factory=dict)


@dataclass
class SourceConfig:
    """`bundle`: keep the git commit and its history with the run, for a commit that may be lost."""

    bundle: bool = False


@dataclass
class LogConfig:
    """`previews`: also log a picture of the latents after every step."""

    previews: bool = False


@dataclass
class SweepConfig:
    """The sweep that a run is a member of: `run` is the sweep's own in MLflow, `done` the members that it has already,
    by the digest of their overrides. `repro-track run -m` sets both; `sweep.run=ID` goes on with a sweep."""

    run: str | None = None
    done: dict[str, str] = field(default_factory=dict)


@dataclass
class StoreConfig:
    """Where MLflow keeps the run. `uri` is used when MLFLOW_TRACKING_URI is not set; `None`: `default_store_uri()`."""

    uri: str | None = None
    experiment_name: str = "repro_track"


@dataclass
class RunConfig:
    """The whole config of `repro-track run`.

    `batch`: the images of a call are made `together`, or each alone from the start (`independent`). `noise`: random
    numbers are drawn in the precision that the `pipeline` wants them in, or in `float32` and rounded. `picture_format`:
    png, webp (without loss) or jpeg. `embed`: what a picture's file says of its run: its `id`, or its settings as well
    (`full`). `switches` are methods of the pipeline or a component: `switches.vae.enable_tiling=true`. `stages`:
    several pipelines instead of one, by name, with the same generators passed on; each is a `StageConfig`.
    """

    seed: int | None = None
    num_images: int = 1
    seeds: list[int] | None = None
    generator: str = "cpu"
    batch: str = "together"
    noise: str = "pipeline"
    device: str = "cpu"
    dtype: str = "float32"
    name: str | None = None
    picture_format: str = "png"
    embed: str = "id"
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    adapters: AdaptersConfig = field(default_factory=AdaptersConfig)
    switches: dict[str, Any] = field(default_factory=dict)
    determinism: DeterminismConfig = field(default_factory=DeterminismConfig)
    trace: TraceConfig = field(default_factory=TraceConfig)
    tolerance: ToleranceConfig = field(default_factory=ToleranceConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    log: LogConfig = field(default_factory=LogConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    source: SourceConfig = field(default_factory=SourceConfig)
    call: dict[str, Any] = field(default_factory=dict)
    stages: dict[str, Any] = field(default_factory=dict)


def leave_out_sweep(words: Iterable[str]) -> list[str]:
    """Leave out the overrides that say which sweep a run belongs to: where it is shown, nothing that it is made of.

    >>> leave_out_sweep(["seed=1", "++sweep.run=x"])
    ['seed=1']
    """
    return [word for word in words if not word.lstrip("+").startswith("sweep.")]


def check_seed(seed: int, *, name: str = "seed") -> int:
    """Return `seed` as an int, if a CPU generator keeps all of it; one of NumPy's or torch's integers is one, too.

    Raises:
        UsageError: it is not an int of 32 bits: torch would cut it silently.

    >>> check_seed(0)
    0
    """
    try:
        number = -1 if isinstance(seed, bool) else operator.index(seed)
    except TypeError:
        number = -1
    if not 0 <= number < SEED_LIMIT:
        raise UsageError(
            f"{name} is {seed!r}",
            expected=f"an integer from 0 to {SEED_LIMIT - 1}: torch's CPU generator keeps only 32 bits of a seed, "
            "so a larger one would be the same as a smaller one",
            advice="choose one in that range",
        )
    return number


def check_experiment(name: str) -> str:
    """Return the name of an experiment, if it is one: MLflow would refuse none after everything is computed.

    Raises:
        UsageError: it is empty, or nothing but spaces.

    >>> check_experiment("cats")
    'cats'
    """
    if not name.strip():
        raise UsageError(f"store.experiment_name is {name!r}", expected="a name", advice="leave it out for repro_track")
    return name


def make_schema() -> Any:
    """Make the structured config, with the places open in which any key may stand without a `+`."""
    from omegaconf import OmegaConf

    schema = OmegaConf.structured(RunConfig)
    open_places = (
        schema.call, schema.scheduler.config, schema.pipeline.arguments, schema.switches, schema.stages,
        schema.adapters.lora, schema.adapters.ip_adapter, schema.adapters.textual_inversion,
    )  # fmt: skip
    for open_place in open_places:
        OmegaConf.set_struct(open_place, False)
    return schema
